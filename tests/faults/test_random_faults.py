"""A plant PC through random faults, drawn from a seed: no image without an outcome, none with two.

    make faults PC_SCHEDULES=20 SEED=7

Each schedule drops images, starts the hourly job, does a few faults at random moments, and lets the system get well.
The oracle reads the database; what was run, done and found is printed.
"""

import os
import random
import signal
import time
from collections import Counter

import psutil
import pytest

from tests.faults.oracle import Expected, Oracle
from tests.faults.plant_pc import PlantPC, eventually

IMAGES = 60
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


def kill_child(pc, words):
    """Kill a process of `casting up` by words of its command line."""
    for child in psutil.Process(pc.ups[-1].pid).children(recursive=True):
        try:
            if words in " ".join(child.cmdline()):
                child.send_signal(signal.SIGKILL)
                return True
        except psutil.NoSuchProcess:
            continue
    return False


def kill_postgres(pc):
    psutil.Process(int((pc.home / "postgres" / "postmaster.pid").read_text().split()[0])).kill()
    return True


def cut_connections(pc):
    cut = pc.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return bool(cut)


def kill_everything(pc):
    pc.kill_everything()
    pc.up()
    return True


FAULTS = {
    "worker killed": lambda pc: kill_child(pc, "--pool casting-gpu"),
    "Prefect server killed": lambda pc: kill_child(pc, "prefect server start"),
    "run killed": lambda pc: kill_child(pc, "prefect.engine") or kill_child(pc, "flow-run execute"),
    "Postgres killed": kill_postgres,
    "connections cut": cut_connections,
    "everything killed": kill_everything,
}


def get_well(pc):
    """Run the hourly job until one run completes."""

    def completes():
        try:
            run = pc.run_deployment("score/hourly")
            state = eventually(
                lambda: (s := pc.state_of(run)) and s["type"] in ENDED and s, what="a run ends", seconds=300
            )
        except OSError:
            time.sleep(1)
            return False
        return state["type"] == "COMPLETED"

    eventually(completes, what="a run completes", seconds=600)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_random_faults_lose_and_double_nothing(capsys):
    schedules, seed = int(os.environ.get("PC_SCHEDULES", "3")), int(os.environ.get("SEED", "1"))
    chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
    done, found, bucket = Counter(), [], {}
    pc = PlantPC(CASTING_SCORE_CRON="0 0 1 1 *", CASTING_RETRY_DELAY_SECONDS="0.5")
    try:
        pc.up()
        champion = pc.publish(architecture="resnet18", side=224)
        oracle = Oracle(sql=pc.sql)
        for schedule in range(schedules):
            dropped = pc.drop_images(IMAGES, line=f"cam{schedule}")
            bucket |= {uri: Expected(content=content) for uri, content in dropped.items()}
            oracle.look()
            pc.run_deployment("score/hourly")
            for fault in chance.choices(list(FAULTS), k=chance.randint(1, 3)):
                time.sleep(chance.uniform(0.5, 12))
                done[fault] += bool(FAULTS[fault](pc))
            eventually(lambda: pc.command("status").returncode == 0, what="everything is up again", seconds=300)
            get_well(pc)
            found += [f"schedule {schedule}: {violation}" for violation in oracle.violations(bucket, model=champion)]
    finally:
        pc.close()
    with capsys.disabled():
        faults = ", ".join(f"{fault} {count}" for fault, count in done.items())
        print(f"\n{schedules} schedules of seed {seed}, {len(bucket)} images; {faults}; {len(found)} violations")  # noqa: T201
    assert not found
    assert sum(done.values()) > 0
