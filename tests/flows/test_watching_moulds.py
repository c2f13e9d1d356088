"""Moulds as streams beside their line, on a real database: found sooner, told once, and exact however parts arrive."""

from datetime import UTC, timedelta

import numpy as np
import pytest
from sqlalchemy import text

from casting_core.alert_message import compose
from casting_core.types import Window
from db import rollups
from db.baselines import read_baselines
from flows.alert_picture import read_history
from flows.baselines import set_baselines
from flows.settings import Settings
from tests.db.builders import rows, value
from tests.histories import HOUR, START
from tests.watched_line import Line

MOULDS = 10
EACH = 12
WATCHED = Settings(alert_budget_days=1, alert_streams="mould")


def scores(bad_of=None, *, number=0):
    """The parts of an hour, the moulds in turn: every 60th is defective, and so many of the moulds' given."""
    found = np.full(MOULDS * EACH, 0.1) + np.arange(MOULDS * EACH) % 7 / 100
    found[number % 60 :: 60] = 0.95
    for mould, count in (bad_of or {}).items():
        found[mould::MOULDS][:count] = 0.95
    return found


class Moulds(Line):
    """A line with ten moulds, each known of its parts unless said otherwise."""

    def hour(self, number, values, *, line="cam1", told=True, **options):
        super().hour(number, values, line=line, **options)
        if told:
            self.tell(number, len(values), line=line)

    def tell(self, number, count=MOULDS * EACH, *, line="cam1", mould=None, parts=None):
        """Say of which mould the parts of an hour are: in turn, or all of one."""
        at = START + number * HOUR
        told = [
            {
                "line": line,
                "part": f"P{number * 1000 + part:06d}",
                "day": at.date(),
                "value": mould or f"M{part % MOULDS}",
            }
            for part in (parts or range(count))
        ]
        with self.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO part_attribute (line, part_id, day, key, value) VALUES (:line, :part, :day, 'mould', "
                    ":value) ON CONFLICT (day, line, part_id, key) DO UPDATE SET value = excluded.value"
                ),
                told,
            )

    def watch(self, number, *, settings=WATCHED, **options):
        return super().watch(number, settings=settings, **options)

    def moulds(self):
        query = (
            "SELECT stream, hour, seen::text, charts::text FROM stream_state WHERE stream <> line ORDER BY stream, hour"
        )
        return rows(self.engine, query)


@pytest.fixture
def plant(engine):
    """Eight hours that are well, and baselines of them."""
    found = Moulds(engine)
    for number in range(8):
        found.hour(number, scores(number=number))
    with engine.begin() as connection:
        reference = Window(since=START, until=START + 8 * HOUR)
        set_baselines(
            connection, reference, who="test", why="well", keys=["mould"], now=START + 7 * HOUR, valid_from=None
        )
        connection.execute(text("DELETE FROM stream_change"))
    return found


def test_one_mould_that_climbs_is_found_while_its_line_does_not_climb(engine, plant):
    number, told = 8, []
    while not told:
        plant.hour(number, scores({3: 4}, number=number))
        number += 1
        plant.watch(number)
        told = plant.alerts("open")
        assert number < 30
    (alert,) = told
    finding = alert.finding
    assert (finding.kind, finding.stream, finding.line) == ("defect_rate_climb", "cam1/mould=M3", "cam1")
    assert finding.since.high >= START + 8 * HOUR
    assert finding.parts <= (number - 8 + 1) * EACH
    # Its parts alone are counted and shown.
    told = rows(engine, "SELECT DISTINCT value FROM part_attribute WHERE part_id = ANY (:ids)", ids=[*finding.examples])
    assert told == [("M3",)]
    with engine.connect() as connection:
        history = read_history(connection, alert)
    assert len(history.outcomes) == len(history.statistic) == number * EACH
    event = rows(engine, "SELECT * FROM alert_event")[0]
    message = compose(alert, event, key="k", timezone=UTC)
    assert "cam1, mould M3: defect rate climbs" in message.title
    assert "take mould M3 out" in message.body
    assert rows(engine, "SELECT line, shared FROM bi.alert_history") == [("cam1", "mould M3")]


def test_the_same_parts_in_any_batching_give_the_same_states(engine, plant):
    for number in range(8, 14):
        plant.hour(number, scores({3: number % 3}, number=number))
        plant.watch(number + 1)
    one_by_one = plant.moulds()
    assert len(one_by_one) == MOULDS * 6
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM stream_state"))
        connection.execute(
            text(
                "INSERT INTO stream_change (stream, hour) SELECT DISTINCT line, date_trunc('hour', captured_at, 'UTC') "
                "FROM image WHERE captured_at >= :since"
            ),
            {"since": START + 8 * HOUR},
        )
    plant.watch(14)
    assert plant.moulds() == one_by_one


def test_moulds_that_are_told_late_end_in_the_same_states(engine, plant):
    for number in range(8, 12):
        plant.hour(number, scores({3: 3}, number=number))
    plant.watch(12)
    in_time = plant.moulds()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM part_attribute WHERE day = :day"), {"day": START.date()})
    assert plant.watch(12).recomputed > 0
    assert plant.moulds() == []
    for number in range(8, 12):
        plant.tell(number)
    assert plant.watch(12).streams == MOULDS + 1
    assert plant.moulds() == in_time


def test_a_part_told_to_be_of_another_mould_moves_from_the_one_to_the_other(engine, plant):
    for number in range(8, 11):
        plant.hour(number, scores({3: 4}, number=number))
    plant.watch(11)
    (alert,) = plant.alerts("open")
    assert alert.finding.stream == "cam1/mould=M3"
    for number in range(8, 11):
        plant.tell(number, mould="M4", parts=range(3, MOULDS * EACH, MOULDS))
    plant.watch(11)
    assert not [row for row in plant.moulds() if row.stream.endswith("M3")]
    (other,) = plant.alerts("open")
    assert other.finding.stream == "cam1/mould=M4"
    (over,) = plant.alerts("resolved")
    why = value(engine, "SELECT why FROM alert_event WHERE event = 'resolved' AND alert_id = :id", id=over.alert_id)
    assert "does not signal" in why


