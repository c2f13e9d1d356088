"""`make bench`: the tables of tests/benchmarks/README.md, measured now. `--json` prints one object as the last line."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flows.resources import close_resources
from tests.benchmarks import (
    audit,
    discovery,
    fetching,
    first,
    growth,
    history,
    scaling,
    scoring,
    training,
    watching,
    writing,
)

BENCHMARKS = {
    "scoring": scoring.run,
    "first": first.run,
    "fetching": fetching.run,
    "growth": growth.run,
    "scaling": scaling.run,
    "discovery": discovery.run,
    "writing": writing.run,
    "training": training.run,
    "history": history.run,
    "audit": audit.run,
    "watching": watching.run,
}
# Half an hour, ten and five minutes: only where they are named.
LONG = ("history", "growth", "scaling")


def main() -> None:
    """Run the benchmarks that were named, or all but the long ones."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="only these")
    parser.add_argument("--images", type=int, default=2000, help="images that are scored")
    parser.add_argument("--verdicts", type=int, default=10_000_000, help="verdicts of the history")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    console = Console(stderr=True)
    results = {"machine": machine()}
    console.print(results["machine"])
    with tempfile.TemporaryDirectory(prefix="casting-bench-") as folder:
        # One for all: a Prefect server started for one benchmark serves the next ones too.
        os.environ["PREFECT_HOME"] = f"{folder}/prefect"
        for name in options.names or [name for name in BENCHMARKS if name not in LONG]:
            home = Path(folder) / name
            home.mkdir(mode=0o755)
            with console.status(f"{name} ..."):
                size = {"verdicts": options.verdicts} if name == "history" else {"images": options.images}
                results[name] = BENCHMARKS[name](home, **size)
            table = Table(title=name, title_justify="left")
            table.add_column("what")
            table.add_column("value", justify="right")
            for what, value in results[name].items():
                table.add_row(what, f"{value:,.3f}" if isinstance(value, float) else str(value))
            console.print(table)
        close_resources()
    if options.json:
        sys.stdout.write(json.dumps(results) + "\n")


def machine() -> dict[str, str]:
    """What was measured on."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "date": datetime.now(tz=UTC).date().isoformat(),
        "cpu": cpu,
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torchvision", "prefect", "sqlalchemy", "psycopg", "pillow")},
    }


if __name__ == "__main__":
    main()
