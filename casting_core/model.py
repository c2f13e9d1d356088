"""Networks: any torchvision classifier with a head for two classes, or its first layers with a local head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from casting_core.errors import ArtifactCorrupt, InvalidInput, UnknownArchitecture
from casting_core.local_network import LocalNetwork, cut_body

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    from casting_core.artifact import Artifact

LOCAL = "-local"
# What torchvision calls the part of a classifier that depends on the number of classes.
_HEADS = frozenset({"classifier", "fc", "head", "heads"})
# Batch norm's counter of training steps: nothing here reads it, and older files lack it.
_COUNTER = ".num_batches_tracked"
_USUAL = (
    "resnet50",
    "resnet18",
    "resnet34",
    "resnet101",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "convnext_tiny",
)


def build_network(architecture: str) -> torch.nn.Module:
    """Build a network by name with random weights and two outputs. Raises UnknownArchitecture.

    The name is one of torchvision's classifiers; with "-local" behind it a local head replaces the last layers.
    """
    if architecture.endswith(LOCAL):
        name = architecture.removesuffix(LOCAL)
        return LocalNetwork(*cut_body(build_network(name), name=name))
    # A network with side heads returns something else than logits.
    options = {"aux_logits": False, "init_weights": True} if architecture in ("googlenet", "inception_v3") else {}
    models = _torchvision_models()
    known = models.list_models(module=models)
    if architecture not in known:
        close = [name for name in known if name.rstrip("0123456789") == architecture.rstrip("0123456789")][:6]
        raise UnknownArchitecture(
            f"{architecture!r} is not a classifier of torchvision. Close ones: {', '.join(close or known[:6])}; "
            "all of them: torchvision.models.list_models()."
        )
    network: torch.nn.Module = models.get_model(architecture, weights=None, num_classes=2, **options)
    return network


def load_network(artifact: Artifact) -> torch.nn.Module:
    """Rebuild the network of an artifact, ready to predict. Raises UnknownArchitecture or ArtifactCorrupt."""
    network = build_network(artifact.card.architecture)
    try:
        network.load_state_dict(artifact.weights)
    except RuntimeError as error:
        raise ArtifactCorrupt(
            f"The weights in {artifact.url} are not those of a two-class {artifact.card.architecture}: {error}"
        ) from error
    return network.eval()


def pretrained_network(architecture: str, source: str | Path) -> torch.nn.Module:
    """Build a network whose body starts from weights; the two-class head stays random.

    `source` is "imagenet" (torchvision's download), "none", or a file with a state dict of the same architecture,
    read as numbers only. Raises InvalidInput when the file is not one, or is of another architecture.
    """
    if architecture.endswith(LOCAL):
        name = architecture.removesuffix(LOCAL)
        return LocalNetwork(*cut_body(pretrained_network(name, source), name=name))
    network = build_network(architecture)
    if str(source) == "none":
        return network
    if str(source) == "imagenet":
        download = _torchvision_models().get_model_weights(architecture).DEFAULT
        weights = download.get_state_dict(progress=True, check_hash=True)
    else:
        weights = _read_state_dict(source)
    _fill_body(network, weights, architecture=architecture, source=source)
    return network


def recognise_architecture(source: str | Path) -> str:
    """Tell which of the usual networks a file of weights is of. Raises InvalidInput when it is of none of them."""
    weights = _read_state_dict(source)
    for architecture in _USUAL:
        with torch.device("meta"):
            own = build_network(architecture).state_dict()
        body = [name for name in own if name.split(".")[0] not in _HEADS and not name.endswith(_COUNTER)]
        if all(name in weights and weights[name].shape == own[name].shape for name in body):
            return architecture
    raise InvalidInput(f"{source} is of none of {', '.join(_USUAL)}; name its network (--backbone).")


def _torchvision_models() -> ModuleType:
    # It takes 4 s to import, which a model that OpenVINO serves does without.
    import torchvision.models  # noqa: PLC0415

    models: ModuleType = torchvision.models
    return models


def _read_state_dict(source: str | Path) -> Mapping[str, torch.Tensor]:
    try:
        weights = torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InvalidInput(
            f"There is no file {source} to start from; give a state dict, 'imagenet' or 'none'."
        ) from error
    except Exception as error:
        raise InvalidInput(
            f"{source} is not a file of plain weights ({type(error).__name__}). Save it with "
            "torch.save(model.state_dict(), file)."
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise InvalidInput(f"{source} holds no state dict. Save it with torch.save(model.state_dict(), file).")
    return weights


def _fill_body(
    network: torch.nn.Module, weights: Mapping[str, torch.Tensor], *, architecture: str, source: str | Path
) -> None:
    own = network.state_dict()
    fitting = {name: value.float() for name, value in weights.items() if name in own and own[name].shape == value.shape}
    missing = [name for name in own if name not in fitting and not name.endswith(_COUNTER)]
    head = {name for name in missing if name.split(".")[0] in _HEADS}
    if set(missing) != head:
        lacking = [name for name in missing if name not in head]
        raise InvalidInput(
            f"{source} does not fit a {architecture}: {len(lacking)} of its {len(own)} tensors are missing or of "
            f"another shape ({', '.join(lacking[:3])}, ...). Name the architecture that the file is of."
        )
    network.load_state_dict(fitting, strict=False)
