"""`casting db`: where the database is, its migrations, and queries."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.console import JsonFlag, expect_database, fail, messages, plain_errors, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from flows.settings import Settings

app = typer.Typer(help="The database: its address, its migrations, and queries.", no_args_is_help=True)


@app.command()
def url() -> None:
    """Print the address of the database, embedded or not; a password is left out."""
    from db.engine import public_address
    from flows.resources import open_engine
    from flows.settings import load_settings

    with plain_errors():
        typer.echo(public_address(open_engine(load_settings()).url))


@app.command()
def upgrade() -> None:
    """Bring the database to this release's schema. Safe to run again, and from many machines at once.

    The embedded one is backed up before. Back up one of your own yourself.
    """
    from db import migrate
    from flows.resources import open_database, open_engine
    from flows.settings import load_settings

    with plain_errors():
        settings = load_settings()
        engine = open_database(settings) if settings.database_url is None else open_engine(settings)
        migrate.upgrade(engine)
        messages.print(f"The database is at revision {migrate.check(engine)}, which is this release's.")


@app.command()
def refresh(
    every: Annotated[bool, typer.Option("--all", help="Count everything anew, not only what changed.")] = False,
) -> None:
    """Bring the roll-ups up to date. The hourly job does it too; views are exact without it, only slower."""
    from db import rollups

    with plain_errors(), _opened() as (_, engine):
        if every:
            with engine.begin() as connection:
                rollups.mark_all(connection)
        messages.print(f"{rollups.refresh(engine)} days of lines were counted anew.")


@app.command()
def check(
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m"], help="Leave earlier months out. Default: all of history.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Prove that the roll-ups equal a recount, and that images = scored + quarantined + backlog. Else exit code 1."""
    from db.rollup_check import check_rollups

    with plain_errors(), _opened() as (_, engine):
        wrong = list(check_rollups(engine, since=since.date() if since else None))
    if json:
        print_json([asdict(difference) for difference in wrong])
    else:
        for difference in wrong:
            typer.echo(str(difference))
    if wrong:
        fail(f"{len(wrong)} hours differ from a recount. Count them anew: casting db refresh --all")
    messages.print("The roll-ups equal a recount; images = scored + quarantined + backlog.")


@app.command()
def archive(
    before: Annotated[datetime, typer.Option(formats=["%Y-%m"], help="The first month that stays, such as 2026-01.")],
    to: Annotated[str | None, typer.Option(help="Any fsspec URL. Default: CASTING_ARCHIVE_URL.")] = None,
) -> None:
    """Move old months to object storage as Parquet: written, read back and compared, and only then dropped here.

    Their roll-ups stay, so trends go on. Run it as the user who owns the tables; again, if it was interrupted.
    """
    from db.archive import months_before
    from flows.archive import archive_month

    with plain_errors(), _opened() as (settings, engine):
        url = to or settings.archive_root
        with engine.connect() as connection:
            months = months_before(connection, before.date())
        for month in months:
            moved = archive_month(engine, month, url=url, options=settings.storage_options(url))
            told = ", ".join(f"{rows} of {table}" for table, rows in moved.items())
            messages.print(f"{month:%Y-%m} lies in {url}: {told}.", highlight=False, soft_wrap=True)


@app.command()
def unarchive(
    month: Annotated[datetime, typer.Argument(formats=["%Y-%m"], help="Such as 2025-11.")],
) -> None:
    """Bring an archived month back into the database; its files stay."""
    from flows.archive import unarchive_month

    with plain_errors(), _opened() as (settings, engine):
        moved = unarchive_month(engine, month.date(), options_for=settings.storage_options)
        told = ", ".join(f"{rows} of {table}" for table, rows in moved.items())
        messages.print(f"{month:%Y-%m} is back: {told}.", highlight=False, soft_wrap=True)


# A query may begin with a comment, which looks like an option.
@app.command(context_settings={"ignore_unknown_options": True})
def sql(
    query: Annotated[
        str, typer.Argument(help="One SQL statement, or a file .sql of it; it runs in a transaction that cannot write.")
    ],
    json: JsonFlag = False,
    csv: Annotated[str | None, typer.Option(help="Write the rows to this file as CSV; - for standard output.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the rows to this file as Parquet.")] = None,
) -> None:
    """Run a query and print its rows as a table, or write them to a file."""
    from flows.commands.rows import write_csv, write_parquet

    with plain_errors():
        if sum(map(bool, (json, csv, parquet))) > 1:
            fail("Give one of --json, --csv and --parquet.")
        columns, rows = _rows_of(_read(query) if query.endswith(".sql") else query)
        if not columns:
            messages.print("The statement returned no rows.")
        elif json:
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        elif csv:
            write_csv(columns, rows, csv)
        elif parquet:
            write_parquet(columns, rows, parquet)
        else:
            print_table(columns, rows)
        if (csv and csv != "-") or parquet:
            messages.print(f"Wrote {len(rows):,} rows to {csv or parquet}.", soft_wrap=True)


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except OSError as error:
        fail(f"The query {file} cannot be read: {error.strerror}.")


def _rows_of(query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one statement that cannot write. Columns and rows; no columns where it returns none."""
    from sqlalchemy import text

    from flows.resources import open_engine
    from flows.settings import load_settings

    settings = load_settings()
    expect_database(settings)
    engine = open_engine(settings)
    try:
        with engine.connect() as connection:
            connection.execution_options(postgresql_readonly=True)
            result = connection.execute(text(query.replace(":", r"\:")))
            if not result.returns_rows:
                return [], []
            return list(result.keys()), [tuple(row) for row in result]
    finally:
        engine.dispose()


@app.command()
def diagram() -> None:
    """Print the tables and how they hang together as a Mermaid diagram."""
    from db.diagram import entity_relationships
    from db.schema import metadata

    typer.echo(entity_relationships(metadata), nl=False)


@contextmanager
def _opened() -> Iterator[tuple[Settings, Engine]]:
    """The plant's settings and database, for the time of a command."""
    from flows.resources import open_database
    from flows.settings import load_settings

    settings = load_settings()
    engine = open_database(settings)
    try:
        yield settings, engine
    finally:
        engine.dispose()
