"""Small models and pictures that the tests of this folder share."""

import hashlib
import io
from datetime import UTC, datetime

import pytest
import torch
from PIL import Image

from casting_core.artifact import encode_weights, library_versions
from casting_core.card import ModelCard, Serving, Thresholds, version_name
from casting_core.images import Decoding, ImageGate
from casting_core.model import build_network
from casting_core.preprocess import Preprocessing
from casting_core.synthetic import make_casting, render

TRAINED_AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def make_card():
    """Make the card of a model with given weights; arguments replace single fields."""

    def make_card(weights=b"", *, side=64, architecture="squeezenet1_1", **changes):
        sha256 = hashlib.sha256(weights).hexdigest()
        fields = {
            "version": version_name(TRAINED_AT, architecture, sha256),
            "trained_at": TRAINED_AT,
            "architecture": architecture,
            "decoding": Decoding(color="grey", side=side),
            "preprocessing": Preprocessing(side=side),
            "gate": ImageGate(),
            "temperature": 1.0,
            "thresholds": Thresholds(),
            "serving": Serving(),
            "weights_sha256": sha256,
            "libraries": library_versions(),
            "data": {"images": 1},
            "training": {},
            "metrics": {"auroc": 0.5},
        }
        return ModelCard(**fields | changes)

    return make_card


@pytest.fixture(scope="session")
def make_network():
    """Build a network with seeded weights and lively batch norms, ready to predict."""

    def make_network(architecture="squeezenet1_1", *, seed=0):
        torch.manual_seed(seed)
        network = build_network(architecture)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, 0, 0.1)
        return network.eval()

    return make_network


@pytest.fixture(scope="session")
def make_model(make_card, make_network):
    """Make card and encoded weights of a small seeded network; arguments replace fields of the card."""

    def make_model(*, seed=0, architecture="squeezenet1_1", **changes):
        weights = encode_weights(make_network(architecture, seed=seed).state_dict())
        return make_card(weights, architecture=architecture, **changes), weights

    return make_model


@pytest.fixture(scope="session")
def casting_files():
    """Twelve rendered castings as JPEG files of 96 x 96 pixels, every other one defective."""
    files = []
    for seed in range(12):
        file = io.BytesIO()
        picture = render(make_casting(seed, defective=bool(seed % 2)), size=96)
        Image.fromarray(picture).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files
