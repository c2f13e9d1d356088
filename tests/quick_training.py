"""Training in a blink, for tests of what surrounds it: random features, and a head that is fitted by a formula.

What comes out is a real network with real weights, served like any other. Labels matter to it: with shuffled ones it
is as bad as one that was trained for hours on them.
"""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load
from sklearn.linear_model import LogisticRegression

from casting_core.artifact import Artifact, encode_weights, library_versions
from casting_core.card import ModelCard, Serving, Thresholds, version_name
from casting_core.held_out import HeldOut
from casting_core.images import Decoding, ImageGate
from casting_core.model import build_network
from casting_core.preprocess import Preprocessing, normalise, stack
from casting_core.scoring import load_scorer
from casting_core.training_run import TrainedModel

SIDE = 64
_ARCHITECTURE = "shufflenet_v2_x0_5"


def plain_casting(seed, *, defective):
    """A bright disc; a defective one has a dark hole. Anything can tell them apart."""
    generator = np.random.default_rng(seed)
    image = Image.new("L", (SIDE, SIDE), 120)
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 4, SIDE - 4, SIDE - 4), fill=200)
    if defective:
        x, y = generator.integers(8, 24, 2).tolist()
        draw.ellipse((x, y, x + 32, y + 32), fill=20)
    noisy = np.asarray(image, float) + generator.normal(0, 6, (SIDE, SIDE))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def train_on_shuffled_labels(dataset, grouping, plan, *, workdir, on_step=lambda _step: None):
    """Stand in for `train_model` where somebody mixed up the labels."""
    labels = np.random.default_rng(1).permutation([image.label for image in dataset.images])
    images = tuple(replace(image, label=str(label)) for image, label in zip(dataset.images, labels, strict=True))
    return train_quickly(replace(dataset, images=images), grouping, plan, workdir=workdir, on_step=on_step)


def train_quickly(dataset, grouping, plan, *, workdir, on_step=lambda _step: None):
    """Stand in for `train_model`: same arguments, same kind of result."""
    torch.manual_seed(plan.seed)
    network = build_network(_ARCHITECTURE)
    card = _card()
    scorer = load_scorer(_artifact(card, network), device="cpu")
    contents = [dataset.read(image) for image in dataset.images]
    pixels = stack([scorer.prepare(content) for content in contents])
    labels = np.array([int(image.label == "defective") for image in dataset.images])
    castings = np.array(grouping.castings)
    held = castings % 5 == 0
    _fit_head(network, normalise(pixels, card.preprocessing), labels, ~held)
    weights = encode_weights(network.state_dict())
    card = card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    card = card.model_copy(update={"version": version_name(card.trained_at, _ARCHITECTURE, card.weights_sha256)})
    judged = load_scorer(_artifact(card, network), device="cpu").predict(list(pixels[torch.from_numpy(held)].numpy()))
    held_out = HeldOut(
        names=tuple(image.uri for image, is_held in zip(dataset.images, held, strict=True) if is_held),
        labels=labels[held],
        castings=castings[held],
        p_defective=np.array(judged),
        folds=np.zeros(int(held.sum()), np.int64),
    )
    return TrainedModel(
        card=card,
        weights=weights,
        engine_files={},
        held_out=held_out,
        as_served=held_out,
        manifest=b"uri,sha256,label,group,split\n",
        rejected={},
        history=(),
    )


@torch.inference_mode()
def _fit_head(network, inputs, labels, chosen):
    body, head = network, network.fc
    network.fc = torch.nn.Identity()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the statistics of one pass
    body.train()(inputs)
    features = body.eval()(inputs).double().numpy()
    mean, spread = features.mean(0), features.std(0) + 1e-6
    fitted = LogisticRegression(C=0.1, max_iter=500).fit(((features - mean) / spread)[chosen], labels[chosen])
    weights = torch.from_numpy(fitted.coef_[0] / spread).float()
    head.weight.copy_(torch.stack([torch.zeros_like(weights), weights]))
    head.bias.copy_(torch.tensor([0.0, float(fitted.intercept_[0] - (mean / spread) @ fitted.coef_[0])]))
    network.fc = head


def _card():
    return ModelCard(
        version="untrained",
        trained_at=datetime.now(tz=UTC),
        architecture=_ARCHITECTURE,
        decoding=Decoding(color="grey", side=SIDE),
        preprocessing=Preprocessing(side=SIDE),
        gate=ImageGate(),
        temperature=1.0,
        thresholds=Thresholds(),
        serving=Serving(),
        weights_sha256="0" * 64,
        libraries=library_versions(),
        data={},
        training={},
        metrics={},
    )


def _artifact(card, network):
    return Artifact(url="", card=card, weights=load(encode_weights(network.state_dict())), engine_files={}, sha256="")
