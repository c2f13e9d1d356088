"""Which engine and precision a trained network is served in: the fastest that judges as the exact one does."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from casting_core import openvino_engine
from casting_core.card import ModelCard, Serving
from casting_core.preprocess import stack
from casting_core.scoring import choose_hardware, integer_scorer, network_scorer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from casting_core.card import Thresholds
    from casting_core.labelled import LabelledPictures
    from casting_core.scoring import DeviceName, Scorer

__all__ = ["Served", "choose_serving", "quantise_network"]

# The most that rounding to bfloat16 may move a p_defective.
_MOST_DIFFERENT = 0.01
# More pictures hardly move the ranges of activations, and each costs a forward pass.
_CALIBRATION_PICTURES = 128
_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Served:
    """A network as it will be served: the card that says how, the files that needs, and p_defective [N] so served."""

    card: ModelCard
    files: dict[str, bytes]
    p_defective: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    serving: Serving
    scorer: Scorer
    files: dict[str, bytes] = field(default_factory=dict)

    def predict(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        return np.array(self.scorer.predict(pictures))


def choose_serving(
    network: torch.nn.Module,
    card: ModelCard,
    *,
    validation: LabelledPictures,
    calibration: Sequence[NDArray[np.uint8]],
    device: DeviceName,
) -> Served:
    """Choose among float32, bfloat16 where the hardware has it, and int8 on a processor where OpenVINO is installed.

    float32 is the measure of the others. bfloat16 must not move any p_defective of the validation pictures by 0.01 or
    more. int8 moves them further; it must let no more defective pictures escape and reject no more sound ones at the
    card's thresholds. Of those that pass the fastest on this machine is chosen. `calibration` are pictures [C, S, S]
    that the network was trained on; they set the ranges of the integers, and without them there are none.
    """
    pictures = list(validation.pixels.numpy())
    candidates = _torch_candidates(network, card, device)
    exact = candidates[0].predict(pictures)
    predictions = {"float32": exact}
    refused: dict[str, str] = {}
    if len(candidates) > 1:
        predictions["bfloat16"] = candidates[1].predict(pictures)
        moved = np.abs(predictions["bfloat16"] - exact).max()
        if moved >= _MOST_DIFFERENT:
            candidates.pop()
            refused["bfloat16"] = f"moves p_defective by up to {moved:.3f}; less than {_MOST_DIFFERENT:g} is allowed"
    on_processor = candidates[0].scorer.hardware.device.type == "cpu"
    if calibration and on_processor and openvino_engine.is_installed():
        quantised = _quantised(network, card, calibration)
        predictions["int8"] = quantised.predict(pictures)
        worse = _what_is_worse(predictions["int8"], exact, validation.labels.numpy(), card.thresholds)
        if worse:
            refused["int8"] = worse
        else:
            candidates.append(quantised)
    chosen, slower = _fastest(candidates, pictures)
    serving = chosen.serving.model_copy(update={"others": refused | slower})
    return Served(
        card=card.model_copy(update={"serving": serving}),
        files=chosen.files,
        p_defective=predictions[serving.precision],
    )


def _torch_candidates(network: torch.nn.Module, card: ModelCard, device: DeviceName) -> list[_Candidate]:
    hardware = [choose_hardware(device, half=half) for half in (False, True)]
    return [
        _Candidate(
            serving=Serving(precision="bfloat16" if each.precision == torch.bfloat16 else "float32"),
            scorer=network_scorer(network, card, each, batch_size=_BATCH),
        )
        for each in dict.fromkeys(hardware)
    ]


def quantise_network(
    network: torch.nn.Module, card: ModelCard, calibration: Sequence[NDArray[np.uint8]]
) -> openvino_engine.ConvertedModel:
    """Make 8-bit integers of a network; an even share of the pictures [C, S, S] sets their ranges."""
    some = calibration[:: max(1, len(calibration) // _CALIBRATION_PICTURES)]
    return openvino_engine.quantise(network, card.preprocessing, some)


def _quantised(network: torch.nn.Module, card: ModelCard, calibration: Sequence[NDArray[np.uint8]]) -> _Candidate:
    model = quantise_network(network, card, calibration)
    files = model.files()
    serving = Serving(
        engine="openvino",
        precision="int8",
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    return _Candidate(serving=serving, scorer=integer_scorer(model, card, batch_size=_BATCH), files=files)


def _what_is_worse(
    p_defective: NDArray[np.float64],
    exact: NDArray[np.float64],
    labels: NDArray[np.int64],
    thresholds: Thresholds,
) -> str:
    """Say which errors rounding adds, or nothing where it adds none."""

    def errors(p: NDArray[np.float64]) -> dict[str, int]:
        return {
            "escapes": int(((labels == 1) & (p < thresholds.ok_below)).sum()),
            "false rejects": int(((labels == 0) & (p >= thresholds.defective_from)).sum()),
        }

    allowed, found = errors(exact), errors(p_defective)
    return " and ".join(
        f"{found[kind]} {kind} on {len(labels)} pictures, where float32 has {allowed[kind]}"
        for kind in allowed
        if found[kind] > allowed[kind]
    )


def _fastest(
    candidates: Sequence[_Candidate], pictures: Sequence[NDArray[np.uint8]]
) -> tuple[_Candidate, dict[str, str]]:
    """Choose the fastest, and say of each other how much slower it is."""
    if len(candidates) == 1:
        return candidates[0], {}
    batch = stack([pictures[index % len(pictures)] for index in range(_BATCH)])
    batch = batch.to(candidates[0].scorer.hardware.device)
    # As many batches as keep every engine busy, and the same number for all.
    batches = [batch] * math.lcm(*(each.scorer.streams for each in candidates))
    seconds = measure_seconds(
        {each.serving.precision: partial(each.scorer.forward_many, batches) for each in candidates}
    )
    best = min(seconds, key=seconds.__getitem__)
    return (
        next(each for each in candidates if each.serving.precision == best),
        {name: f"takes {taken / seconds[best]:.2f} times as long" for name, taken in seconds.items() if name != best},
    )


def measure_seconds(run: dict[str, Callable[[], object]], *, rounds: int = 3) -> dict[str, float]:
    """Measure the least time, in seconds, that each callable takes in several rounds; each is warmed up once."""
    best = dict.fromkeys(run, math.inf)
    for round_ in range(rounds + 1):
        for name, call in run.items():
            started = time.perf_counter()
            call()
            if round_:
                best[name] = min(best[name], time.perf_counter() - started)
    return best
