"""`casting labels`: what people say of images, in and out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.console import JsonFlag, fail, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casting_core.label_file import LabelRow

app = typer.Typer(help="What people say of images; retraining learns from it.", no_args_is_help=True)

_ROWS_SHOWN = 5


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet: image,label[,who,at,why]; image is a uri or a key.")],
    who: Annotated[str | None, typer.Option(help="Who labelled, where the file does not say; you by default.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Record the labels of a file: all of them, or none if one cannot be used. Importing it again changes nothing."""
    from dataclasses import asdict

    from casting_core.label_file import read_labels
    from db.errors import UnknownImages
    from db.labels import add_labels
    from flows.resources import open_resources
    from flows.settings import load_settings

    with plain_errors():
        settings = load_settings()
        resources = open_resources(settings)
        try:
            content = file.read_bytes()
        except OSError as error:
            fail(f"{file} cannot be read: {error.strerror}.")
        rows = read_labels(
            str(file), content, root=resources.store.url, who=who or settings.who, now=datetime.now(tz=UTC)
        )
        try:
            with resources.engine.begin() as connection:
                added = add_labels(connection, [row.given for row in rows])
        except UnknownImages as error:
            fail(f"{file}, {_places(rows, error.uris)}: {error}")
    if as_json:
        print_json(asdict(added))
    else:
        messages.print(
            f"{added.added} labels recorded, {added.changed} of them change what counted before; "
            f"{added.unchanged} were known already."
        )


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet file to write; `import` reads it as it is.")],
    line: Annotated[str | None, typer.Option(help="Only the images of this line.")] = None,
) -> None:
    """Write the label that counts for each labelled image."""
    from casting_core.label_file import write_labels
    from db.labels import current_labels
    from flows.resources import open_resources
    from flows.settings import load_settings

    with plain_errors():
        with open_resources(load_settings()).engine.connect() as connection:
            labels = current_labels(connection, line=line)
        try:
            file.write_bytes(write_labels(file.name, labels))
        except OSError as error:
            fail(f"{file} cannot be written: {error.strerror}.")
    messages.print(f"{len(labels)} labels in {file}")


@app.command("list")
def list_(
    line: Annotated[str | None, typer.Option(help="Only the images of this line.")] = None,
    most: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show the newest labels, and how many there are of each class."""
    from collections import Counter

    from db.labels import current_labels
    from flows.resources import open_resources
    from flows.settings import load_settings

    with plain_errors(), open_resources(load_settings()).engine.connect() as connection:
        labels = current_labels(connection, line=line)
    counts = Counter(label.label for label in labels)
    columns = ("labelled_at", "line", "part_id", "label", "who", "why", "uri")
    rows = [[getattr(label, column) for column in columns] for label in labels[:most]]
    if as_json:
        newest = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json({"ok": counts["ok"], "defective": counts["defective"], "newest": newest})
        return
    print_table(("labelled", "line", "part", "label", "who", "why", "image"), rows)
    messages.print(f"{counts['ok']} images are labelled ok, {counts['defective']} defective.")


def _places(rows: Sequence[LabelRow], uris: Sequence[str]) -> str:
    """Name the rows of images."""
    numbers = [str(row.number) for row in rows if row.given.uri in set(uris)]
    more = f" and {len(numbers) - _ROWS_SHOWN} more" if len(numbers) > _ROWS_SHOWN else ""
    return f"row{'s' if len(numbers) > 1 else ''} {', '.join(numbers[:_ROWS_SHOWN])}{more}"
