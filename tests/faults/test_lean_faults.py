"""Random schedules of faults, seconds each: whatever happens, no image is lost or judged twice, and no alert either.

    make faults SCHEDULES=100 SEED=7

A schedule drops images, starts the hourly job, in some of them two at once, does up to four faults at random moments,
and lets the plant get well. The seed draws what happens; the moment within the program at which it strikes is as the
machine has it. What was run, done and found is printed.
"""

import os
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from tests.faults.lean_faults import FAULTS, draw_faults
from tests.faults.lean_plant import CHANNEL, PATIENCE_SECONDS, lean_plant, servers
from tests.faults.oracle import Oracle

pytestmark = pytest.mark.timeout(7200)

LONGEST_PAUSE_SECONDS = 1.5
RECOVERY_RUNS = 4
SMALL_SEED = 89454


@dataclass(kw_only=True)
class Tally:
    """What was run, done and found."""

    faults: Counter = field(default_factory=Counter)
    counts: Counter = field(default_factory=Counter)
    violations: list = field(default_factory=list)

    def lines(self):
        width = max(map(len, [*FAULTS, *self.counts]))
        for name, count in [*self.counts.items(), *((name, self.faults[name]) for name in FAULTS)]:
            yield f"{name:<{width}}  {count:>6}"
        yield f"{'violations found':<{width}}  {len(self.violations):>6}"
        yield from self.violations


@pytest.fixture(scope="module")
def shared(s3_endpoint, s3_client):
    with servers(s3_endpoint, s3_client) as shared:
        yield shared


def run_schedule(shared, chance, tally):
    """Run one schedule; return its violations."""
    with lean_plant(shared) as plant:
        oracle = Oracle(sql=plant.sql)
        plant.drop_images(chance)
        for _ in range(chance.choice((1, 1, 2))):
            plant.start("score")
        for fault in draw_faults(chance):
            time.sleep(chance.uniform(0, LONGEST_PAUSE_SECONDS))
            if not plant.working():
                # The schedule fires again.
                plant.start("score")
                time.sleep(chance.uniform(0, LONGEST_PAUSE_SECONDS))
            look(oracle)
            tally.faults[fault] += bool(FAULTS[fault](plant, chance))
        found = get_well(plant)
        look(oracle)
        ((champion,),) = plant.sql("SELECT version FROM model WHERE state = 'champion'")
        found += oracle.violations(plant.expected, model=champion)
        found += oracle.alert_violations(plant.climbing, received=plant.receiver.keys, channel=CHANNEL)
        count(plant, tally)
        if found:
            found.append(f"what its processes said and its tables held lies in {keep(plant)}")
    return found


def keep(plant):
    """Keep what explains a violation; return the folder."""
    folder = Path(tempfile.mkdtemp(prefix="casting-violation-"))
    shutil.copytree(plant.folder, folder, dirs_exist_ok=True)
    for table in ("scoring_run", "alert", "alert_event", "delivery", "quarantine", "stream_change"):
        rows = plant.sql(f"SELECT * FROM {table}")  # noqa: S608 - our own words
        (folder / f"{table}.txt").write_text("\n".join(map(str, rows)))
    return folder


def look(oracle):
    """Remember the history, if the database can be asked at this moment."""
    try:
        oracle.look()
    except DBAPIError:
        return


def get_well(plant):
    """End what lasts, let all processes end, then score until it works and watch once more; say what did not work."""
    plant.shared.proxy.recover()
    plant.shared.prefect.wait()
    found = [f"a process of casting {process.name} did not end" for process in plant.wait()]
    plant.set_clock(hours=0)
    for _ in range(RECOVERY_RUNS):
        code, output = plant.finish("score", "--json")
        if code == 0:
            break
    else:
        found.append(f"scoring does not get well: {output[-2000:]}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while plant.sql("SELECT FROM stream_change UNION ALL SELECT FROM delivery WHERE delivered_at IS NULL"):
        _, output = plant.finish("watch")
        if time.monotonic() > deadline:
            return [*found, f"alerts do not get well: {output[-2000:]}"]
    return found


def count(plant, tally):
    ((verdicts, quarantined),) = plant.sql("SELECT (SELECT count(*) FROM verdict), (SELECT count(*) FROM quarantine)")
    scored = [process for process in plant.processes if process.name == "score"]
    keys = plant.receiver.keys
    tally.counts += Counter(
        {
            "images": len(plant.expected),
            "verdicts": verdicts,
            "quarantined": quarantined,
            "scoring processes": len(scored),
            "of them killed": sum(process.exitcode == -9 for process in scored),
            "of them ended with an error": sum(process.exitcode not in (0, -9) for process in scored),
            "lines that climbed": len(plant.climbing),
            "messages received": len(set(keys)),
            "messages repeated under their key": len(keys) - len(set(keys)),
        }
    )


def run_schedules(shared, tally, *, schedules, seed, progress=None):
    """Run schedules of a seed and tally them. Each can be run alone, as its chance is its own."""
    for number in range(schedules):
        chance = random.Random(f"{seed} {number}")  # noqa: S311 - chance, not secrecy
        tally.counts["schedules"] += 1
        found = [f"schedule {number}: {each}" for each in run_schedule(shared, chance, tally)]
        tally.violations += found
        if progress:
            progress(f"{number + 1} of {schedules} schedules", *found)


def test_one_schedule_loses_and_doubles_nothing(shared):
    # Two schedulers at once and a line that climbs; connections reset, scoring and Postgres killed, another model.
    tally = Tally()
    run_schedules(shared, tally, schedules=1, seed=SMALL_SEED)
    assert not tally.violations
    assert sum(tally.faults.values()) >= 3


@pytest.mark.slow
def test_random_faults_lose_and_double_nothing(shared, capsys):
    schedules, seed = int(os.environ.get("SCHEDULES", "100")), int(os.environ.get("SEED", "1"))

    def say(*lines):
        with capsys.disabled():
            print(*lines, sep="\n", flush=True)  # noqa: T201

    began, tally = time.monotonic(), Tally()
    try:
        run_schedules(shared, tally, schedules=schedules, seed=seed, progress=say)
    finally:
        # Also when somebody ends it early.
        say(f"seed {seed}, {time.monotonic() - began:.0f} s", *tally.lines())
    assert not tally.violations
    assert sum(tally.faults.values()) >= schedules / 2
