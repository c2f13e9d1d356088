"""Keeps services up: starts them, starts again those that end, later each time, and stops them in order."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import psutil

from flows.errors import ServiceFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
# A service that ran this long had started well: its next end is a new trouble, not the old one.
_STEADY_SECONDS = 60.0
_LOG_BYTES = 20_000_000


class Service(Protocol):
    """What can be kept up. `start` may raise; `stop` returns when it has ended."""

    name: str

    def start(self) -> None:
        """Begin; return as soon as it is under way."""

    def alive(self) -> bool:
        """Whether it has not ended."""

    def how_it_ended(self) -> str:
        """The end in a few words, for the person who reads the log."""

    def stop(self) -> None:
        """End it, and what it has started."""

    def process(self) -> psutil.Process | None:
        """Its process, where it is one of ours."""


@dataclass(kw_only=True)
class ChildProcess:
    """A program that runs in a session of its own, so that Ctrl-C reaches the supervisor alone."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    stop_seconds: float = 20.0
    _popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program; its output is added to the log file. What an earlier start of it has left is ended."""
        if self._popen is not None:
            end_processes(group_without_leader(self._popen.pid), patience=0)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - our own command
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether the program runs; keeps its log from growing without end."""
        shorten_log(self.log)
        return self._popen is not None and self._popen.poll() is None

    def how_it_ended(self) -> str:
        """By which exit code or signal, and the last line that it wrote."""
        code = self._popen.returncode if self._popen else None
        ended = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        last = last_line(self.log)
        return f"{ended}; its last words: {last}" if last else ended

    def stop(self) -> None:
        """Ask the program to end, kill what is left of it and of what it started once its patience is over."""
        if self._popen is not None and (process := self.process()) is not None:
            end_processes([process], patience=self.stop_seconds)
            self._popen.wait()

    def process(self) -> psutil.Process | None:
        """The running program."""
        if self._popen is None or self._popen.poll() is not None:
            return None
        try:
            return psutil.Process(self._popen.pid)
        except psutil.NoSuchProcess:
            return None


@dataclass(kw_only=True)
class Kept:
    """How a service fares."""

    service: Service
    restarts: int = 0
    started_at: float = 0.0
    # When it is to be started again; None while it runs.
    due: float | None = None
    wait: float = _FIRST_WAIT_SECONDS

    @property
    def runs(self) -> bool:
        """Whether it was alive at the last look."""
        return self.due is None


@dataclass(kw_only=True)
class Supervisor:
    """Keeps services up. `say` hears of every end and every start anew; `clock` counts seconds."""

    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    kept: list[Kept] = field(default_factory=list)

    def start(self, service: Service) -> None:
        """Start a service and keep it up from now on. Raises what its start raises."""
        service.start()
        self.kept.append(Kept(service=service, started_at=self.clock()))

    def look(self) -> None:
        """Look at each service once: start again what has ended and has waited long enough."""
        for kept in self.kept:
            if kept.due is not None:
                if self.clock() >= kept.due:
                    self._start_again(kept)
            elif not kept.service.alive():
                self._put_off(kept, kept.service.how_it_ended())

    def stop(self) -> None:
        """Stop all services, those started last first."""
        while self.kept:
            self.kept.pop().service.stop()

    def processes(self) -> Iterator[psutil.Process]:
        """The processes of the services that have one."""
        for kept in self.kept:
            if (process := kept.service.process()) is not None:
                yield process

    def _start_again(self, kept: Kept) -> None:
        kept.restarts += 1
        kept.started_at = self.clock()
        try:
            kept.service.start()
        except Exception as error:  # noqa: BLE001 - whatever keeps one service down must not end the others
            self._put_off(kept, f"did not start: {error}")
        else:
            kept.due = None
            self.say(f"{kept.service.name} was started again.")

    def _put_off(self, kept: Kept, why: str) -> None:
        if self.clock() - kept.started_at >= _STEADY_SECONDS:
            kept.wait = _FIRST_WAIT_SECONDS
        self.say(f"{kept.service.name} {why}. It is started again in {kept.wait:.0f} s.")
        kept.due = self.clock() + kept.wait
        kept.wait = min(2 * kept.wait, _LONGEST_WAIT_SECONDS)


def wait_for(
    condition: Callable[[], bool], *, what: str, seconds: float, look: Callable[[], None], pause: float = 0.2
) -> None:
    """Wait until a condition holds, looking after the services meanwhile. Raises ServiceFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ServiceFailed(f"{what} after {seconds:.0f} s.")
        look()
        time.sleep(pause)


def end_processes(processes: Sequence[psutil.Process], *, patience: float) -> None:
    """Ask processes to end; after `patience` seconds kill them, and at once whatever they had started and left."""
    families = [[process, *_descendants(process)] for process in processes]
    everyone = [process for family in families for process in family]
    for process in processes:
        _signal(process.terminate)
    psutil.wait_procs(processes, timeout=patience)
    for process in everyone:
        _signal(process.kill)
    psutil.wait_procs(everyone, timeout=5)


def group_without_leader(leader: int) -> list[psutil.Process]:
    """What a program that is gone has left running in its process group; nothing while a process has its number.

    Killed with -9, `prefect server start` leaves the server proper, which keeps the port.
    """
    if psutil.pid_exists(leader):
        return []
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader:
                members.append(process)
        except ProcessLookupError:
            continue
    return members


def shorten_log(log: Path, *, most: int = _LOG_BYTES) -> None:
    """Put a long log aside as `<name>.1`; its writer, which only ever appends, goes on in the emptied file."""
    try:
        if log.stat().st_size > most:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)
    except FileNotFoundError:
        return


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return
