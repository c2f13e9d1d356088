"""The servers that a plant leans on, as processes that can be killed and started again."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import httpx
import psutil

from db import embedded
from tests.flows.conftest import environment_without_prefect


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PrefectServer:
    """A Prefect server on a port and a home of its own."""

    def __init__(self, home):
        self.home, self.port = home, free_port()
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def environment(self):
        """What makes a process use this server."""
        return {
            "PREFECT_API_URL": self.url,
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }

    def start(self):
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            env=environment_without_prefect() | self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self, *, seconds=300):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return httpx.get(f"{self.url}/health", timeout=2).raise_for_status()
            except httpx.HTTPError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.2)

    def kill(self):
        victims = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()


class Postgres:
    """The embedded Postgres, and a small disk in it that can be filled where this machine lets us mount one."""

    def __init__(self, home):
        self.data, self.disk = home / "data", home / "small disk"
        self.url = embedded.start(self.data)
        self.disk.mkdir()
        self.tablespace = "pg_default"

    def kill(self):
        """Kill the server, and wait until its sessions have noticed: the next one could not start before."""
        postmaster = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        victims = [postmaster, *postmaster.children()]
        postmaster.kill()
        psutil.wait_procs(victims, timeout=10)

    def start(self):
        """Bring it up again, as `casting up` or systemd do."""
        embedded.start(self.data)

    @contextmanager
    def running(self):
        mounted = self._mount()
        try:
            yield self
        finally:
            embedded.stop(self.data)
            if mounted:
                subprocess.run(["umount", str(self.disk)], check=False)  # noqa: S603, S607

    def _mount(self):
        """Mount a disk of 64 MB, if we may; return whether we could. Its owner must be Postgres' own user."""
        options = f"size=64m,uid={self.data.stat().st_uid},gid={self.data.stat().st_gid},mode=700"
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(self.disk)]
        try:
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command
        except (OSError, subprocess.CalledProcessError):
            return False
        self.tablespace = "small_disk"
        return True

    @property
    def disk_can_be_filled(self):
        return self.tablespace != "pg_default"

    def fill_disk(self):
        """Take all the room that is left for tables and indexes."""
        with (self.disk / "ballast").open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(65536))
                file.flush()

    def empty_disk(self):
        (self.disk / "ballast").unlink(missing_ok=True)
