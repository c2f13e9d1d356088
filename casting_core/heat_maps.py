"""Heat maps: which places of a picture made a network say what it said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.spatial import ConvexHull, QhullError

from casting_core.errors import InvalidInput
from casting_core.evaluation_evidence import HeatMap
from casting_core.palette import VERDICT_COLORS
from casting_core.preprocess import normalise, stack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import nn

    from casting_core.card import ModelCard
    from casting_core.types import Rejection

_BATCH = 16
_STRONGEST = 0.75
# The faintest third of the evidence is everywhere and says nothing.
_FAINT = 0.3
_MAP_DIMENSIONS = 4


def explain_with(
    network: nn.Module, card: ModelCard, prepare: Callable[[bytes], NDArray[np.uint8] | Rejection]
) -> Callable[[Sequence[bytes]], list[HeatMap]]:
    """Give a function that explains pictures by a network that is ready to predict; it stays on its device.

    The evidence is HiResCAM (Draelos and Carin 2020, arXiv:2011.08891): the last map of features times the gradient by
    it of the logit for defective minus that for ok, summed over the features. It is what each place adds to the
    decision; Grad-CAM (Selvaraju et al. 2017), which averages the gradient first, may point to places that add nothing.
    A network that rates places itself, as the local ones do, is believed: its evidence is by how much a place's rating
    exceeds the median of the picture.

    `prepare` turns a file into the network's square uint8 [C, S, S], as `Scorer.prepare` does. Raises `InvalidInput`
    for a network without maps of features, and when called for a picture that `prepare` rejects.
    """
    layer, features = _last_feature_map(network, card)

    def explain(contents: Sequence[bytes]) -> list[HeatMap]:
        squares = [_square(prepare(content)) for content in contents]
        maps: list[HeatMap] = []
        for start in range(0, len(squares), _BATCH):
            some = squares[start : start + _BATCH]
            maps.extend(HeatMap(seen=seen, evidence=each) for seen, each in zip(some, _evidence(some), strict=True))
        return maps

    def _evidence(squares: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        # It brings pyplot with it and takes seconds; who draws no heat map does not pay for it.
        from captum.attr import LayerActivation, LayerGradientXActivation  # noqa: PLC0415

        def decision(inputs: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = network(inputs).float()
            return logits[:, card.classes.index("defective")] - logits[:, card.classes.index("ok")]

        first = next(network.parameters())
        inputs = normalise(stack(squares).to(first.device), card.preprocessing).to(first.dtype).requires_grad_()
        if features == 1:
            ratings = LayerActivation(decision, layer).attribute(inputs).detach().float().squeeze(1)
            summed = ratings - ratings.flatten(1).median(dim=1).values[:, None, None]
        else:
            attributed = LayerGradientXActivation(decision, layer).attribute(inputs)
            summed = attributed.detach().float().sum(dim=1)
        strongest = summed.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        evidence: NDArray[np.float32] = (summed / strongest).cpu().numpy()
        return evidence

    return explain


def draw_heat_map(heat_map: HeatMap) -> Image.Image:
    """Lay the evidence over what the network saw: red where it speaks for a defect, green where for a sound casting.

    Beyond the picture's edge, where its square was filled up with black, nothing is drawn. A network answers a little
    to that edge, and the coarse places of a map reach over it; but there is no casting to look at.
    """
    pixels = heat_map.seen if len(heat_map.seen) == 3 else np.repeat(heat_map.seen, 3, axis=0)  # noqa: PLR2004 - RGB
    picture = pixels.transpose(1, 2, 0).astype(np.float32)
    side = picture.shape[0]
    smooth = Image.fromarray(heat_map.evidence.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    evidence = np.clip(np.asarray(smooth), -1, 1)[..., None]
    strength = _STRONGEST * np.clip((np.abs(evidence) - _FAINT) / (1 - _FAINT), 0, 1)
    strength = strength * _within(heat_map.seen)[..., None]
    colors = np.where(evidence > 0, _rgb(VERDICT_COLORS["defective"]), _rgb(VERDICT_COLORS["ok"]))
    return Image.fromarray(np.rint(picture * (1 - strength) + colors * strength).astype(np.uint8))


def _within(seen: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the picture lies in its square, bool [S, S]: in the convex hull of all that is not black.

    Not just where it is not black: a piece that is missing from a part before a black ground is what one looks for.
    """
    light: NDArray[np.bool_] = seen.max(axis=0) > 0
    rows = np.flatnonzero(light.any(axis=1))
    ends = [(int(x), int(y)) for y in rows for x in np.flatnonzero(light[y])[[0, -1]]]
    try:
        corners = [ends[corner] for corner in ConvexHull(np.reshape(ends, (-1, 2))).vertices]
    except (QhullError, ValueError):  # less than an area
        return np.ones_like(light)
    mask = Image.new("1", (light.shape[1], light.shape[0]))
    ImageDraw.Draw(mask).polygon(corners, fill=1)
    return np.asarray(mask)


def _square(prepared: NDArray[np.uint8] | Rejection) -> NDArray[np.uint8]:
    if isinstance(prepared, np.ndarray):
        return prepared
    raise InvalidInput(f"A picture to be explained cannot be judged ({prepared.reason}: {prepared.detail}).")


def _rgb(color: str) -> NDArray[np.float32]:
    return np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)], dtype=np.float32)


def _last_feature_map(network: nn.Module, card: ModelCard) -> tuple[nn.Module, int]:
    """Find the module that gives the last output [1, F, H, W] with more than one place in it, and its F."""
    found: list[tuple[nn.Module, int]] = []

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.dim() == _MAP_DIMENSIONS and min(output.shape[-2:]) > 1:
            found.append((module, output.shape[1]))

    handles = [module.register_forward_hook(note) for module in network.modules()]
    first = next(network.parameters())
    side = card.preprocessing.side
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, side, side, device=first.device, dtype=first.dtype))
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise InvalidInput(f"A {card.architecture} has no map of features; it cannot be explained by heat maps.")
    return found[-1]
