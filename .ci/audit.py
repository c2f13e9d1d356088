"""Asks OSV, a public database, which packages of requirements.lock have known vulnerabilities: `make audit`.

Exit code 0 where none is known, 1 where one is. Where the database cannot be asked, this is said, and the code is 0.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"


def main() -> int:
    """Audit, say what was found, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", default=str(LOCK), help="File of pinned packages.")
    parser.add_argument("--service", help="Another address of an OSV database, ending in /v1/query.")
    given = parser.parse_args()
    found = ask(given.lock, given.service)
    if isinstance(found, str):
        print(f"NOT AUDITED: the database of vulnerabilities could not be asked. {found}")
        return 0
    audited = [package for package in found if "version" in package]
    left_out = sorted(package["name"] for package in found if "version" not in package)
    print(f"{len(audited)} packages audited" + (f"; not known there: {', '.join(left_out)}" if left_out else ""))
    vulnerable = [package for package in audited if package["vulns"]]
    for package in vulnerable:
        for known in package["vulns"]:
            fixed = ", ".join(known["fix_versions"]) or "no release yet"
            names = ", ".join([known["id"], *known["aliases"]])
            print(f"VULNERABLE: {package['name']} {package['version']}: {names}; fixed in {fixed}")
    return 1 if vulnerable else 0


def ask(lock: str, service: str | None) -> list[dict[str, Any]] | str:
    """Return what is known of each package, or why nothing could be asked."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", lock, "--no-deps", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(
        [*command, *(["--osv-url", service] if service else [])], capture_output=True, text=True, check=False
    )
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        # It ends with exit code 1 in both cases, and says what it found only where it could ask.
        return (done.stderr.strip().splitlines() or ["It said nothing."])[-1]
    return found


if __name__ == "__main__":
    sys.exit(main())
