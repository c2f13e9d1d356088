"""`casting` commands as processes that can be killed, forked from one that has imported everything already.

The imports take seconds, and a hundred schedules start some hundreds of processes. Each of them has its own pid, its
connections and its model, and runs the command from its first line to its last; only the imports are shared.
"""

import atexit
import multiprocessing
import os
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import forkserver

import time_machine

FORKS = multiprocessing.get_context("forkserver")
CLOCK_SECONDS = 0.05


@contextmanager
def ready_to_fork(environment):
    """Start the parent of all commands with an environment: Prefect reads its own when it is imported."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        FORKS.set_forkserver_preload(["tests.faults.forked"])
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        yield
    finally:
        forkserver._forkserver._stop()


def start(arguments, *, environment, output, clock):
    """Start `casting ARGUMENTS`; what it prints goes into the file `output`.

    Its clock goes wrong by as many hours as the file `clock` says, from the moment that it says so.
    """
    process = FORKS.Process(target=_run, name=arguments[0], args=(arguments, environment, str(output), clock))
    process.start()
    return process


def _run(arguments, environment, output, clock):
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    threading.Thread(target=_follow, args=(clock,), daemon=True).start()
    from flows.cli import app

    try:
        app(arguments)
    finally:
        # A process of multiprocessing leaves these out.
        atexit._run_exitfuncs()


def _follow(clock):
    """Let this process' clock jump when the file says so. Its monotonic clock goes on, as that of the system would."""
    shown, travelling = "0", ExitStack()
    while True:
        wanted = clock.read_text()
        if wanted and wanted != shown:
            travelling.close()
            if wanted != "0":
                there = datetime.now(tz=UTC) + timedelta(hours=float(wanted))
                travelling.enter_context(time_machine.travel(there, tick=True))
            shown = wanted
        time.sleep(CLOCK_SECONDS)
