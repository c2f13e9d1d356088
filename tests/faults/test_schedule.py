"""From an empty home the schedule fires by itself; everything is killed with -9; the schedule fires again."""

from datetime import UTC, datetime, timedelta

import pytest

from casting_core.card import Thresholds
from tests.faults.lean_plant import baseline_of
from tests.faults.plant_pc import PlantPC, eventually
from tests.receiver import Receiver

# Every part of it is defective, and two of a hundred is usual.
ALL_DEFECTIVE = Thresholds(ok_below=0, defective_from=0)
IMAGES = 40


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_schedule_fires_by_itself_and_people_hear_of_a_climb_before_and_after_everything_was_killed():
    with Receiver() as receiver:
        pc = PlantPC(CASTING_SCORE_CRON="* * * * *", CASTING_ALERT_URLS=f"foremen:={receiver.url}")
        try:
            pc.up()
            pc.publish(architecture="squeezenet1_1", side=64, thresholds=ALL_DEFECTIVE)
            pc.write_baselines([baseline_of(line, datetime.now(tz=UTC)) for line in ("", "cam1", "cam2")])
            judged_and_told(pc, receiver, line="cam1")
            pc.drop_images(IMAGES, line="cam2", ago=timedelta(hours=2))
            pc.kill_everything()
            pc.up()
            judged_and_told(pc, receiver, line="cam2")
            assert pc.sql("SELECT count(*), count(DISTINCT image_id) FROM verdict") == [(2 * IMAGES, 2 * IMAGES)]
            assert len(set(receiver.keys)) == pc.sql("SELECT count(*) FROM delivery WHERE channel = 'foremen'")[0][0]
            runs = pc.api("POST", "/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}})
            assert len(runs) <= 1, "a run that comes due meanwhile is not piled up"
            assert pc.command("doctor").returncode == 0
        finally:
            pc.close()


def judged_and_told(pc, receiver, *, line):
    """Let the schedule judge a line's pictures of two hours ago, and tell people that it climbs."""
    pc.drop_images(IMAGES, line=line, ago=timedelta(hours=2))
    counted = f"SELECT count(*) FROM verdict JOIN image USING (image_id, captured_at) WHERE line = '{line}'"  # noqa: S608
    eventually(lambda: pc.sql(counted) == [(IMAGES,)], what="the schedule fires", seconds=400)
    eventually(
        lambda: any(line in got["lines"] and got["kind"] == "defect_rate_climb" for got in receiver.received),
        what=f"people hear of {line}",
        seconds=400,
    )
