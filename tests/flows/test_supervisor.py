"""Services that end are started again, later each time; what is stopped is gone with all that it has started."""

import os
import signal
import sys
import time
from dataclasses import dataclass, field

import psutil
import pytest

from flows.errors import ServiceFailed
from flows.supervisor import ChildProcess, Supervisor, group_without_leader, shorten_log, wait_for


@dataclass(kw_only=True)
class FakeService:
    name: str = "millwright"
    up: bool = False
    starts: int = 0
    refuses: bool = False
    stopped: list = field(default_factory=list)

    def start(self):
        self.starts += 1
        if self.refuses:
            raise OSError("no room")
        self.up = True

    def alive(self):
        return self.up

    def how_it_ended(self):
        return "ended with exit code 3"

    def stop(self):
        self.stopped.append(self.name)
        self.up = False

    def process(self):
        return None


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def said():
    return []


@pytest.fixture
def supervisor(clock, said):
    return Supervisor(say=said.append, clock=clock)


def test_a_service_that_ends_is_started_again_and_people_are_told(supervisor, clock, said):
    service = FakeService()
    supervisor.start(service)
    service.up = False
    supervisor.look()
    assert said == ["millwright ended with exit code 3. It is started again in 1 s."]
    assert service.starts == 1
    clock.now += 1
    supervisor.look()
    assert (service.starts, service.up) == (2, True)
    assert said[1:] == ["millwright was started again."]
    assert (supervisor.kept[0].restarts, supervisor.kept[0].runs) == (1, True)


def test_one_that_keeps_ending_waits_longer_each_time_up_to_a_minute(supervisor, clock):
    service = FakeService()
    supervisor.start(service)
    waits = []
    for _ in range(9):
        service.up = False
        supervisor.look()
        waits.append(supervisor.kept[0].due - clock.now)
        clock.now = supervisor.kept[0].due
        supervisor.look()
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_one_that_cannot_start_is_tried_again_while_the_others_go_on(supervisor, clock, said):
    ill, well = FakeService(), FakeService(name="other")
    supervisor.start(ill)
    supervisor.start(well)
    ill.up, ill.refuses = False, True
    for _ in range(3):
        supervisor.look()
        clock.now += 100
    assert said[-1] == "millwright did not start: no room. It is started again in 4 s."
    assert well.up
    ill.refuses = False
    supervisor.look()
    assert ill.up


def test_after_a_minute_of_running_well_the_waits_begin_anew(supervisor, clock):
    service = FakeService()
    supervisor.start(service)
    for ran, expected in ((5, 1), (5, 2), (61, 1)):
        clock.now += ran
        service.up = False
        supervisor.look()
        assert supervisor.kept[0].due - clock.now == expected
        clock.now = supervisor.kept[0].due
        supervisor.look()


def test_services_are_stopped_in_the_reverse_order_of_their_start(supervisor):
    order = []
    for name in ("database", "server", "worker"):
        supervisor.start(FakeService(name=name, stopped=order))
    supervisor.stop()
    assert order == ["worker", "server", "database"]


def test_waiting_looks_after_the_services_and_says_what_did_not_come():
    looks = []
    wait_for(lambda: len(looks) == 3, what="Nothing", seconds=5, look=lambda: looks.append(1), pause=0)
    assert len(looks) == 3
    with pytest.raises(ServiceFailed, match="The press did not come up after 0 s"):
        wait_for(lambda: False, what="The press did not come up", seconds=0, look=lambda: None, pause=0)


# A program that starts another one of its group, as `prefect server start` does, and tells its number.
PARENT = (
    "import subprocess, sys, time; c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "sys.stdout.write(f'{c.pid}\\n'); sys.stdout.flush(); time.sleep(600)"
)


@pytest.fixture
def child(tmp_path):
    child = ChildProcess(
        name="press",
        command=(sys.executable, "-c", PARENT),
        environment=os.environ,
        log=tmp_path / "logs" / "press.log",
    )
    yield child
    child.stop()


def started(child):
    child.start()
    deadline = time.monotonic() + 20
    before = child.log.read_text()
    while not (written := child.log.read_text().removeprefix(before)).endswith("\n") or not written.strip().isdigit():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return psutil.Process(int(written))


def gone(process):
    psutil.wait_procs([process], timeout=5)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_stopping_a_program_ends_what_it_has_started(child):
    grandchild = started(child)
    assert child.alive()
    child.stop()
    assert not child.alive()
    assert gone(grandchild)


def test_a_killed_program_leaves_nothing_that_its_next_start_would_trip_over(child):
    grandchild = started(child)
    child.process().kill()
    while child.alive():
        time.sleep(0.02)
    assert child.how_it_ended() == f"was killed by signal {signal.SIGKILL}; its last words: {grandchild.pid}"
    assert [process.pid for process in group_without_leader(child._popen.pid)] == [grandchild.pid]
    started(child)
    assert gone(grandchild)
    assert child.alive()


def test_a_program_that_does_not_listen_is_killed(child):
    child.command = (sys.executable, "-c", f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PARENT}")
    child.stop_seconds = 0.3
    grandchild = started(child)
    child.stop()
    assert not child.alive()
    assert gone(grandchild)


def test_a_log_that_grew_long_is_put_aside_while_its_writer_goes_on(tmp_path):
    log = tmp_path / "press.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 100)
        shorten_log(log, most=300)
        writer.write(b"new\n")
    assert log.read_text() == "new\n"
    assert (tmp_path / "press.log.1").read_text() == "old\n" * 100
    shorten_log(tmp_path / "none.log")
