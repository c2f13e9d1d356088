"""The statistics in SQL are those of casting_core and of scipy."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta
from sqlalchemy import exc, text

from casting_core.control_charts import p_chart, p_prime_chart
from casting_core.errors import InvalidInput
from casting_core.rates import Accuracy, rogan_gladen

SIZES = [0, 1, 2, 3, 5, 10, 40, 79, 80, 115, 400, 2_700, 10_000, 1_000_000, 10_000_000]


@pytest.fixture(scope="module")
def connection(shared_engine):
    with shared_engine.connect() as connection:
        yield connection


def counts_up_to(inspected):
    near = {0, 1, 2, 3, 10, 39, 40, 41, 100, inspected // 50, inspected // 10, inspected // 3, inspected // 2}
    return sorted({k for each in near for k in (each, inspected - each) if 0 <= k <= inspected})


def test_the_exact_interval_is_that_of_the_beta_quantiles(connection):
    grid = [(k, n) for n in SIZES for k in counts_up_to(n)]
    query = text("""
        SELECT k, n, bi.exact_low(k, n) AS low, bi.exact_high(k, n) AS high
        FROM unnest(CAST(:k AS bigint[]), CAST(:n AS bigint[])) AS given (k, n)""")
    found = connection.execute(query, {"k": [k for k, _ in grid], "n": [n for _, n in grid]}).all()
    assert len(found) == len(grid)
    for k, n, low, high in found:
        assert low == pytest.approx(0 if k == 0 else beta.ppf(0.025, k, n - k + 1), abs=1e-10), (k, n)
        assert high == pytest.approx(1 if k == n else beta.ppf(0.975, k + 1, n - k), abs=1e-10), (k, n)


def test_small_rates_keep_their_digits(connection):
    low, high = connection.execute(text("SELECT bi.exact_low(2, 100000000), bi.exact_high(2, 100000000)")).one()
    assert low == pytest.approx(beta.ppf(0.025, 2, 99_999_999), rel=1e-6)
    assert high == pytest.approx(beta.ppf(0.975, 3, 99_999_998), rel=1e-6)


@pytest.mark.parametrize(("defective", "inspected"), [(-1, 5), (6, 5)])
def test_counts_that_cannot_be_are_refused(shared_engine, defective, inspected):
    with (
        shared_engine.connect() as connection,
        pytest.raises(exc.DataError, match=f"{defective} defective of {inspected} inspected is no count"),
    ):
        connection.execute(text("SELECT bi.exact_low(:k, :n)"), {"k": defective, "n": inspected})


@pytest.mark.parametrize("centre", [0.0, 1e-6, 0.004, 0.02, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("icc", [0.0, 1e-4, 0.005, 0.2, 0.9])
def test_chart_limits_are_those_of_the_control_charts(connection, centre, icc):
    sizes = [1, 2, 3, 10, 57, 115, 200, 2_000]
    usual = 115
    sigma_z = math.sqrt(1 + (usual - 1) * icc)
    if icc:
        chart = p_prime_chart([0] * len(sizes), sizes, centre=centre, sigma_z=sigma_z, usual_size=usual)
    else:
        chart = p_chart([0] * len(sizes), sizes, centre=centre)
    query = text("""
        SELECT greatest(0, (most_below + 1.0) / n) AS lower, least(1, (least_above - 1.0) / n) AS upper
        FROM unnest(CAST(:sizes AS bigint[])) WITH ORDINALITY AS given (n, place),
            bi.chart_limits(n, :centre, :icc)
        ORDER BY place""")
    found = connection.execute(query, {"sizes": sizes, "centre": centre, "icc": icc}).all()
    assert [float(row.lower) for row in found] == pytest.approx(chart.lower.tolist(), abs=1e-12)
    assert [float(row.upper) for row in found] == pytest.approx(chart.upper.tolist(), abs=1e-12)


@given(
    inspected=st.integers(0, 5_000),
    share=st.floats(0, 1),
    golden=st.tuples(st.integers(1, 150), st.floats(0, 1), st.integers(1, 150), st.floats(0, 1)),
)
def test_the_corrected_rate_is_that_of_rogan_and_gladen(connection, inspected, share, golden):
    defective, (positives, se, negatives, sp) = round(share * inspected), golden
    accuracy = Accuracy(
        detected=round(se * positives), defective=positives, passed=round(sp * negatives), sound=negatives
    )
    found = connection.execute(
        text("SELECT rate, low, high FROM bi.corrected_rate(:k, :n, :tp, :p, :tn, :s)"),
        {
            "k": defective,
            "n": inspected,
            "tp": accuracy.detected,
            "p": positives,
            "tn": accuracy.passed,
            "s": negatives,
        },
    ).one_or_none()
    try:
        expected = rogan_gladen(defective, inspected, accuracy)
    except InvalidInput:
        assert found is None
        return
    assert found is not None
    assert tuple(found) == pytest.approx((expected.rate, expected.interval.low, expected.interval.high), abs=1e-9)


# Shifts

BERLIN = """
    DELETE FROM shift;
    INSERT INTO shift (name, starts, ends, weekdays, time_zone) VALUES
        ('early', '06:00', '14:00', '{1,2,3,4,5}', 'Europe/Berlin'),
        ('late', '14:00', '22:00', '{1,2,3,4,5}', 'Europe/Berlin'),
        ('night', '22:00', '06:00', '{1,2,3,4,5,6}', 'Europe/Berlin')"""


@pytest.fixture
def berlin(shared_engine):
    with shared_engine.connect() as connection:
        connection.execute(text(BERLIN))
        yield connection
        connection.rollback()


def add_shift(connection, values):
    columns = "name, starts, ends, weekdays, time_zone"
    connection.execute(text(f"INSERT INTO shift ({columns}) VALUES {values}"))  # noqa: S608 - our own values


def shift_at(connection, moment, line="line-1"):
    query = text("SELECT shift, shift_day FROM bi.shift_at(:line, :moment)")
    row = connection.execute(query, {"line": line, "moment": moment}).one_or_none()
    return row and (row.shift, f"{row.shift_day:%a %d %b}")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 11, 23, 5, 0, tzinfo=UTC), ("early", "Mon 23 Nov")),
        (datetime(2026, 11, 23, 4, 59, tzinfo=UTC), None),  # Sunday has no night shift
        (datetime(2026, 11, 23, 21, 0, tzinfo=UTC), ("night", "Mon 23 Nov")),
        (datetime(2026, 11, 24, 4, 59, tzinfo=UTC), ("night", "Mon 23 Nov")),
        (datetime(2026, 11, 29, 2, 0, tzinfo=UTC), ("night", "Sat 28 Nov")),
        (datetime(2026, 11, 29, 12, 0, tzinfo=UTC), None),
        (datetime(2026, 11, 30, 22, 30, tzinfo=UTC), ("night", "Mon 30 Nov")),  # reaches into December
        (datetime(2026, 12, 1, 3, 0, tzinfo=UTC), ("night", "Mon 30 Nov")),
        (datetime(2026, 7, 1, 4, 0, tzinfo=UTC), ("early", "Wed 01 Jul")),  # summer time: an hour earlier in UTC
        # The night in which clocks go back (25 October, 01:00 UTC) has an hour more, and all of it is that night's.
        (datetime(2026, 10, 24, 20, 0, tzinfo=UTC), ("night", "Sat 24 Oct")),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), ("night", "Sat 24 Oct")),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), ("night", "Sat 24 Oct")),
        (datetime(2026, 10, 25, 4, 59, tzinfo=UTC), ("night", "Sat 24 Oct")),
        (datetime(2026, 10, 25, 5, 0, tzinfo=UTC), None),
    ],
)
def test_a_moment_belongs_to_the_shift_that_began_before_it(berlin, moment, expected):
    assert shift_at(berlin, moment) == expected


def test_a_line_with_shifts_of_its_own_has_no_others(berlin):
    berlin.execute(text("INSERT INTO shift (line, name, starts, ends) VALUES ('furnace', 'day', '08:00', '08:00')"))
    moment = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
    assert shift_at(berlin, moment, "furnace") == ("day", "Mon 23 Nov")
    assert shift_at(berlin, moment) == ("early", "Tue 24 Nov")


@pytest.mark.parametrize(
    "values",
    [
        "('tea', '05:00', '07:00', '{1}', 'Europe/Berlin')",
        "('tea', '13:59', '14:01', '{3}', 'Europe/Berlin')",
        "('tea', '23:00', '01:00', '{6}', 'Europe/Berlin')",
        "('tea', '12:00', '13:00', '{7}', 'UTC')",
    ],
)
def test_shifts_that_overlap_or_differ_in_zone_are_refused(berlin, values):
    with pytest.raises(exc.IntegrityError, match="overlap or differ in their time zone"):
        add_shift(berlin, values)


def test_a_night_shift_of_sunday_overlaps_the_early_hours_of_monday(berlin):
    add_shift(berlin, "('sunday', '22:00', '06:00', '{7}', 'Europe/Berlin')")
    with pytest.raises(exc.IntegrityError, match="overlap"):
        add_shift(berlin, "('monday', '04:00', '06:00', '{1}', 'Europe/Berlin')")


@pytest.mark.parametrize(
    "values",
    [
        "('', '05:00', '07:00', '{1}', 'UTC')",
        "('x', '05:00', '07:00', '{}', 'UTC')",
        "('x', '05:00', '07:00', '{0}', 'UTC')",
        "('x', '05:00', '24:00', '{1}', 'UTC')",
        "('x', '05:00', '07:00', '{1}', 'Europe/Atlantis')",
    ],
)
def test_a_shift_that_cannot_be_is_refused(berlin, values):
    berlin.execute(text("DELETE FROM shift"))
    with pytest.raises(exc.DBAPIError, match=r"check constraint|not recognized"):
        add_shift(berlin, values)
