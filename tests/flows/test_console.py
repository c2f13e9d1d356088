"""Tables of commands, for people and for pipes; and how a command ends when something expected goes wrong."""

from errno import EACCES

import pytest
import typer
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from db.engine import make_engine
from flows.commands.console import plain_errors, print_table

VERSION = "20261125T151137Z-mobilenet_v2-local-f08d7470"


@pytest.mark.parametrize("columns", [None, "80"])
def test_a_table_in_a_pipe_is_as_wide_as_its_cells_whatever_the_terminal_is(monkeypatch, capsys, columns):
    monkeypatch.delenv("COLUMNS")
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    print_table(("version", "state", "why"), [(VERSION, "champion", "looked at its report, and found it good enough")])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if VERSION in line]
    assert "looked at its report, and found it good enough" in row


def said(capsys, error):
    with pytest.raises(typer.Exit) as ended, plain_errors():
        raise error
    assert ended.value.exit_code == 1
    return " ".join(capsys.readouterr().err.split())


def test_a_folder_or_disk_that_cannot_be_used_is_named_with_what_to_check(capsys):
    told = said(capsys, PermissionError(EACCES, "Permission denied", "/plant/home"))
    assert told.startswith(
        "Error: /plant/home cannot be used: Permission denied. Check that it is there, that this user"
    )
    with pytest.raises(OSError, match="of no file"), plain_errors():
        raise OSError("of no file: a defect keeps its traceback")


def test_a_database_that_does_not_answer_is_told_from_one_that_refuses(capsys, engine):
    nobody = make_engine(engine.url.set(host="127.0.0.1", port=1, query={}, password="hidden"))  # noqa: S106
    with pytest.raises(DBAPIError) as away:
        nobody.connect()
    told = said(capsys, away.value)
    assert told.startswith('Error: No connection to the database: connection to server at "127.0.0.1", port 1 failed')
    assert told.endswith("Check that Postgres runs and CASTING_DATABASE_URL is right: casting doctor")
    assert "hidden" not in told
    with pytest.raises(DBAPIError) as refused, engine.connect() as connection:
        connection.execute(text("SELECT * FROM no_such_table"))
    assert said(capsys, refused.value).startswith('Error: The database refused: relation "no_such_table" does not')
