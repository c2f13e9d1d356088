"""What `casting up` writes down about itself in its home, so that other commands find it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from flows.errors import AlreadyRunning
from flows.supervisor import group_without_leader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# How far two readings of a process' birth may lie apart.
_BIRTH_SECONDS = 1.0


class ProcessMark(BaseModel, frozen=True):
    """A process that can be told from a later one of the same number."""

    pid: int
    born: float

    @classmethod
    def of(cls, process: psutil.Process) -> ProcessMark:
        """Mark a running process."""
        return cls(pid=process.pid, born=process.create_time())

    @classmethod
    def mine(cls) -> ProcessMark:
        """Mark this process."""
        return cls.of(psutil.Process())

    def process(self) -> psutil.Process | None:
        """The process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.born) < _BIRTH_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class ServiceMark(BaseModel, frozen=True):
    """How a service fared when `casting up` last wrote."""

    name: str
    runs: bool
    restarts: int
    process: ProcessMark | None


class Running(BaseModel, frozen=True):
    """A `casting up`: who it is, where its servers listen, how its services fare."""

    supervisor: ProcessMark
    phase: Literal["starting", "up", "stopping"]
    since: datetime
    api_url: str
    ui_url: str
    services: tuple[ServiceMark, ...] = ()

    def write(self, home: Path) -> None:
        """Put this into the home; a reader sees the old words or the new, never half of them."""
        path = _path(home)
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(self.model_dump_json(indent=1), encoding="utf-8")
        fresh.replace(path)


def read_running(home: Path) -> Running | None:
    """Return what runs on this home, or None when nothing does."""
    left = _read(home)
    return left if left is not None and left.supervisor.process() is not None else None


def leftovers(home: Path) -> list[psutil.Process]:
    """Processes that a killed `casting up` has left behind."""
    left = _read(home)
    if left is None or left.supervisor.process() is not None or left.since.timestamp() < psutil.boot_time():
        return []
    found = []
    for mark in (service.process for service in left.services if service.process is not None):
        process = mark.process()
        found += [process] if process else group_without_leader(mark.pid)
    return found


def forget(home: Path) -> None:
    """Strike out what was written: nothing runs any more."""
    _path(home).unlink(missing_ok=True)


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the home for one `casting up`; the lock dies with its process. Raises AlreadyRunning."""
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "up.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        running = read_running(home)
        where = f": see {running.ui_url}, or stop it with `casting down`" if running else ""
        raise AlreadyRunning(f"`casting up` is already running on {home}{where}.") from None
    try:
        yield
    finally:
        lock.release()


def _path(home: Path) -> Path:
    return home / "up.json"


def _read(home: Path) -> Running | None:
    try:
        return Running.model_validate_json(_path(home).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
