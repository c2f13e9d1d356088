"""Artifacts: every byte is checked, and one that was interrupted, damaged or exchanged is never loaded."""

import hashlib
import json
import pickle
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
import torch
from fsspec.implementations.local import LocalFileSystem

from casting_core.artifact import CARD, WEIGHTS, encode_weights, library_versions, publish_artifact, read_artifact
from casting_core.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    CardIncomplete,
    ModelError,
    StorageDenied,
    StorageUnavailable,
)


@dataclass(frozen=True)
class Place:
    """Where models are kept, and how to change a file there behind the program's back."""

    url: str
    options: dict[str, Any]
    bucket: Any = None

    def publish(self, model, **files):
        card, weights = model
        return publish_artifact(self.url, card=card, weights=weights, files=files, options=self.options)

    def read(self, url, **expected):
        return read_artifact(url, options=self.options, **expected)

    def files(self):
        if self.bucket:
            return {key: self.get(key) for key in self.bucket.keys()}  # noqa: SIM118 - a method of its own
        root = self.folder
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    @property
    def folder(self):
        from pathlib import Path

        return Path(self.url.removeprefix("file://"))

    def get(self, key):
        return self.bucket.client.get_object(Bucket=self.bucket.name, Key=key)["Body"].read()

    def put(self, url, name, content):
        key = f"{url.rpartition('/')[2]}/{name}"
        if self.bucket:
            self.bucket.put(f"models/{key}", content)
        else:
            (self.folder / key).write_bytes(content)

    def delete(self, url, name):
        key = f"{url.rpartition('/')[2]}/{name}"
        if self.bucket:
            self.bucket.delete(f"models/{key}")
        else:
            (self.folder / key).unlink()


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path):
    """The same tests for models in a folder and in a bucket."""
    if request.param == "local":
        return Place(f"file://{tmp_path}/models", {})
    bucket = request.getfixturevalue("s3_bucket")
    return Place(f"{bucket.url}/models", bucket.options, bucket)


@pytest.fixture
def model(make_card):
    """Card and weights of a model of two numbers: enough for everything but predicting."""
    weights = encode_weights({"fc.weight": torch.tensor([1.5, -2.25]), "steps": torch.tensor(7)})
    return make_card(weights), weights


@pytest.fixture
def other_model(make_card, model):
    """Another model that goes by the same version."""
    weights = encode_weights({"fc.weight": torch.tensor([9.0, 9.0])})
    return make_card(weights, version=model[0].version), weights


def test_what_was_published_is_read_back(place, model):
    card, weights = model
    url, sha256 = place.publish(model, **{"errors.png": b"a picture"})
    assert url == f"{place.url}/{card.version}"
    artifact = place.read(url, expected_sha256=sha256)
    assert (artifact.card, artifact.url, artifact.sha256) == (card, url, sha256)
    assert artifact.weights["fc.weight"].tolist() == [1.5, -2.25]
    assert artifact.weights["steps"].item() == 7
    files = {name.rpartition("/")[2]: content for name, content in place.files().items()}
    assert files == {WEIGHTS: weights, CARD: card.to_bytes(), "errors.png": b"a picture"}
    assert sha256 == hashlib.sha256(files[CARD]).hexdigest()


def test_publishing_the_same_model_again_changes_nothing(place, model):
    assert place.publish(model) == place.publish(model)
    assert len(place.files()) == 2


def test_a_version_is_never_overwritten_by_another_model(place, model, other_model):
    url, sha256 = place.publish(model)
    before = place.files()
    with pytest.raises(ArtifactCorrupt, match=r"holds another model already; versions are never overwritten"):
        place.publish(other_model)
    assert place.files() == before
    assert place.read(url, expected_sha256=sha256).card == model[0]


def test_weights_that_are_not_those_of_the_card_are_not_written(place, model, other_model):
    with pytest.raises(ArtifactCorrupt, match=r"not those that its card names; nothing was written"):
        place.publish((model[0], other_model[1]))
    assert place.files() == {}


def test_a_card_other_than_the_registered_one_is_refused(place, model):
    url, sha256 = place.publish(model)
    changed = json.loads(model[0].to_bytes()) | {"temperature": 0.5}
    place.put(url, CARD, json.dumps(changed).encode())
    with pytest.raises(ArtifactCorrupt, match=rf"{CARD} hashes to \w+, but the registry says {sha256}.*restore"):
        place.read(url, expected_sha256=sha256)
    # Without a registry to ask, as for `casting predict`, the card is taken at its word.
    assert place.read(url).card.temperature == 0.5


def test_weights_other_than_those_of_the_card_are_refused(place, model, other_model):
    url, sha256 = place.publish(model)
    place.put(url, WEIGHTS, other_model[1])
    for expected in (sha256, None):
        with pytest.raises(ArtifactCorrupt, match=rf"{WEIGHTS} hashes to .* but its card says .*restore"):
            place.read(url, expected_sha256=expected)


