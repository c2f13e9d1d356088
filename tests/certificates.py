"""Certificates for Dask, made and named as deployments/SCALING.md says."""

import re
import subprocess
from pathlib import Path

import db

SCALING = Path(db.__file__).parents[1] / "deployments" / "SCALING.md"


def make_certificates(folder):
    """Make an authority and a certificate in a folder by the document's own commands; return its settings for them."""
    text = SCALING.read_text(encoding="utf-8")
    folder.mkdir(parents=True)
    commands = re.findall(r"^    (openssl .+)$", text, flags=re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        # Shorter keys are made quicker; they live for one test.
        subprocess.run(command.replace("3072", "2048"), shell=True, cwd=folder, check=True, capture_output=True)  # noqa: S602
    settings = dict(re.findall(r"^    export (DASK_\w+)=(\S+)$", text, flags=re.MULTILINE))
    assert len(settings) == 8
    return {name: value.replace("/etc/casting", str(folder)) for name, value in settings.items()}


def as_configuration(settings):
    """What Dask makes of such settings in its environment as a process begins, for one that has begun."""
    named = {name.removeprefix("DASK_").replace("__", ".").lower(): value for name, value in settings.items()}
    return named | {"distributed.comm.require_encryption": True} if named else {}
