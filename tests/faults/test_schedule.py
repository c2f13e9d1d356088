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
def test_the_schedule_fires_by_itself_and_people_hear_of_a_climb_then_everything_is_killed_and_it_fires_again():
    with Receiver() as receiver:
        pc = PlantPC(CASTING_SCORE_CRON="* * * * *", CASTING_ALERT_URLS=f"foremen:={receiver.url}")
        try:
            pc.up()
            pc.publish(architecture="squeezenet1_1", side=64, thresholds=ALL_DEFECTIVE)
            pc.write_baselines([baseline_of(line, datetime.now(tz=UTC)) for line in ("", "cam1", "cam2")])
            pc.drop_images(IMAGES, line="cam1", ago=timedelta(hours=2))
            eventually(lambda: judged(pc) == IMAGES, what="the schedule fires", seconds=400)
            eventually(
                lambda: [got for got in receiver.received if got["line"] == "cam1" and got["event"] == "opened"],
                what="people hear that the line climbs",
                seconds=400,
            )
            pc.drop_images(IMAGES, line="cam2", ago=timedelta(hours=2))
            pc.kill_everything()
            pc.up()
            eventually(lambda: judged(pc) == 2 * IMAGES, what="it fires again", seconds=400)
            assert pc.sql("SELECT count(DISTINCT image_id) FROM verdict") == [(2 * IMAGES,)]
            running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
            runs = pc.api("POST", "/flow_runs/filter", running | {"deployments": {"name": {"any_": ["hourly"]}}})
            assert len(runs) <= 1, "a run that comes due meanwhile is not piled up"
            assert pc.command("doctor").returncode == 0
        finally:
            pc.close()


def judged(pc):
    return pc.sql("SELECT count(*) FROM verdict")[0][0]