@pytest.mark.parametrize("part", [CARD, WEIGHTS])
def test_an_artifact_that_lacks_a_part_is_missing(place, model, part):
    url, sha256 = place.publish(model)
    place.delete(url, part)
    with pytest.raises(ArtifactMissing, match=rf"lacks \w+://.*/{part}\. Restore it.*promote another model, or train"):
        place.read(url, expected_sha256=sha256)


def test_an_artifact_that_was_never_there_is_missing(place):
    with pytest.raises(ArtifactMissing):
        place.read(f"{place.url}/nothing")


@pytest.mark.parametrize(("content", "complaint"), [(b"{}", "architecture"), (b"half a ca", "card: ")])
def test_a_card_that_cannot_be_served_is_refused(place, model, content, complaint):
    url, _ = place.publish(model)
    place.put(url, CARD, content)
    with pytest.raises(CardIncomplete, match=complaint):
        place.read(url)


class Trap:
    """What a pickle would run when loaded."""

    def __reduce__(self):
        return (pytest.fail, ("code from a weights file was run",))


@pytest.mark.parametrize("weights", [b"", b"no weights", pickle.dumps(Trap()), encode_weights({})[:5]])
def test_weights_that_are_no_safetensors_are_refused_and_run_no_code(place, make_card, weights):
    url, sha256 = place.publish((make_card(weights), weights))
    with pytest.raises(ArtifactCorrupt, match=r"weights\.safetensors is no safetensors file"):
        place.read(url, expected_sha256=sha256)


def check_whole_or_absent(place, model):
    """What an interrupted publishing left is whole or not to be loaded, and does not keep the next try from success."""
    card, _ = model
    url = f"{place.url}/{card.version}"
    try:
        artifact = place.read(url)
    except ArtifactMissing:
        whole = False
    else:
        assert artifact.card == card
        whole = True
    place.publish(model)
    assert place.read(url).card == card
    return whole


@pytest.mark.parametrize("good", range(4))
def test_publishing_that_stops_on_the_way_leaves_nothing_to_load(tmp_path, model, good, monkeypatch):
    done = []

    def stop_after(step):
        def stopping(*arguments, **options):
            if len(done) >= good:
                raise OSError(28, "No space left on device")
            done.append(arguments)
            return step(*arguments, **options)

        return stopping

    place = Place(f"file://{tmp_path}/models", {})
    with monkeypatch.context() as patched:
        for name in ("pipe_file", "mv"):
            patched.setattr(LocalFileSystem, name, stop_after(getattr(LocalFileSystem, name)))
        with pytest.raises(StorageUnavailable, match=r"No space left"):
            place.publish(model)
    assert not check_whole_or_absent(place, model)


def test_publishing_to_a_bucket_that_fails_on_the_way_leaves_nothing_to_load(s3_bucket, s3_faults, make_card):
    outcomes = []
    # Each model meets the fault one request later than the one before it, until one comes through.
    for good in range(20):
        weights = encode_weights({"number": torch.tensor(good)})
        model = (make_card(weights), weights)
        left = iter(range(good))
        s3_faults.fault = lambda _method, _path, left=left: None if next(left, None) is not None else "unavailable"
        place = Place(f"{s3_bucket.url}/models", s3_faults.options(), s3_bucket)
        try:
            place.publish(model)
        except StorageUnavailable:
            s3_faults.recover()
            outcomes.append(check_whole_or_absent(place, model))
        else:
            break
    # It is absent up to the step that puts the card in place, and whole from there on.
    assert outcomes == sorted(outcomes)
    assert outcomes[0] is False
    assert 4 < len(outcomes) < 19


@pytest.mark.parametrize("step", ["read", "publish"])
def test_trouble_with_the_storage_is_not_taken_for_trouble_with_the_model(s3_bucket, s3_faults, model, step):
    place = Place(f"{s3_bucket.url}/models", s3_faults.options(), s3_bucket)
    url, _ = place.publish(model)
    for kind, only in (("unavailable", ""), ("unavailable", WEIGHTS), ("truncate", WEIGHTS)):
        s3_faults.fail(kind, only=only)
        with pytest.raises(StorageUnavailable):
            place.read(url) if step == "read" else place.publish(model)


def test_missing_credentials_are_denied(s3_bucket, model, monkeypatch, tmp_path):
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    boto3.setup_default_session()
    options = {name: value for name, value in s3_bucket.options.items() if name not in ("key", "secret")}
    place = Place(f"{s3_bucket.url}/models", options, s3_bucket)
    for step in (lambda: place.publish(model), lambda: place.read(f"{place.url}/m1")):
        with pytest.raises(StorageDenied):
            step()


def test_the_libraries_that_decide_what_a_model_computes_are_named():
    versions = library_versions()
    assert versions["torch"] == torch.__version__.split("+")[0] or versions["torch"] == torch.__version__
    assert {"torchvision", "pillow", "numpy", "safetensors"} < set(versions)


def test_every_fault_of_an_artifact_is_a_model_error():
    assert all(issubclass(kind, ModelError) for kind in (ArtifactCorrupt, ArtifactMissing, CardIncomplete))
