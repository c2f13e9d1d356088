"""`casting retrain`: train on what is labelled, now, and promote what is not worse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.commands.console import JsonFlag, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from casting_core.registry_types import RetrainSummary


def retrain(
    data: Annotated[
        str | None, typer.Option(help="Labelled images beside the database's: folder per class, zip or manifest.")
    ] = None,
    min_new_labels: Annotated[int, typer.Option(min=0, help="With fewer new labels nothing is trained.")] = 50,
    promote: Annotated[
        bool | None,
        typer.Option("--promote/--no-promote", help="Whether passing the gate is enough; else CASTING_AUTO_PROMOTE."),
    ] = None,
    preset: Annotated[
        Literal["robust", "seed"], typer.Option(help="robust: what generalises best; seed: the plain recipe.")
    ] = "robust",
    backbone: Annotated[str | None, typer.Option(help="A classifier of torchvision; else the preset's.")] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="Weights to start from: a file, 'imagenet' or 'none'; else CASTING_PRETRAINED.")
    ] = None,
    folds: Annotated[int, typer.Option(min=1, help="K holds out all, by K + 1 trainings; 1 a fifth.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, help="Else the preset's.")] = None,
    side: Annotated[int | None, typer.Option(min=32, help="Pixels of the network's input; else the preset's.")] = None,
    golden_share: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of new castings that join the golden set.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="The same labels and seed give the same model on one machine.")] = 0,
    as_json: JsonFlag = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's own log.")] = False,
) -> None:
    """Train on what people have labelled, compare with the champion, and promote what is not worse."""
    from flows.settings import configure_prefect, load_settings

    choices: dict[str, Any] = {
        "data": data,
        "min_new_labels": min_new_labels,
        "auto_promote": promote,
        "preset": preset,
        "backbone": backbone,
        "pretrained": pretrained,
        "folds": folds,
        "epochs": epochs,
        "side": side,
        "golden_share": golden_share,
        "seed": seed,
    }
    with plain_errors():
        configure_prefect(load_settings(), verbose=verbose)
        from flows.retrain import retrain as retrain_flow
        from flows.retrain_parameters import RetrainParameters

        with messages.status("retraining ..."):
            summary = retrain_flow(RetrainParameters(**choices))
    if as_json:
        print_json(summary.to_json())
    else:
        _print(summary)


def _print(summary: RetrainSummary) -> None:
    if summary.checks:
        print_table(
            ("passed", "check", "found"),
            [("yes" if check["passed"] else "NO", check["name"], check["detail"]) for check in summary.checks],
            title=f"{summary.challenger} against {summary.champion or 'no champion'}",
        )
    counted = f"{summary.images} labelled images, {summary.new_labels} labels new, {summary.left_out} images left out"
    if summary.challenger:
        counted += f"; trained on {summary.training_castings} castings, compared on {summary.golden_castings}"
    if summary.outcome != "already_running":
        messages.print(f"{counted}.", highlight=False, soft_wrap=True)
    messages.print(f"[bold]{summary.outcome}[/]  {summary.why}", highlight=False, soft_wrap=True)
