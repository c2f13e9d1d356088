"""From an empty home the schedule fires by itself; everything is killed with -9; the schedule fires again."""

import pytest

from tests.faults.plant_pc import PlantPC, eventually


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_schedule_fires_by_itself_before_and_after_everything_was_killed():
    pc = PlantPC(CASTING_SCORE_CRON="* * * * *")
    try:
        pc.up()
        pc.publish(architecture="squeezenet1_1", side=64)
        pc.drop_images(40, line="cam1")
        eventually(lambda: pc.sql("SELECT count(*) FROM verdict") == [(40,)], what="the schedule fires", seconds=300)
        pc.drop_images(40, line="cam2")
        pc.kill_everything()
        pc.up()
        eventually(lambda: pc.sql("SELECT count(*) FROM verdict") == [(80,)], what="it fires again", seconds=400)
        assert pc.sql("SELECT count(DISTINCT image_id) FROM verdict") == [(80,)]
        runs = pc.api("POST", "/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}})
        assert len(runs) <= 1, "a run that comes due meanwhile is not piled up"
        assert pc.command("doctor").returncode == 0
    finally:
        pc.close()
