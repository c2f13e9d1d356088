"""`casting bench`: how fast this machine judges."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import JsonFlag, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from flows.benchmark import ScoringRates
    from flows.settings import Settings

app = typer.Typer(help="How fast this machine is.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Keep `score` a command of its own however many others there are."""


@app.command()
def score(
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    images: Annotated[int, typer.Option(min=1, help="Pictures a round; there are three rounds.")] = 2_000,
    pictures: Annotated[
        Path | None, typer.Option(help="Folder of JPEGs to measure with; rendered castings if left out.")
    ] = None,
    backbone: Annotated[
        str, typer.Option(help="Network, with random weights: they are as fast as others.")
    ] = "resnet50",
    seconds: Annotated[float, typer.Option(help="How long each stage alone is repeated.")] = 5.0,
    json: JsonFlag = False,
) -> None:
    """Measure the hourly job on a plant of its own: the ceiling, end to end, and each stage alone, in images/s."""
    from flows.settings import configure_prefect, load_settings, use_measured

    with plain_errors(), tempfile.TemporaryDirectory(prefix="casting-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o755)
        use_measured(home, device)
        settings = load_settings()
        configure_prefect(settings)
        rates = _measure(settings, pictures, backbone, images=images, seconds=seconds)
    if json:
        print_json(rates.to_json())
    else:
        _print(rates)


def _measure(settings: Settings, pictures: Path | None, backbone: str, *, images: int, seconds: float) -> ScoringRates:
    from flows.benchmark import load_pictures, measure_scoring, publish_random_model
    from flows.resources import close_resources, open_resources

    with messages.status("Measuring ..."):
        contents = load_pictures(pictures)
        resources = open_resources(settings)
        try:
            publish_random_model(resources, contents, backbone=backbone)
            return measure_scoring(resources, contents, images=images, seconds=seconds)
        finally:
            close_resources()


def _print(rates: ScoringRates) -> None:
    print_table(
        ("what", "images/s", "of the ceiling"),
        [
            (what, round(rate, 1), round(rate / rates.ceiling_images_per_s, 2))
            for what, rate in (
                ("fetch alone", rates.stages.fetch),
                ("decode alone, all cores", rates.stages.decode),
                ("forward alone: the ceiling", rates.ceiling_images_per_s),
                ("claim and write alone", rates.stages.write),
                ("end to end", rates.end_to_end_images_per_s),
                ("the loop everybody writes", rates.naive_images_per_s),
            )
        ],
        title=f"{rates.engine} on {rates.device}, three rounds of {rates.images} images",
    )
    messages.print(
        f"End to end reaches {rates.ratio:.1%} of the ceiling (rounds: "
        f"{', '.join(f'{ratio:.1%}' for ratio in rates.ratios)}).",
        highlight=False,
    )
