"""A process is killed at each step of publishing, or finds the disk full: what it leaves is never loaded."""

import subprocess
import sys
import textwrap

import pytest

from casting_core.artifact import read_artifact
from casting_core.errors import ArtifactMissing

COMMON = """
    import hashlib, os, resource, signal, sys
    from datetime import UTC, datetime
    from fsspec.implementations.local import LocalFileSystem
    import torch
    from casting_core.artifact import encode_weights, publish_artifact, read_artifact
    from casting_core.card import ModelCard, Serving, Thresholds
    from casting_core.errors import ArtifactMissing, StorageError
    from casting_core.images import Decoding, ImageGate
    from casting_core.preprocess import Preprocessing

    weights = encode_weights({"w": torch.ones(200_000)})
    card = ModelCard(
        version="v1", trained_at=datetime.now(tz=UTC), architecture="resnet18",
        decoding=Decoding(color="grey", side=64),
        preprocessing=Preprocessing(side=64), gate=ImageGate(), temperature=1.0, thresholds=Thresholds(),
        serving=Serving(), weights_sha256=hashlib.sha256(weights).hexdigest(), libraries={}, data={}, training={},
        metrics={},
    )

    def publish():
        return publish_artifact(sys.argv[1], card=card, weights=weights, files={"predictions.csv": b"image,label"})
"""

KILLED = """
    steps = []

    def dying(name, before):
        original = getattr(LocalFileSystem, name)

        def step(self, *arguments, **options):
            steps.append(name)
            if before and len(steps) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(self, *arguments, **options)
            if not before and len(steps) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(LocalFileSystem, name, step)

    for before in (True, False):
        for die_at in range(1, 9):
            child = os.fork()
            if child == 0:
                for name in ("makedirs", "pipe_file", "mv"):
                    dying(name, before)
                publish()
                os._exit(0)
            _, status = os.waitpid(child, 0)
            try:
                read_artifact(f"{sys.argv[1]}/v1")
                loaded = True
            except ArtifactMissing:
                loaded = False
            killed = os.WIFSIGNALED(status)
            print(before, die_at, killed, loaded)
            os.system(f"rm -rf {sys.argv[1]}/v1")
"""

FULL = """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    try:
        publish()
    except StorageError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        read_artifact(f"{sys.argv[1]}/v1")
    except ArtifactMissing as error:
        print(error)
    publish()
"""


def run(program, folder):
    source = textwrap.dedent(COMMON) + textwrap.dedent(program)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", source, str(folder)], capture_output=True, text=True, check=False, timeout=250
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_killed_at_any_step_an_artifact_is_whole_or_not_there(tmp_path):
    outcomes = [line.split() for line in run(KILLED, tmp_path)]
    killed = [(before, int(at), loaded) for before, at, was_killed, loaded in outcomes if was_killed == "True"]
    # One folder, three files written and renamed: seven steps, and only after the last one is the artifact there.
    assert [at for before, at, _ in killed if before == "True"] == [1, 2, 3, 4, 5, 6, 7]
    assert {loaded for before, _, loaded in killed if before == "True"} == {"False"}
    assert [(at, loaded) for before, at, loaded in killed if before == "False"][-2:] == [(6, "False"), (7, "True")]
    assert [loaded for _, _, was_killed, loaded in outcomes if was_killed == "False"] == ["True", "True"]


def test_a_full_disk_is_said_and_leaves_nothing_that_loads_and_nothing_that_hinders(tmp_path):
    said, missing = run(FULL, tmp_path)
    assert "File too large" in said
    assert "lacks" in missing
    assert read_artifact(f"{tmp_path}/v1").card.version == "v1"


def test_an_empty_folder_is_no_artifact(tmp_path):
    with pytest.raises(ArtifactMissing):
        read_artifact(str(tmp_path))
