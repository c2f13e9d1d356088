"""`casting train`: from labelled pictures to a model's folder, with a report on castings that it had not seen."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.commands.console import JsonFlag, fail, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casting_core.card import Serving
    from casting_core.training import Step


def train(
    dataset: Annotated[
        str, typer.Argument(help="Folder per class, zip of such folders, or manifest (.csv, .parquet); a path or URL.")
    ],
    out: Annotated[Path, typer.Option(help="Folder that gets the model's folder, and keeps what a restart needs.")],
    preset: Annotated[
        Literal["seed", "robust"], typer.Option(help="robust: what generalises best; seed: the plain recipe.")
    ] = "robust",
    backbone: Annotated[str | None, typer.Option(help="A classifier of torchvision; the preset's if left out.")] = None,
    pretrained: Annotated[
        str, typer.Option(help="Weights to start from: 'imagenet' to download, 'none', or a file.")
    ] = "imagenet",
    folds: Annotated[int, typer.Option(help="Every casting is held out once; 1: a fifth of them is.")] = 5,
    split: Annotated[
        Literal["group", "random"] | None,
        typer.Option(help="group keeps castings whole; random leaks. The preset's if left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same pictures and seed give the same model.")] = 0,
    classes: Annotated[
        str | None, typer.Option(help="Which folder or label means what, such as def_front=defective,ok_front=ok.")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to train.")] = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Train a model, evaluate it on castings that it was not trained on, and write it with its report."""
    from casting_core.artifact import publish_artifact
    from casting_core.grouping import group_castings
    from casting_core.training_report import report_files
    from casting_core.training_run import TrainingPlan, train_model
    from flows.data_sets import open_data_set
    from flows.settings import load_settings

    plan = TrainingPlan(
        preset=preset, backbone=backbone, pretrained=pretrained, folds=folds, split=split, seed=seed, device=device
    )
    with plain_errors():
        data = open_data_set(load_settings(), dataset, classes=classes)
        data.require_both_classes()
        with messages.status("Finding the pictures of the same casting ..."):
            grouping = group_castings(data)
        try:
            with _progress_bar() as show:
                trained = train_model(data, grouping, plan, workdir=out / "training", on_step=show)
            with messages.status("Writing the report ..."):
                files = trained.files() | report_files(data, trained)
            url, _ = publish_artifact(str(out), card=trained.card, weights=trained.weights, files=files)
        except OSError as error:
            fail(f"The model cannot be written to {out}: {error.strerror or error}.")
    for name, rejection in trained.rejected.items():
        messages.print(f"[yellow]left out[/]  {name}: {rejection.reason}, {rejection.detail}", highlight=False)
    folder = out / trained.card.version
    if as_json:
        print_json({"artifact": str(folder), "metrics": trained.card.metrics, "url": url})
    else:
        _print(trained.card.metrics)
        _print_serving(trained.card.serving)
        messages.print(f"Written to {folder}; read {folder / 'report.html'}", highlight=False, soft_wrap=True)


@contextmanager
def _progress_bar() -> Iterator[Callable[[Step], None]]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task("pictures")

        def show(step: Step) -> None:
            what = f"training  epoch {step.epoch}  loss {step.loss:.3f}" if step.epoch else "features"
            bar.update(task, description=what, completed=step.done, total=step.total)

        yield show


def _print(metrics: dict[str, Any]) -> None:
    rates = ("escape_rate", "false_reject_rate", "review_rate")
    print_table(
        ("counted by", "n", "escapes", "false rejects", "review", "AUROC"),
        [
            (
                unit,
                scores["n"],
                *(f"{scores[count]}  {_interval(scores[rate])}" for count, rate in zip(_COUNTS, rates, strict=True)),
                scores["auroc"],
            )
            for unit, scores in (("image", metrics["by_image"]), ("casting", metrics["by_casting"]))
        ],
        title="On castings that the model had not been trained on (95 % intervals from the bootstrap over castings)",
    )


def _print_serving(serving: Serving) -> None:
    messages.print(f"Serves in {serving.engine}, {serving.precision}", highlight=False)
    for precision, why in serving.others.items():
        messages.print(f"  {precision}: {why}", highlight=False)


_COUNTS = ("escapes", "false_rejects", "review")


def _interval(rate: dict[str, Any]) -> str:
    if rate["rate"] is None:
        return ""
    low, high = rate["over_castings"]
    return f"({rate['rate']:.1%}; {low:.1%} to {high:.1%})"
