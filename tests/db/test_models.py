"""The registry knows each version once and has one champion, whoever promotes whenever."""

from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import exc, text

from casting_core.types import RegisteredModel
from db import migrate, models
from db.errors import NoChampion, NothingToRollBack, UnknownModel
from tests.db.builders import BY, at_once, registered, rows, value, wait_until_blocked

STATES = "SELECT version, state FROM model ORDER BY version"


def champion_of(engine):
    with engine.connect() as connection:
        return models.champion(connection)


def promote(engine, version):
    with engine.begin() as connection:
        return models.promote_model(connection, version, **BY)


def test_a_registered_model_is_a_candidate_with_all_that_was_said_of_it(engine):
    card = {"architecture": "resnet50", "metrics": {"auroc": 0.946, "name": "Guß"}, "classes": ["defective", "ok"]}
    with engine.begin() as connection:
        model = models.register_model(
            connection, version="2026-11-23.resnet50", artifact_url="s3://models/1", sha256="0f" * 32, card=card, **BY
        )
    assert model == RegisteredModel(
        model_id=model.model_id,
        version="2026-11-23.resnet50",
        artifact_url="s3://models/1",
        sha256="0f" * 32,
        state="candidate",
    )
    with engine.connect() as connection:
        assert models.find_model(connection, model.version) == model
    assert rows(engine, "SELECT card, product, promoted_at FROM model") == [(card, "casting", None)]


def test_a_version_names_one_artifact_for_ever(engine):
    registered(engine, "v1")
    with pytest.raises(exc.IntegrityError) as refused:
        registered(engine, "v1")
    assert refused.value.orig.diag.constraint_name == "model_version_key"


@pytest.mark.parametrize("sha256", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n"])
def test_a_malformed_sha256_is_refused(shared_engine, sha256):
    with pytest.raises(exc.IntegrityError) as refused, shared_engine.begin() as connection:
        models.register_model(connection, version="v1", artifact_url="", sha256=sha256, card={}, **BY)
    assert refused.value.orig.diag.constraint_name == "model_sha256_check"


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'best', promoted_at = now()", "model_state_check"),
        ("state = 'champion'", "model_promoted_check"),
        ("state = 'retired'", "model_promoted_check"),
    ],
)
def test_a_model_that_cannot_be_is_refused(engine, change, constraint):
    registered(engine, "v1")
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text(f"UPDATE model SET {change}"))  # noqa: S608 - our own words
    assert refused.value.orig.diag.constraint_name == constraint


def test_a_promotion_retires_the_champion_before_and_can_be_taken_back(engine):
    for version in ("v1", "v2", "v3"):
        registered(engine, version)
    assert promote(engine, "v1").state == "champion"
    assert rows(engine, STATES) == [("v1", "champion"), ("v2", "candidate"), ("v3", "candidate")]
    assert promote(engine, "v2") == champion_of(engine)
    assert rows(engine, STATES) == [("v1", "retired"), ("v2", "champion"), ("v3", "candidate")]
    promote(engine, "v1")
    assert rows(engine, STATES) == [("v1", "champion"), ("v2", "retired"), ("v3", "candidate")]
    promote(engine, "v1")
    assert rows(engine, STATES) == [("v1", "champion"), ("v2", "retired"), ("v3", "candidate")]


def test_the_database_itself_refuses_a_second_champion(engine):
    registered(engine, "v1", promote=True)
    registered(engine, "v2")
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text("UPDATE model SET state = 'champion', promoted_at = now()"))
    assert refused.value.orig.diag.constraint_name == "model_champion_key"
    assert champion_of(engine).version == "v1"


def test_promotions_at_once_leave_one_champion_and_none_fails(engine):
    versions = [f"v{number}" for number in range(6)]
    for version in versions:
        registered(engine, version)
    barrier = Barrier(len(versions))

    def promote_all_but_together(version):
        barrier.wait()
        return promote(engine, version).version

    assert at_once(*[lambda version=version: promote_all_but_together(version) for version in versions]) == versions
    states = [state for _, state in rows(engine, STATES)]
    assert sorted(states) == ["champion"] + ["retired"] * 5


def test_a_promotion_waits_for_the_one_before_it_and_retires_what_that_promoted(engine):
    for version in ("v1", "v2"):
        registered(engine, version)
    with engine.connect() as first:
        models.promote_model(first, "v1", **BY)

        def end_first():
            wait_until_blocked(engine)
            assert value(engine, "SELECT count(*) FROM model WHERE state = 'champion'") == 0
            first.commit()

        promoted, ended = at_once(lambda: promote(engine, "v2"), end_first)
    assert (promoted.version, ended) == ("v2", None)
    assert rows(engine, STATES) == [("v1", "retired"), ("v2", "champion")]


def test_a_promotion_that_is_rolled_back_changes_nothing(engine):
    registered(engine, "v1", promote=True)
    registered(engine, "v2")
    with engine.connect() as connection:
        models.promote_model(connection, "v2", **BY)
        connection.rollback()
    assert champion_of(engine).version == "v1"


