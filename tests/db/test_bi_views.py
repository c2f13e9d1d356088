"""The views of schema bi: described throughout, and equal to a plain computation on any history."""

import math
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

import db
from casting_core.control_charts import p_prime_chart, sigma_z_of_hours
from casting_core.rates import Accuracy, clopper_pearson, rogan_gladen
from casting_core.types import Window
from tests.db.builders import rows
from tests.db.histories import Picture, open_model, roll_up, write_pictures

FILES = sorted((Path(db.__file__).parent / "views" / "bi").glob("*.sql"))
VIEWS = [
    "alert_history",
    "defect_rate_corrected_daily",
    "defect_rate_daily",
    "defect_rate_hourly",
    "defect_rate_shiftly",
    "model_scorecard",
    "p_chart_hourly",
    "pareto",
    "part",
    "pipeline_health",
    "quarantined_image",
    "rolling_rate",
    "scoring_run",
    "shift_plan",
    "verdict_history",
]


def test_the_views_are_those_that_the_documents_name(shared_engine):
    found = rows(shared_engine, "SELECT viewname FROM pg_views WHERE schemaname = 'bi' ORDER BY viewname")
    assert [row.viewname for row in found] == VIEWS


def test_every_view_and_every_column_says_what_it_is(shared_engine):
    silent = rows(
        shared_engine,
        """
        SELECT relname, attname
        FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        WHERE relnamespace = 'bi'::regnamespace AND relkind = 'v'
          AND (length(col_description(pg_class.oid, attnum)) > 10 AND length(obj_description(pg_class.oid)) > 30)
              IS NOT TRUE""",
    )
    assert silent == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_makes_the_view_that_it_is_named_after(path):
    source = path.read_text(encoding="utf-8")
    views = re.findall(r"^CREATE VIEW bi\.(\w+)", source, re.MULTILINE)
    assert views in ([], [path.stem[3:]])
    assert views or "CREATE FUNCTION" in source


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "shift_plan"])
def test_an_empty_history_has_no_rows(shared_engine, view):
    assert rows(shared_engine, f"SELECT * FROM bi.{view}") == []  # noqa: S608 - our own names


def test_a_month_without_history_has_no_pareto(shared_engine):
    assert rows(shared_engine, "SELECT * FROM bi.pareto_between('2026-11-01', '2026-12-01')") == []


# Any history at all, against a plain computation

BERLIN = ZoneInfo("Europe/Berlin")
SHIFTS = {"early": (6, 14), "late": (14, 22), "night": (22, 6)}
# The night in which clocks go back in Berlin (25 October 2026), and the one between October and November.
NIGHTS = [datetime(2026, 10, 24, 18, tzinfo=UTC), datetime(2026, 10, 31, 18, tzinfo=UTC)]
HOURS = [begin + timedelta(hours=hour) for begin in NIGHTS for hour in range(14)]
LINES = [f"line-{number}" for number in range(8)]
CARD = {"metrics": {"by_casting": {"defective": 95, "ok": 40, "detected": 87, "escapes": 5, "false_rejects": 2}}}
WHOLE = Window(since=HOURS[0] - timedelta(days=1), until=HOURS[-1] + timedelta(days=1))

# One line's history: how many parts an hour, and which of them are defective, in review, quarantined or still waiting.
OUTCOMES = st.lists(st.sampled_from(["ok", "ok", "ok", "defective", "review", "quarantine", "waiting"]), max_size=6)
LINE = st.dictionaries(st.sampled_from(HOURS), OUTCOMES, max_size=12)
PLANT = st.lists(LINE, min_size=len(LINES), max_size=len(LINES))


def pictures_of(plant):
    return [
        Picture(
            line=line,
            part_id=f"{hour:%H}-{place}",
            captured_at=hour + timedelta(minutes=place),
            verdicts={"v1": (outcome, 0.25 * place % 1)} if outcome in ("ok", "defective", "review") else {},
            quarantine="blank" if outcome == "quarantine" else None,
        )
        for line, hours in zip(LINES, plant, strict=False)
        for hour, outcomes in sorted(hours.items())
        for place, outcome in enumerate(outcomes)
    ]


