"""Programs that are measured in a process of their own, since what was done before in this one would show in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_program(source: str, *arguments: str) -> Any:
    """Run Python in a new process; what it prints as its last line is read as JSON."""
    output = subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, "-c", source, *arguments], env=os.environ.copy(), check=True, capture_output=True, text=True
    ).stdout
    return json.loads(output.splitlines()[-1])


def peak_mebibytes() -> float:
    """The most memory that this process has held.

    Not from getrusage: its peak is that of the process that started this one, where that was larger.
    """
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024
