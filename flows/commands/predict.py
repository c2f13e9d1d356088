"""`casting predict`: the model alone, without a database."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.commands.console import fail, messages, plain_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casting_core.types import Prediction, Rejection

_FILES_AT_A_TIME = 128


def predict(
    model: Annotated[str, typer.Option(help="Artifact folder: weights.safetensors and card.json.")],
    images: Annotated[str, typer.Option(help="Folder or URL; every file below it gets a row.")],
    out: Annotated[Path, typer.Option(help="CSV file to write: image, p_defective, verdict, reason.")],
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to run the model.")] = "auto",
) -> None:
    """Judge every file of a folder with a model, and write one row for each."""
    from rich.progress import track

    from casting_core.artifact import read_artifact
    from casting_core.scoring import load_scorer
    from flows.resources import open_storage
    from flows.settings import load_settings

    with plain_errors():
        settings = load_settings()
        scorer = load_scorer(read_artifact(model, options=settings.storage_options(model)), device=device)
        store = open_storage(settings, images)
        objects = sorted(store.walk(), key=lambda info: info.key)
        if not objects:
            fail(f"{store.url} holds no files; name a folder with images.")
        starts = range(0, len(objects), _FILES_AT_A_TIME)
        with out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("image", "p_defective", "verdict", "reason"))
            for start in track(starts, "judging", console=messages, transient=True, disable=not messages.is_terminal):
                some = objects[start : start + _FILES_AT_A_TIME]
                contents = store.fetch([(store.uri(info.key), info.etag) for info in some])
                outcomes = scorer.judge({info.key: contents[store.uri(info.key), info.etag] for info in some})
                writer.writerows(_rows(outcomes))
        messages.print(f"{len(objects)} rows in {out}")


def _rows(outcomes: dict[str, Prediction | Rejection]) -> Iterator[tuple[str, str, str, str]]:
    from casting_core.types import Prediction

    for image in sorted(outcomes):
        outcome = outcomes[image]
        if isinstance(outcome, Prediction):
            yield image, f"{outcome.p_defective:.6f}", outcome.verdict, ""
        else:
            yield image, "", "quarantined", f"{outcome.reason}: {outcome.detail}"
