"""Model artifacts: a folder with `weights.safetensors` and `card.json`, published whole or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import fsspec
import safetensors.torch

from casting_core.card import ModelCard
from casting_core.errors import ArtifactCorrupt, ArtifactMissing
from casting_core.storage_errors import raise_translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

WEIGHTS = "weights.safetensors"
CARD = "card.json"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An artifact as read: its card, its weights, what its engine reads instead, and the sha256 that stands for all."""

    url: str
    card: ModelCard
    weights: dict[str, torch.Tensor]
    engine_files: dict[str, bytes]
    sha256: str


def library_versions() -> dict[str, str]:
    """The libraries that decide what a model computes."""
    return {name: version(name) for name in ("torch", "torchvision", "pillow", "numpy", "safetensors")}


def encode_weights(weights: Mapping[str, torch.Tensor]) -> bytes:
    """The weights as safetensors, which holds numbers alone and runs no code when read."""
    return safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})


def publish_artifact(
    models_url: str,
    *,
    card: ModelCard,
    weights: bytes,
    files: Mapping[str, bytes] | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[str, str]:
    """Write an artifact below `models_url` and return its URL and sha256.

    The card is written last, and an artifact without a card is not loaded: one that was interrupted never serves.
    Raises ArtifactCorrupt when the weights are not those the card names or the version is taken by other bytes, and
    StorageUnavailable or StorageDenied.
    """
    named = {WEIGHTS: card.weights_sha256, **card.serving.files}
    given = {WEIGHTS: weights, **(files or {})}
    if any(name not in given or hashlib.sha256(given[name]).hexdigest() != sha256 for name, sha256 in named.items()):
        raise ArtifactCorrupt(f"The files for {card.version} are not those that its card names; nothing was written.")
    filesystem, root = fsspec.core.url_to_fs(models_url, **dict(options or {}))
    folder = f"{root.rstrip('/')}/{card.version}"
    url = str(filesystem.unstrip_protocol(folder))
    content = card.to_bytes()
    try:
        if filesystem.exists(f"{folder}/{CARD}"):
            _check_same(filesystem.cat_file(f"{folder}/{CARD}"), content, url)
        filesystem.makedirs(folder, exist_ok=True)
        for name, data in {**given, CARD: content}.items():
            partial = f"{folder}/.{name}.partial"
            filesystem.pipe_file(partial, data)
            filesystem.mv(partial, f"{folder}/{name}")
    except Exception as error:  # noqa: BLE001 - each kind is told apart there
        raise_translated(error, url)
    return url, hashlib.sha256(content).hexdigest()


def read_artifact(
    url: str, *, expected_sha256: str | None = None, options: Mapping[str, Any] | None = None
) -> Artifact:
    """Read an artifact and check every byte of it, first the card against `expected_sha256`, then files against card.

    Raises ArtifactMissing, ArtifactCorrupt, CardIncomplete, StorageUnavailable or StorageDenied.
    """
    filesystem, folder = fsspec.core.url_to_fs(url, **dict(options or {}))
    card_bytes = _read(filesystem, f"{folder}/{CARD}")
    sha256 = hashlib.sha256(card_bytes).hexdigest()
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise ArtifactCorrupt(
            f"{url}/{CARD} hashes to {sha256}, but the registry says {expected_sha256}. "
            "It was changed after it was registered: restore the artifact, or promote another model."
        )
    card = ModelCard.from_bytes(card_bytes, where=f"{url}/{CARD}")
    named = {WEIGHTS: card.weights_sha256, **card.serving.files}
    files = {name: _read_checked(filesystem, f"{folder}/{name}", sha256) for name, sha256 in named.items()}
    try:
        tensors = safetensors.torch.load(files.pop(WEIGHTS))
    except safetensors.SafetensorError as error:
        raise ArtifactCorrupt(f"{url}/{WEIGHTS} is no safetensors file: {error}. Train the model again.") from error
    return Artifact(url=url, card=card, weights=tensors, engine_files=files, sha256=sha256)


def read_file(url: str, name: str, *, options: Mapping[str, Any] | None = None) -> bytes:
    """Read one file of an artifact's folder. Raises ArtifactMissing, StorageUnavailable or StorageDenied."""
    filesystem, folder = fsspec.core.url_to_fs(url, **dict(options or {}))
    return _read(filesystem, f"{folder}/{name}")


def read_extras(url: str, *, options: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Read what lies beside card and weights: predictions, manifest, report, what an engine reads.

    Raises ArtifactMissing, StorageUnavailable or StorageDenied.
    """
    filesystem, folder = fsspec.core.url_to_fs(url, **dict(options or {}))
    try:
        names = [path.rsplit("/", 1)[-1] for path in filesystem.ls(folder, detail=False)]
    except FileNotFoundError as error:
        raise ArtifactMissing(f"There is no artifact at {url}.") from error
    except Exception as error:  # noqa: BLE001 - each kind is told apart there
        raise_translated(error, url)
    # What an interrupted publication left has a name that begins with a dot.
    wanted = [name for name in names if name not in (WEIGHTS, CARD) and not name.startswith(".")]
    return {name: _read(filesystem, f"{folder}/{name}") for name in wanted if filesystem.isfile(f"{folder}/{name}")}


def _check_same(published: bytes, card: bytes, url: str) -> None:
    if published != card:
        raise ArtifactCorrupt(f"{url} holds another model already; versions are never overwritten.")


def _read_checked(filesystem: Any, path: str, expected_sha256: str) -> bytes:
    content = _read(filesystem, path)
    found = hashlib.sha256(content).hexdigest()
    if found != expected_sha256:
        raise ArtifactCorrupt(
            f"{filesystem.unstrip_protocol(path)} hashes to {found}, but its card says {expected_sha256}. "
            "The file is damaged or was exchanged: restore the artifact, or promote another model."
        )
    return content


def _read(filesystem: Any, path: str) -> bytes:
    try:
        content: bytes = filesystem.cat_file(path)
    except FileNotFoundError as error:
        raise ArtifactMissing(
            f"The model artifact lacks {filesystem.unstrip_protocol(path)}. Restore it from a backup, "
            "promote another model, or train one."
        ) from error
    except Exception as error:  # noqa: BLE001 - each kind is told apart there
        raise_translated(error, str(filesystem.unstrip_protocol(path)))
    return content