def shift_of(moment):
    local = moment.astimezone(BERLIN)
    name = next(
        name
        for name, (since, until) in SHIFTS.items()
        if (since <= local.hour < until if since < until else local.hour >= since or local.hour < until)
    )
    yesterday = name == "night" and local.hour < 6
    return name, local.date() - timedelta(days=1 if yesterday else 0)


def mould_of(picture):
    return f"M{int(picture.part_id[-1]) % 3}"


def count(pictures, key):
    """Counts by a key of pictures, for keys with any."""
    groups = defaultdict(Counter)
    for each in pictures:
        outcome = each.quarantine or (each.verdicts["v1"][0] if each.verdicts else "waiting")
        groups[key(each)][outcome] += 1
    return groups


def expected_rates(pictures, key):
    rates = {}
    for group, outcomes in count(pictures, key).items():
        ok, defective, review = (outcomes[name] for name in ("ok", "defective", "review"))
        inspected = ok + defective + review
        exact = clopper_pearson(defective, inspected) if inspected else None
        rates[group] = (
            (inspected, ok, defective, review, outcomes["blank"])
            + ((defective / inspected, exact.low, exact.high) if inspected else (None, None, None))
            + ((1e6 * defective / inspected, ok / inspected) if inspected else (None, None))
        )
    return rates


RATE_COLUMNS = (
    "inspected, ok, defective, review, quarantined, rate, rate_low, rate_high, parts_per_million, first_pass_yield"
)


def shown_rates(connection, view, key):
    found = connection.execute(text(f"SELECT {key}, {RATE_COLUMNS} FROM bi.{view}")).all()  # noqa: S608 - our own names
    width = key.count(",") + 1
    return {tuple(row[:width]): tuple(row[width:]) for row in found}


def assert_alike(shown, expected):
    assert shown.keys() == expected.keys()
    for key, row in expected.items():
        assert shown[key] == pytest.approx(row, abs=1e-9), key


def hour_of(picture):
    return picture.captured_at.replace(minute=0)


def expected_charts(pictures, baselines):
    """By line and hour: centre, limits, sigma_z, whether out of control, and the rules hit on both sides."""
    charts = {}
    hours = expected_rates(pictures, lambda each: (each.line, hour_of(each)))
    for line in LINES:
        points = sorted((hour, row[0], row[2]) for (name, hour), row in hours.items() if name == line and row[0])
        if not points:
            continue
        n, k = [point[1] for point in points], [point[2] for point in points]
        if line in baselines:
            centre, icc, size = baselines[line]
            sigma_z = math.sqrt(1 + (size - 1) * icc)
        else:
            centre, size = (sum(k) + 0.5) / (sum(n) + 1), sum(n) / len(n)
            # Hours all alike say nothing of the spread.
            sigma_z = (sigma_z_of_hours(k, n, centre=centre) if len(n) > 1 else 0.0) or 1.0
        chart = p_prime_chart(k, n, centre=centre, sigma_z=sigma_z, usual_size=size)
        z = [(k / n - centre) / (sigma_z * math.sqrt(centre * (1 - centre) / n)) for _, n, k in points]
        for place, (hour, _, _) in enumerate(points):
            above, below = chart.above[place], chart.below[place]
            charts[line, hour] = (
                *(centre, chart.lower[place], chart.upper[place], sigma_z, above or below),
                rules(z[: place + 1], beyond=above),
                rules([-each for each in z[: place + 1]], beyond=below),
            )
    return charts


def rules(z, *, beyond):
    """Western Electric rules that the last point completes on the upper side."""
    hits = [1] if beyond else []
    if z[-1] > 2 and sum(each > 2 for each in z[-3:]) >= 2:
        hits.append(2)
    if z[-1] > 1 and sum(each > 1 for each in z[-5:]) >= 4:
        hits.append(3)
    if len(z) >= 8 and all(each > 0 for each in z[-8:]):
        hits.append(4)
    return hits


