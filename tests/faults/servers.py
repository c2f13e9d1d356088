"""The Postgres that a plant leans on, as a process that can be killed and started again."""

import subprocess
from contextlib import contextmanager, suppress

import psutil

from db import embedded


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