@pytest.mark.parametrize("find", [models.find_model, partial(models.promote_model, **BY)])
def test_an_unknown_version_is_named_beside_those_there_are(engine, find):
    with (
        pytest.raises(UnknownModel, match=r"No model 'v9' is registered. The newest are: none\."),
        engine.begin() as connection,
    ):
        find(connection, "v9")
    for number in range(7):
        registered(engine, f"v{number}", promote=number == 0)
    with pytest.raises(UnknownModel, match=r"'v9'.*: v6, v5, v4, v3, v2\."), engine.begin() as connection:
        find(connection, "v9")
    assert champion_of(engine).version == "v0"


@pytest.mark.parametrize("candidates", [0, 2])
def test_without_a_champion_the_message_says_what_to_do(engine, candidates):
    for number in range(candidates):
        registered(engine, f"v{number}")
    with pytest.raises(NoChampion, match=r"No model is promoted.*promote one, or run: casting demo"):
        champion_of(engine)


# Events

EVENTS = "SELECT version, event, who, why FROM model_event JOIN model USING (model_id) ORDER BY event_id"


def roll_back(engine, why="it lets pinholes pass"):
    with engine.begin() as connection:
        return models.roll_back(connection, who="ben", why=why).version


def test_every_change_of_state_leaves_an_event_that_says_who_and_why(engine):
    registered(engine, "v1", promote=True)
    registered(engine, "v2", promote=True)
    promote(engine, "v2")
    said = ("anna", "said the test")
    assert rows(engine, EVENTS) == [
        ("v1", "registered", *said),
        ("v1", "promoted", *said),
        ("v2", "registered", *said),
        ("v1", "retired", "anna", "replaced by v2"),
        ("v2", "promoted", *said),
    ]


def test_an_event_keeps_the_metrics_that_a_decision_was_made_on(engine):
    registered(engine, "v1")
    with engine.begin() as connection:
        models.promote_model(connection, "v1", who="anna", why="better", metrics={"escapes": 0})
        newest, first = models.model_events(connection, version="v1")
    assert (newest.event, newest.metrics) == ("promoted", {"escapes": 0})
    assert (first.event, first.metrics) == ("registered", {})


def test_a_promotion_that_is_rolled_back_leaves_no_event(engine):
    registered(engine, "v1", promote=True)
    registered(engine, "v2")
    before = rows(engine, EVENTS)
    with engine.connect() as connection:
        models.promote_model(connection, "v2", **BY)
        connection.rollback()
    assert rows(engine, EVENTS) == before


def test_a_roll_back_brings_back_the_champion_before_and_another_one_the_one_before_that(engine):
    for version in ("v1", "v2", "v3"):
        registered(engine, version, promote=True)
    assert roll_back(engine) == "v2"
    assert rows(engine, STATES) == [("v1", "retired"), ("v2", "champion"), ("v3", "retired")]
    assert rows(engine, EVENTS)[-2:] == [
        ("v3", "rolled_back", "ben", "it lets pinholes pass"),
        ("v2", "promoted", "ben", "rolled back from v3: it lets pinholes pass"),
    ]
    assert roll_back(engine) == "v1"
    with pytest.raises(NothingToRollBack, match=r"no champion before v1.*casting models promote"):
        roll_back(engine)
    assert champion_of(engine).version == "v1"


def test_what_is_promoted_after_a_roll_back_falls_back_to_the_champion_of_then(engine):
    for version in ("v1", "v2"):
        registered(engine, version, promote=True)
    roll_back(engine)
    registered(engine, "v3", promote=True)
    assert roll_back(engine) == "v1"
    promote(engine, "v2")
    assert roll_back(engine) == "v1"


def test_without_a_champion_there_is_nothing_to_roll_back(engine):
    with pytest.raises(NoChampion):
        roll_back(engine)


@pytest.mark.parametrize(
    "change", ["UPDATE model_event SET who = 'nobody'", "DELETE FROM model_event", "TRUNCATE model_event"]
)
def test_events_are_append_only(engine, change):
    registered(engine, "v1")
    with pytest.raises(exc.IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(text(change))


def test_models_are_listed_newest_first_with_their_cards(engine):
    registered(engine, "v1", promote=True)
    registered(engine, "v2")
    with engine.connect() as connection:
        newest, oldest = models.list_models(connection)
        (one,) = models.list_models(connection, version="v1")
    assert (newest.model.version, newest.promoted_at) == ("v2", None)
    assert (oldest.model.state, oldest.card) == ("champion", {"a": 1})
    assert one == oldest


def test_models_from_before_events_were_kept_get_theirs(empty_engine):
    migrate.upgrade(empty_engine, revision="0001")
    with empty_engine.begin() as connection:
        for number, state in enumerate(("retired", "champion", "candidate"), start=1):
            connection.execute(
                text(
                    "INSERT INTO model (version, artifact_url, sha256, card, state, registered_at, promoted_at) VALUES "
                    "(:version, '', repeat('a', 64), '{}', :state, :day, CASE WHEN :state <> 'candidate' THEN CAST("
                    ":day AS timestamptz) END)"
                ),
                {"version": f"v{number}", "state": state, "day": f"2026-11-0{number}"},
            )
    migrate.upgrade(empty_engine)
    assert [(version, event) for version, event, _, _ in rows(empty_engine, EVENTS)] == [
        ("v1", "registered"),
        ("v1", "promoted"),
        ("v1", "retired"),
        ("v2", "registered"),
        ("v2", "promoted"),
        ("v3", "registered"),
    ]
    assert roll_back(empty_engine) == "v1"
