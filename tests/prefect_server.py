"""A Prefect server as a process that can be killed and started again."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import httpx
import psutil


def environment_without_prefect():
    """What a process is started with that is not to use the Prefect server of other tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


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

    @contextmanager
    def running(self):
        """The server while it is up."""
        self.start()
        try:
            self.wait()
            yield self
        finally:
            self.stop()

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
