"""Two days of the simulated month: climbs planted in a line are found on a real database, and nothing else is."""

from tests.histories import HOUR, START
from tests.history import Climb, draw, simulate, table, told_of

PER_HOUR = 100
CLIMB = Climb(line="line-b", ratio=5.0, begin=30, end=40)


def test_a_planted_climb_is_found_and_told_of_with_its_chart(engine, tmp_path):
    found = simulate(engine, [CLIMB], days=2, learn_days=1, per_hour=PER_HOUR, seed=3)
    assert told_of(CLIMB, found) == found
    assert [alert.finding.line for alert in found] == ["line-b"]
    since = found[0].finding.since
    assert since.low <= START + 30 * HOUR <= since.high
    assert found[0].opened_at - (START + 30 * HOUR) < 8 * HOUR
    draw(engine, [CLIMB], found, tmp_path)
    assert (tmp_path / "line-b-5.png").read_bytes().startswith(b"\x89PNG")
    lines = table([CLIMB], found, per_hour=PER_HOUR, watched_days=1).splitlines()
    assert "| line-b | x 5 | 03 Nov 06:00 |" in lines[2]
    assert lines[-1].startswith("False alarms: 0 in 1 days over 3 lines")
