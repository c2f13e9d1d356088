"""`casting db`: where the database is, its migrations, and queries."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands.console import JsonFlag, messages, plain_errors, print_json, print_table

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
def sql(
    query: Annotated[str, typer.Argument(help="One SQL statement; it runs in a transaction that cannot write.")],
    json: JsonFlag = False,
) -> None:
    """Run a query and print its rows as a table."""
    from sqlalchemy import text

    from flows.resources import open_engine
    from flows.settings import load_settings

    with plain_errors(), open_engine(load_settings()).connect() as connection:
        connection.execution_options(postgresql_readonly=True)
        result = connection.execute(text(query.replace(":", r"\:")))
        if not result.returns_rows:
            messages.print("The statement returned no rows.")
            return
        columns, rows = list(result.keys()), result.all()
        if json:
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        else:
            print_table(columns, rows)
