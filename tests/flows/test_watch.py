"""The watch as a flow: after every scoring run, never at its expense, and by hand."""

import json

import pytest
from typer.testing import CliRunner


@pytest.fixture
def scored(scoring_plant):
    """A plant that has scored one hour of a line."""
    from flows.score import score
    from tests.flows.conftest import NOW

    scoring_plant.put_many(6)
    score(until=NOW)
    return scoring_plant


def test_every_scoring_run_is_watched(scored):
    assert scored.sql("SELECT stream, seen ->> 'parts' FROM stream_state") == [("cam1", "6")]
    assert scored.sql("SELECT count(*) FROM stream_change") == [(0,)]


def test_a_watch_that_fails_does_not_fail_scoring_and_the_next_one_makes_up_for_it(scoring_plant, monkeypatch):
    from flows import watch
    from flows.score import score
    from tests.flows.conftest import NOW

    scoring_plant.put_many(6)
    with monkeypatch.context() as broken:
        broken.setattr(watch, "take_news", lambda *_args, **_options: 1 / 0)
        assert score(until=NOW).scored == 6
    assert scoring_plant.sql("SELECT count(*) FROM stream_state") == [(0,)]
    assert watch.watch().parts == 6


def test_casting_watch_tells_what_it_did(scored):
    from flows.cli import app

    result = CliRunner().invoke(app, ["watch", "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout.splitlines()[-1])
    assert (summary["streams"], summary["parts"]) == (1, 0)
    assert "alerts open now" in CliRunner().invoke(app, ["watch"]).stdout
