"""What every command shares: where it prints, and how it ends when something expected goes wrong."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from flows.settings import Settings

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON value as the last line of standard output.")]

_PIPE_WIDTH = 200

# People read messages on standard error; standard output is for results.
messages = Console(stderr=True)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn the product's own errors, and those of this machine, into one line and exit code 1.

    A defect keeps its traceback.
    """
    from pydantic import ValidationError
    from sqlalchemy.exc import DBAPIError

    from casting_core.errors import CastingError
    from db.engine import no_connection, words_of
    from db.errors import DatabaseError
    from flows.errors import FlowError

    try:
        yield
    except (CastingError, DatabaseError, FlowError) as error:
        fail(str(error))
    except DBAPIError as error:
        if no_connection(error):
            fail(
                f"No connection to the database: {words_of(error)} "
                "Check that Postgres runs and CASTING_DATABASE_URL is right: casting doctor"
            )
        fail(f"The database refused: {str(error.orig).strip()}")
    except OSError as error:
        if error.filename is None:
            raise
        fail(
            f"{error.filename} cannot be used: {error.strerror}. "
            "Check that it is there, that this user may read and write it, and that the disk is not full."
        )
    except ValidationError as error:
        faults = [
            f"CASTING_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        ]
        fail("A setting cannot be used. " + "; ".join(faults))


def fail(message: str) -> NoReturn:
    """Say what went wrong and end the command."""
    messages.print("[bold red]Error:[/]", Text(message), highlight=False, soft_wrap=True)
    raise typer.Exit(code=1)


def expect_database(settings: Settings) -> None:
    """Refuse to make an empty embedded database where there is none: what is read of it would mislead."""
    if settings.database_url is None and not (settings.postgres_folder / "PG_VERSION").is_file():
        home = settings.home.absolute()
        fail(
            f"There is no embedded database in {home}. Set CASTING_HOME to the home of the plant, or begin: casting up"
        )


def as_utc(moment: datetime | None) -> datetime | None:
    """A time as a person types it: without a time zone it is UTC."""
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def print_json(value: Any) -> None:
    """Print a result for programs: one line on standard output."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a result for people, numbers to the right; into a pipe or file without regard to width."""
    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = rows and all(isinstance(row[index], int | float | None) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)  # what is given to `print` can only make it narrower
    console.print(table, markup=False, highlight=False)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S" if value.second else "%Y-%m-%d %H:%M")
    return str(value)
