"""`casting up` is found by other commands while it runs, and what a killed one left behind is told from others."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from flows.errors import AlreadyRunning
from flows.running import ProcessMark, Running, ServiceMark, forget, leftovers, only_one, read_running

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def program():
    """Starts programs that end with the test."""
    running = []

    def start():
        running.append(subprocess.Popen(SLEEP, start_new_session=True))  # noqa: S603 - our own
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def running(supervisor, *services, since=None):
    marks = [ServiceMark(name=f"service {n}", runs=True, restarts=0, process=mark) for n, mark in enumerate(services)]
    return Running(
        supervisor=supervisor,
        phase="up",
        since=since or datetime.now(tz=UTC),
        api_url="http://127.0.0.1:4200/api",
        ui_url="http://127.0.0.1:4200",
        services=tuple(marks),
    )


def mark(process):
    return ProcessMark.of(psutil.Process(process.pid))


def test_what_runs_is_found_until_it_is_struck_out(tmp_path):
    assert read_running(tmp_path) is None
    written = running(ProcessMark.mine())
    written.write(tmp_path)
    assert read_running(tmp_path) == written
    forget(tmp_path)
    assert read_running(tmp_path) is None
    forget(tmp_path)


def test_a_file_of_other_words_is_nothing_running(tmp_path):
    (tmp_path / "up.json").write_text('{"supervisor": ')
    assert read_running(tmp_path) is None


def test_a_killed_one_does_not_run_and_its_services_are_left_over(tmp_path, program):
    up, service = program(), program()
    running(mark(up), mark(service)).write(tmp_path)
    assert leftovers(tmp_path) == [], "it runs: nothing is left over"
    up.kill()
    up.wait()
    assert read_running(tmp_path) is None
    assert [process.pid for process in leftovers(tmp_path)] == [service.pid]


def test_a_later_process_of_the_same_number_is_somebody_elses(tmp_path, program):
    up, other = program(), program()
    mine = mark(up)
    up.kill()
    up.wait()
    running(mine, ProcessMark(pid=other.pid, born=mark(other).born - 3600)).write(tmp_path)
    assert leftovers(tmp_path) == []


def test_what_was_written_before_the_machine_started_anew_is_left_alone(tmp_path, program):
    up, service = program(), program()
    before = datetime.fromtimestamp(psutil.boot_time(), tz=UTC) - timedelta(hours=1)
    running(mark(up), mark(service), since=before).write(tmp_path)
    up.kill()
    up.wait()
    assert leftovers(tmp_path) == []


def test_one_home_takes_one_casting_up_whose_lock_dies_with_it(tmp_path):
    hold = f"from pathlib import Path; from flows.running import only_one; l = only_one(Path({str(tmp_path)!r})); "
    holder = subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-c", hold + "l.__enter__(); print('held', flush=True); import time; time.sleep(600)"],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        running(mark(holder)).write(tmp_path)
        with pytest.raises(AlreadyRunning, match=r"already running on .*: see http://127.0.0.1:4200, or stop it"):
            only_one(tmp_path).__enter__()
    finally:
        holder.kill()
        holder.communicate()
    deadline = time.monotonic() + 5
    while True:
        try:
            with only_one(tmp_path):
                return
        except AlreadyRunning:
            assert time.monotonic() < deadline