def expected_rolling(pictures):
    rolling = {}
    hours = expected_rates(pictures, lambda each: (each.line, hour_of(each)))
    points = sorted((line, hour, row[0], row[2]) for (line, hour), row in hours.items() if row[0])
    for line, hour, _, _ in points:
        parts = defective = 0
        for name, earlier, n, k in sorted(points, reverse=True):
            if name == line and earlier <= hour and parts < 500:
                parts, defective, since = parts + n, defective + k, earlier
        rolling[line, hour] = (parts, defective, since)
    return rolling


def expected_pareto(pictures, key):
    """By month and value: inspected, defective and cumulative share."""
    pareto = {}
    rates = expected_rates(pictures, lambda each: (f"{each.captured_at:%Y-%m}", key(each)))
    for month in {month for month, _ in rates}:
        values = {value: row for (of, value), row in rates.items() if of == month and row[0]}
        total, reached = sum(row[2] for row in values.values()), 0
        for value in sorted(values, key=lambda value: (-values[value][2], value)):
            reached += values[value][2]
            pareto[month, value] = (values[value][0], values[value][2], reached / total if total else None)
    return pareto


@pytest.fixture(scope="module")
def plant(shared_engine):
    """A plant in Berlin with a model and two baselines, in a transaction that is never committed."""
    with shared_engine.connect() as connection:
        connection.execute(text("UPDATE shift SET time_zone = 'Europe/Berlin'"))
        run = open_model(connection, "v1", window=WHOLE, promote=True, card=CARD)
        connection.execute(
            text("""
                INSERT INTO baseline (
                    kind, stream, rate, low, high, counted, inspected, own_weight, icc, parts_per_hour, reference_since,
                    reference_until, valid_from, set_by, why)
                SELECT
                    'defect_rate_climb', stream, rate, 0, 1, 0, 0, 1, icc, 5, '2026-01-01', '2026-02-01', '2026-03-01',
                    'test', 'test'
                FROM (VALUES ('line-0', 0.02, 0), ('line-1', 0.3, 0.05)) AS given (stream, rate, icc)""")
        )
        yield connection, run
        connection.rollback()


def write_moulds(connection):
    """The plant knows of each part which mould it is from: that of its last digit."""
    connection.execute(
        text("""
            INSERT INTO part_attribute (line, part_id, day, key, value)
            SELECT line, part_id, (captured_at AT TIME ZONE 'UTC')::date, 'mould', 'M' || right(part_id, 1)::int % 3
            FROM image""")
    )


BASELINES = {"line-0": (0.02, 0, 5), "line-1": (0.3, 0.05, 5)}


# Not shrunk: a history that fails is small enough to read, and each try costs some twenty queries.
@settings(max_examples=25, phases=[Phase.explicit, Phase.generate])
@given(lines=PLANT, rolled_up=st.booleans(), session_zone=st.sampled_from(["UTC", "Asia/Tokyo"]))
def test_any_history_is_shown_as_a_plain_computation_shows_it(plant, lines, rolled_up, session_zone):
    """Eight histories at a time, 200 in all."""
    connection, run = plant
    pictures = pictures_of(lines)
    with connection.begin_nested() as undone:
        connection.execute(text(f"SET LOCAL TIME ZONE '{session_zone}'"))
        write_pictures(connection, pictures, {"v1": run})
        write_moulds(connection)
        if rolled_up:
            roll_up(connection)
        assert_rates(connection, pictures)
        assert_charts(connection, pictures)
        assert_pareto(connection, pictures)
        assert_health(connection, pictures)
        undone.rollback()


