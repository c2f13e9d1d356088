"""Tables of commands, for people and for pipes."""

import pytest

from flows.commands.console import print_table

VERSION = "20261125T151137Z-mobilenet_v2-local-f08d7470"


@pytest.mark.parametrize("columns", [None, "80"])
def test_a_table_in_a_pipe_is_as_wide_as_its_cells_whatever_the_terminal_is(monkeypatch, capsys, columns):
    monkeypatch.delenv("COLUMNS")
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    print_table(("version", "state", "why"), [(VERSION, "champion", "looked at its report, and found it good enough")])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if VERSION in line]
    assert "looked at its report, and found it good enough" in row
