"""A plant PC under a steady rate of images: does anything grow that should stay as it is?

    make soak MINUTES=30

`casting up` runs with the hourly job every other minute, and one more process scores again and again, as a worker of
months would. Memory, open files and database connections are sampled; each that grows fails the soak.
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import psutil

from tests.faults.plant_pc import PlantPC, eventually
from tests.flows.conftest import picture
from tests.soak.samples import Samples

LINES = ("cam1", "cam2")
SAMPLE_SECONDS = 5
SCORE_SECONDS = 15
MINUTE = 60 // SAMPLE_SECONDS
# By words of the command line; the first that fits.
ROLES = {
    "Prefect server": "prefect server start",
    "worker (network)": "--pool casting-gpu",
    "worker (database)": "--pool casting-cpu",
}


def drop(pc, number, contents):
    """Let a picture arrive on each line, whole or not at all."""
    for line in LINES:
        folder = pc.home / "bucket" / line / datetime.now(tz=UTC).strftime("%Y/%m/%d/%H")
        folder.mkdir(parents=True, exist_ok=True)
        arriving = pc.home / f"arriving-{line}"
        arriving.write_bytes(contents[number % len(contents)])
        arriving.replace(folder / f"P{number:06d}.jpg")


@contextmanager
def scoring(pc, *, leak):
    """A process that scores again and again on a plant PC."""
    command = [sys.executable, "-m", "tests.soak.scoring", str(SCORE_SECONDS), str(leak)]
    with (pc.home / "soak.txt").open("w") as output:
        process = subprocess.Popen(command, env=pc.environment, stdout=output, stderr=output)  # noqa: S603
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def processes_of(pc, scoring_process):
    """The long-lived processes of the plant PC by what they are."""
    up = psutil.Process(pc.ups[-1].pid)
    found = {"scoring, run after run": psutil.Process(scoring_process.pid), "casting up": up}
    for child in up.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            words = " ".join(child.cmdline())
            for role, fits in ROLES.items():
                if fits in words:
                    found.setdefault(role, child)
    return found


def soak(pc, *, minutes, leak=0, rate=1.0, say=print):
    """Soak a plant PC that is up; return what was measured. `rate` is pictures a second on each line."""
    contents = [picture(seed, side=200) for seed in range(8)]
    samples, number = Samples(), 0
    with scoring(pc, leak=leak) as process:
        drop(pc, number, contents)
        eventually(lambda: pc.sql("SELECT 1 FROM scoring_run WHERE state = 'completed'"), what="a run completes")
        processes = processes_of(pc, process)
        began = time.monotonic()
        while (seconds := time.monotonic() - began) < minutes * 60:
            while number < seconds * rate:
                number += 1
                drop(pc, number, contents)
            if process.poll() is not None:
                raise SystemExit((pc.home / "soak.txt").read_text()[-3000:])
            if not samples.seconds or seconds - samples.seconds[-1] >= SAMPLE_SECONDS:
                ((connections,),) = pc.sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                )
                samples.take(seconds, processes, **{"database connections": connections})
                if len(samples.seconds) % MINUTE == 0:
                    say(
                        f"{seconds / 60:.0f} minutes: "
                        + ", ".join(f"{k} {v[-1]:.0f}" for k, v in samples.memory.items())
                    )
            time.sleep(0.2)
    return samples


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--leak", type=int, default=0, help="MiB, with a file and a connection, that each run keeps.")
    options = options.parse_args()
    pc = PlantPC(CASTING_SCORE_CRON="*/2 * * * *")
    try:
        pc.up()
        pc.publish(architecture="squeezenet1_1", side=64)
        samples = soak(pc, minutes=options.minutes, leak=options.leak)
        runs = pc.sql("SELECT state, count(*), sum(scored) FROM scoring_run GROUP BY state ORDER BY state")
        failed = (pc.home / "soak.txt").read_text().count("A run failed")
    finally:
        pc.close()
    rows = list(samples.rows())
    from flows.commands.console import print_table

    ended = ", ".join(f"{count} {state}, {images} images" for state, count, images in runs)
    title = f"{options.minutes:g} minutes; runs: {ended}; {failed} tries of the long-lived process failed"
    print_table(("", "after warm-up", "at the end", "growth", "verdict"), rows, title=title)
    return 0 if all(row[-1] == "flat" for row in rows) else 1


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "160")
    raise SystemExit(main())