def test_a_line_that_climbs_as_a_whole_is_one_alert_that_names_its_moulds(engine, plant):
    plant.hour(8, scores(dict.fromkeys(range(MOULDS), 3)))
    plant.watch(9)
    (alert,) = plant.alerts("open")
    assert alert.finding.stream == "cam1"
    for number in range(9, 14):
        plant.hour(number, scores(dict.fromkeys(range(MOULDS), 3)))
        plant.watch(number + 1)
    (alert,) = plant.alerts("open", "acknowledged", "resolved")
    assert alert.finding.stream == "cam1"
    assert len(alert.finding.evidence["climbing"]) >= MOULDS / 2
    # Told once more, when it shows where.
    assert plant.events().count("opened") == 1
    assert plant.events().count("updated") <= 2
    assert "Now it shows where" in value(engine, "SELECT string_agg(why, ' ') FROM alert_event")


def test_the_alert_of_a_mould_becomes_a_part_of_its_lines(plant):
    number = 8
    while not plant.alerts("open"):
        plant.hour(number, scores({3: 4}, number=number))
        number += 1
        plant.watch(number)
    (mould,) = plant.alerts("open")
    for _ in range(3):
        plant.hour(number, scores(dict.fromkeys(range(MOULDS), 4)))
        number += 1
        plant.watch(number)
    line = next(each for each in plant.alerts("open") if each.finding.stream == "cam1")
    joined = next(each for each in plant.alerts("open") if each.alert_id == mould.alert_id)
    assert joined.part_of == line.alert_id
    assert {each.alert_id for each in plant.alerts("open")} == {line.alert_id, mould.alert_id}


def test_a_climb_closed_on_the_line_is_not_told_again_by_its_moulds(engine, plant):
    plant.hour(8, scores(dict.fromkeys(range(MOULDS), 6)))
    plant.watch(9)
    (alert,) = plant.alerts("open")
    with engine.begin() as connection:
        now = START + 9 * HOUR + timedelta(minutes=30)
        connection.execute(
            text("UPDATE alert SET state = 'resolved', resolved_at = :now, resolved_by = 'anna' WHERE alert_id = :id"),
            {"now": now, "id": alert.alert_id},
        )
    plant.hour(9, scores(number=9))
    plant.watch(10)
    for number in range(10, 14):
        plant.hour(number, scores(number=number))
        plant.watch(number + 1)
    assert plant.alerts("open") == []


def test_an_hour_in_maintenance_says_nothing_of_the_moulds(engine, plant):
    plant.hour(8, scores(number=8))
    plant.watch(9)
    charts = [row.charts for row in plant.moulds()]
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO maintenance_window (line, since, until, who, why) "
                "VALUES ('cam1', :since, :until, 'a', 'b')"
            ),
            {"since": START + 9 * HOUR, "until": START + 10 * HOUR},
        )
    plant.hour(9, scores(dict.fromkeys(range(MOULDS), 12)))
    plant.watch(10)
    assert [row.charts for row in plant.moulds() if row.hour == START + 9 * HOUR] == charts
    assert plant.alerts() == []


def test_moulds_are_watched_only_where_the_plant_says_so(plant):
    plant.hour(8, scores({3: 12}))
    assert plant.watch(9, settings=Settings(alert_budget_days=1)).streams == 1
    assert plant.moulds() == []


def test_a_plant_that_comes_to_know_its_moulds_gets_baselines_of_them_from_their_first_parts(engine):
    plant = Moulds(engine)
    for number in range(20):
        plant.hour(number, scores(number=number), told=number >= 2)
        if number % 6 == 0:
            plant.watch(number + 1, settings=Settings())
    rollups.refresh(engine)
    assert plant.watch(20).first_baselines
    assert not plant.watch(20).first_baselines
    with engine.connect() as connection:
        found = read_baselines(connection, since=START + 30 * HOUR)
    streams = {stream: versions[-1] for (kind, stream), versions in found.items() if "/" in stream}
    assert set(streams) == {"/mould=", *(f"cam1/mould=M{number}" for number in range(MOULDS))}
    assert {each.share for each in streams.values()} == {0.5}
    assert {each.streams for each in streams.values()} == {MOULDS}
    plant.hour(21, scores(number=21))
    assert plant.watch(22).streams == MOULDS + 1
    assert {row.stream for row in plant.moulds()} == set(streams) - {"/mould="}


def test_an_attribute_that_is_different_for_every_part_makes_no_streams(engine):
    plant = Moulds(engine)
    plant.hour(0, scores(), told=False)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO part_attribute SELECT line, part_id, :day, 'mould', part_id FROM image"),
            {"day": START.date()},
        )
        found = set_baselines(
            connection,
            Window(since=START, until=START + HOUR),
            who="t",
            why="t",
            keys=["mould"],
            now=START + HOUR,
        )
    assert {each.stream for each in found} == {"cam1", ""}


def test_a_mould_that_is_no_longer_made_is_forgotten_and_never_missed(engine, plant):
    plant.hour(8, scores(number=8))
    plant.watch(9)
    assert len(plant.moulds()) == MOULDS
    later = 36 * 24
    for number in (later, later + 1):
        plant.hour(number, scores(number=number), told=False)
    plant.watch(later + 2)
    assert plant.moulds() == []
    assert {each.finding.stream for each in plant.alerts()} <= {"cam1"}
