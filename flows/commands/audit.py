"""`casting audit`: can a data set be trained on, and would a test on it mean anything?"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import JsonFlag, fail, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from casting_core.audit import Audit


def audit(
    dataset: Annotated[
        str, typer.Argument(help="Folder per class, zip of such folders, or manifest (.csv, .parquet); a path or URL.")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for groups.csv, castings.csv and report.html.", show_default="./audit")
    ] = Path("audit"),
    classes: Annotated[
        str | None, typer.Option(help="Which folder or label means what, such as def_front=defective,ok_front=ok.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Find images of the same casting, contradicting labels and shortcuts in a labelled data set."""
    from casting_core.audit import audit_dataset, file_names, write_numbers
    from casting_core.audit_report import render_report
    from flows.data_sets import open_data_set
    from flows.settings import load_settings

    with plain_errors():
        data = open_data_set(load_settings(), dataset, classes=classes)
        with _progress_bar() as progress:
            result = audit_dataset(data, progress=progress)
        names = file_names([image.uri for image in data.images])
        files = {name: out / name for name in ("groups.csv", "castings.csv", "report.html")}
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_numbers(files["groups.csv"], names, result.grouping.groups, column="group")
            write_numbers(files["castings.csv"], names, result.grouping.castings, column="casting")
            files["report.html"].write_text(render_report(result), encoding="utf-8")
        except OSError as error:
            fail(f"The results cannot be written to {out}: {error.strerror}.")
    if as_json:
        print_json(result.to_json() | {"files": {name: str(path) for name, path in files.items()}})
    else:
        _print(result)
        messages.print(f"Written to {out}: {', '.join(files)}")


@contextmanager
def _progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task("")

        def report(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield report


def _print(result: Audit) -> None:
    print_table(
        ["class", "castings", "groups", "images"],
        [[each.label, each.castings, each.groups, each.images] for each in result.balance],
    )
    print_table(
        ["measure alone", "AUROC by casting", "AUROC by image"],
        [[each.measure, each.auroc_by_casting, each.auroc_by_image] for each in result.shortcuts],
    )
    print_table(
        ["found", "number"],
        [
            ["contradicting labels", len(result.contradictions)],
            ["files that cannot be judged", len(result.unreadable)],
            ["pictures without a disc", result.basis_counts().get("whole_picture", 0)],
        ],
    )
