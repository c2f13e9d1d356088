"""Long windows are judged slice by slice; an interrupted one goes on where it stopped; the hourly job goes first."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from casting_core.types import ScoringRun, StoredImage, Window
from db import models, runs
from db.errors import UnknownModel
from db.images import insert_images
from tests.flows.conftest import NOW
from tests.flows.test_score import assert_counts_add_up

MORNING = {"since": datetime(2026, 11, 23, 6, tzinfo=UTC), "until": datetime(2026, 11, 23, 9, tzinfo=UTC)}


def backfill(**parameters):
    from flows.backfill import backfill as flow
    from flows.slices import LongWindow

    return flow(LongWindow(**MORNING | parameters))


@pytest.fixture
def filled(scoring_plant):
    """Two hours with images: 06 with three, 08 with two."""
    for hour, count in ((6, 3), (8, 2)):
        scoring_plant.put_many(count, hour=hour)
    return scoring_plant


def stored(path):
    """A picture that lies in the bucket as a listing shows it."""
    from casting_core.storage import open_store

    folder = open_store(path.parent.as_uri()).list_folder("")
    (info,) = [each for each in folder.files if each.key == path.name]
    return StoredImage(
        uri=path.as_uri(),
        etag=info.etag,
        size=info.size,
        line="cam1",
        part_id=path.stem,
        view="",
        captured_at=MORNING["since"] + timedelta(hours=1),
        stored_at=info.stored_at,
    )


def windows(plant):
    return plant.sql("SELECT extract(hour FROM since AT TIME ZONE 'UTC')::int, scored FROM scoring_run ORDER BY since")


def test_every_slice_is_a_run_of_its_own_and_progress_is_shown(filled):
    from prefect.artifacts import Artifact

    totals = backfill()
    assert (totals.slices, totals.passed_over, totals.scored, totals.quarantined) == (3, 0, 5, 0)
    assert windows(filled) == [(6, 3), (7, 0), (8, 2)]
    assert assert_counts_add_up(filled) == (5, 5, 0, 0)
    artifact = Artifact.get("slices")
    assert float(artifact.data) == 100


def test_an_interrupted_one_passes_over_what_is_done(filled, monkeypatch):
    import flows.slices

    score, asked = flows.slices.score, []

    def interrupted(**parameters):
        asked.append(parameters["since"].hour)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return score(**parameters)

    monkeypatch.setattr(flows.slices, "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backfill()
    monkeypatch.setattr(flows.slices, "score", score)
    totals = backfill()
    assert (totals.passed_over, totals.scored) == (2, 2)
    assert windows(filled) == [(6, 3), (7, 0), (8, 2)]


def test_what_came_late_into_a_slice_that_was_done_is_judged(filled):
    seven = {"since": MORNING["since"] + timedelta(hours=1), "until": MORNING["since"] + timedelta(hours=2)}
    backfill(**seven)
    late = filled.put("cam1/2026/11/23/07/late.jpg")
    with filled.resources.engine.begin() as connection:
        insert_images(connection, [stored(late)])
    totals = backfill(**seven)
    assert (totals.passed_over, totals.scored) == (0, 1)


def test_another_models_verdicts_stand_beside_the_old_ones(filled):
    from flows.rescore import RescoreParameters, rescore

    backfill()
    other = filled.publish(seed=1, promote=False)
    totals = rescore(RescoreParameters(model=other.version, lines=["cam1"], **MORNING))
    assert (totals.passed_over, totals.scored) == (0, 5)
    assert filled.sql("SELECT model_id, count(*) FROM verdict GROUP BY 1 ORDER BY 1") == [(1, 5), (other.model_id, 5)]
    again = rescore(RescoreParameters(model=other.version, lines=["cam1"], **MORNING))
    assert (again.passed_over, again.scored) == (3, 0)


def test_a_model_that_is_not_registered_is_refused_before_anything_is_done(filled):
    from flows.rescore import RescoreParameters, rescore

    with pytest.raises(UnknownModel):
        rescore(RescoreParameters(model="none-such", **MORNING))
    assert filled.sql("SELECT count(*) FROM scoring_run") == [(0,)]


def test_a_slice_that_fails_is_told_of_in_the_end_and_the_others_are_done(filled, monkeypatch):
    import flows.slices
    from flows.errors import ScoringIncomplete, SlicesIncomplete

    score = flows.slices.score

    def fails_at_six(**parameters):
        if parameters["since"].hour == 6:
            raise ScoringIncomplete("2 chunks failed")
        return score(**parameters)

    monkeypatch.setattr(flows.slices, "score", fails_at_six)
    with pytest.raises(SlicesIncomplete, match=r"1 of 3 slices left images as backlog.*2 chunks failed"):
        backfill()
    assert windows(filled) == [(7, 0), (8, 2)]


def test_the_next_slice_waits_while_another_run_judges(filled, monkeypatch):
    import flows.slices

    monkeypatch.setattr(flows.slices, "_POLL_SECONDS", 0.05)
    engine = filled.resources.engine
    with engine.begin() as connection:
        hourly = ScoringRun(
            run_id=uuid4(), model=models.champion(connection), window=Window(since=NOW - timedelta(hours=2), until=NOW)
        )
        runs.open_run(connection, hourly, flow_run_id=None)
    ended, seen = threading.Event(), []

    def end_after_a_while():
        ended.wait(1.0)
        seen.append(filled.sql("SELECT count(*) FROM verdict"))
        ended.set()

    with runs.alive(engine, hourly.run_id):
        thread = threading.Thread(target=lambda: seen.append(backfill()))
        thread.start()
        end_after_a_while()
    thread.join(120)
    assert seen[0] == [(0,)], "nothing was judged while the other run lived"
    assert seen[1].scored == 5


@pytest.mark.parametrize("wrong", [{"since": "2026-11-23T06:00"}, {"slice_hours": 0}, {"line": ["cam1"]}])
def test_a_form_that_cannot_be_used_is_refused(wrong, prefect_server):
    from pydantic import ValidationError

    from flows.slices import LongWindow

    with pytest.raises(ValidationError):
        LongWindow(**MORNING | wrong)


def test_every_field_of_the_forms_says_what_it_is(prefect_server):
    from prefect.utilities.callables import parameter_schema

    from flows.backfill import backfill as backfill_flow
    from flows.rescore import rescore
    from flows.score import score

    fields = dict(parameter_schema(score).properties)
    for flow in (backfill_flow, rescore):
        for model in parameter_schema(flow).definitions.values():
            fields |= {f"{flow.name}.{name}": field for name, field in model["properties"].items()}
    assert len(fields) == 5 + 4 + 5
    assert not [name for name, field in fields.items() if not field.get("description")]
