"""What the tables of alerts refuse."""

import pytest
from sqlalchemy import exc, text

OPEN = """
    INSERT INTO alert (kind, severity, stream, line, opened_at, updated_at, signal)
    VALUES ('defect_rate_climb', 'warning', 'cam1', 'cam1', now(), now(), 's') RETURNING alert_id"""
TELL = "INSERT INTO alert_event (alert_id, at, event, who, why) VALUES (:alert, now(), 'opened', 'watch', 'it climbs')"


@pytest.fixture
def told(engine):
    """An open alert with one event."""
    with engine.begin() as connection:
        alert = connection.execute(text(OPEN)).scalar_one()
        connection.execute(text(TELL), {"alert": alert})
    return alert


def refuses(engine, statement, error, match, **parameters):
    with engine.begin() as connection, pytest.raises(error, match=match):
        connection.execute(text(statement), parameters)


def test_a_stream_has_one_unresolved_alert_of_a_kind_and_may_have_another_after_it(engine, told):
    refuses(engine, OPEN, exc.IntegrityError, "alert_unresolved_key")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alert SET state = 'resolved', resolved_at = now(), resolved_by = 'watch'"))
        connection.execute(text(OPEN))


@pytest.mark.parametrize("statement", ["UPDATE alert_event SET why = 'no'", "DELETE FROM alert_event"])
def test_what_happened_to_an_alert_is_not_rewritten(engine, told, statement):
    refuses(engine, statement, exc.DBAPIError, "append-only")


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE alert SET state = 'resolved'", "alert_resolved_check"),
        ("UPDATE alert SET since = now()", "alert_since_check"),
        ("UPDATE alert SET since_low = now(), since = '2020-01-01Z', since_high = now()", "alert_since_check"),
        ("UPDATE alert SET part_of = alert_id", "alert_part_of_check"),
        ("INSERT INTO snooze (line, until, who, why) VALUES ('', now() - interval '1 h', 'a', 'b')", "snooze_window"),
    ],
)
def test_an_alert_that_contradicts_itself_is_refused(engine, told, statement, constraint):
    refuses(engine, statement, exc.IntegrityError, constraint)


def test_an_event_says_who_and_why(engine, told):
    refuses(engine, TELL.replace("'it climbs'", "''"), exc.IntegrityError, "alert_event_who_check", alert=told)