def test_a_renamed_line_has_its_new_name_throughout_its_history_and_stays_the_same_line(plant):
    connection, run = plant
    hour = HOURS[3]
    with connection.begin_nested() as undone:
        pictures = pictures_of([{hour: ["ok", "defective"]}, {hour: ["defective", "ok", "ok"]}, {hour: ["ok"]}])
        write_pictures(connection, pictures, {"v1": run})

        def name(line, name):
            values = {"line": line, "name": name}
            connection.execute(
                text("""
                    INSERT INTO line_name (line, name) VALUES (:line, :name)
                    ON CONFLICT (line) DO UPDATE SET name = excluded.name"""),
                values,
            )

        def shown(query):
            return [tuple(row) for row in connection.execute(text(query))]

        hourly = "SELECT line, line_name, inspected FROM bi.defect_rate_hourly ORDER BY line"
        pareto = "SELECT value, inspected, defective FROM bi.pareto WHERE dimension = 'line' ORDER BY rank, value"
        name("line-0", "North")
        assert shown(hourly) == [("line-0", "North", 2), ("line-1", "line-1", 3), ("line-2", "line-2", 1)]
        # The camera got another key, and people see one line still.
        name("line-0", "Casting bay 1")
        name("line-1", "Casting bay 1")
        assert shown(hourly) == [
            ("line-0", "Casting bay 1", 2),
            ("line-1", "Casting bay 1", 3),
            ("line-2", "line-2", 1),
        ]
        assert shown(pareto) == [("Casting bay 1", 5, 2), ("line-2", 1, 0)]
        undone.rollback()


def assert_rates(connection, pictures):
    for view, key, of in [
        ("defect_rate_hourly", "line, hour", lambda each: (each.line, hour_of(each))),
        ("defect_rate_daily", "line, day", lambda each: (each.line, each.captured_at.date())),
        ("defect_rate_shiftly", "line, shift, day", lambda each: (each.line, *shift_of(hour_of(each)))),
    ]:
        assert_alike(shown_rates(connection, view, key), expected_rates(pictures, of))
    daily = expected_rates(pictures, lambda each: (each.line, each.captured_at.date()))
    accuracy = Accuracy(detected=87, defective=95, passed=38, sound=40)
    corrected = {key: rogan_gladen(row[2], row[0], accuracy) for key, row in daily.items() if row[0]}
    found = connection.execute(
        text("SELECT line, day, corrected_rate, corrected_low, corrected_high FROM bi.defect_rate_corrected_daily")
    )
    assert_alike(
        {(row.line, row.day): tuple(row[2:]) for row in found if row.corrected_rate is not None},
        {key: (each.rate, each.interval.low, each.interval.high) for key, each in corrected.items()},
    )


def assert_charts(connection, pictures):
    found = connection.execute(
        text("""
            SELECT line, hour, centre, lower_limit, upper_limit, sigma_z, out_of_control, rules_above, rules_below
            FROM bi.p_chart_hourly""")
    ).all()
    expected = expected_charts(pictures, BASELINES)
    shown = {(row.line, row.hour): tuple(row[2:]) for row in found}
    assert shown.keys() == expected.keys()
    for key, (*numbers, above, below) in expected.items():
        assert shown[key][:5] == pytest.approx(numbers, abs=1e-9), key
        assert shown[key][5:] == (above, below), key
    rolling = connection.execute(text("SELECT line, hour, parts, defective, since FROM bi.rolling_rate")).all()
    assert {(row.line, row.hour): tuple(row[2:]) for row in rolling} == expected_rolling(pictures)


def assert_pareto(connection, pictures):
    found = connection.execute(
        text("""
            SELECT to_char(month, 'YYYY-MM'), value, dimension, inspected, defective, cumulative_share
            FROM bi.pareto""")
    ).all()
    dimensions = [
        ("line", lambda each: each.line),
        ("shift", lambda each: shift_of(hour_of(each))[0]),
        ("mould", mould_of),
    ]
    for dimension, key in dimensions:
        shown = {tuple(row[:2]): tuple(row[3:]) for row in found if row.dimension == dimension}
        assert_alike(shown, expected_pareto(pictures, key))


def assert_health(connection, pictures):
    found = connection.execute(
        text("""
            SELECT line, hour, images, scored, quarantined, backlog, lag_max_minutes, quarantine_reasons
            FROM bi.pipeline_health""")
    ).all()
    expected = {}
    for key, outcomes in count(pictures, lambda each: (each.line, hour_of(each))).items():
        blank, waiting, images = outcomes["blank"], outcomes["waiting"], outcomes.total()
        scored = images - blank - waiting
        expected[key] = (images, scored, blank, waiting, 40 if scored else None, {"blank": blank} if blank else None)
    assert {(row.line, row.hour): tuple(row[2:]) for row in found} == expected
