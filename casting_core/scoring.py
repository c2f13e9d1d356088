"""From bytes to predictions, the same way in training's evaluation, the hourly run and `casting predict`."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch.fx.experimental.optimization import fuse

from casting_core import openvino_engine
from casting_core.images import read_image
from casting_core.model import load_network
from casting_core.preprocess import normalise, prepare, stack
from casting_core.stages import StageClock
from casting_core.types import Prediction, Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from casting_core.artifact import Artifact
    from casting_core.card import ModelCard

DeviceName = Literal["auto", "cpu", "cuda"]
# From uint8 pictures [B, C, S, S] on the scorer's device to logits [B, 2].
Engine = Callable[[torch.Tensor], torch.Tensor]
Key = TypeVar("Key")
Item = TypeVar("Item")

# Handing pictures to a thread one by one takes as long as a fifteenth of decoding them.
_DECODED_AT_A_TIME = 8


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Where a model runs, and in which precision."""

    device: torch.device
    precision: torch.dtype


class Scorer:
    """A loaded model that judges pictures. Safe to use from many threads: the network itself runs in `streams` of them.

    That is one where the engine shares a batch among all cores or has a card, since several would get in each other's
    way, and each would hold its own worker pool.
    """

    def __init__(
        self, engine: Engine, card: ModelCard, hardware: Hardware, *, batch_size: int, streams: int = 1
    ) -> None:
        self.card = card
        self.hardware = hardware
        self.batch_size = batch_size
        self.streams = streams
        self._engine = engine
        self._forward = ThreadPoolExecutor(max_workers=streams, thread_name_prefix="forward")
        self._decoders = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="decode")

    def judge(
        self, contents: Mapping[Key, bytes | Rejection], *, clock: StageClock | None = None
    ) -> dict[Key, Prediction | Rejection]:
        """Judge pictures given as file contents; what was rejected before stays rejected. One outcome for every key.

        `clock` is told how long decoding and the network took.
        """
        clock = clock or StageClock()
        pictures = dict(zip(contents, self.prepare_many(contents.values(), clock=clock), strict=True))
        readable = {key: picture for key, picture in pictures.items() if not isinstance(picture, Rejection)}
        outcomes: dict[Key, Prediction | Rejection] = {
            key: picture for key, picture in pictures.items() if isinstance(picture, Rejection)
        }
        for key, p_defective in zip(readable, self.predict(list(readable.values()), clock=clock), strict=True):
            outcomes[key] = self._prediction(p_defective)
        return outcomes

    def prepare_many(
        self, contents: Iterable[bytes | Rejection], *, clock: StageClock | None = None
    ) -> list[NDArray[np.uint8] | Rejection]:
        """Prepare many files, on all cores, in the order given."""
        clock = clock or StageClock()

        def prepare_some(some: Sequence[bytes | Rejection]) -> list[NDArray[np.uint8] | Rejection]:
            with clock.measure("decode"):
                return [self.prepare(content) for content in some]

        return list(chain.from_iterable(self._decoders.map(prepare_some, _slices(list(contents), _DECODED_AT_A_TIME))))

    def prepare(self, content: bytes | Rejection) -> NDArray[np.uint8] | Rejection:
        """Decode one file into the network's square, uint8 [C, S, S], or say why it cannot be judged."""
        if isinstance(content, Rejection):
            return content
        image = read_image(content, gate=self.card.gate, decoding=self.card.decoding)
        return image if isinstance(image, Rejection) else prepare(image, self.card.preprocessing)

    def predict(self, pictures: Sequence[NDArray[np.uint8]], *, clock: StageClock | None = None) -> list[float]:
        """Calibrated p_defective for each prepared picture [C, S, S], in batches of at most `batch_size`."""
        clock = clock or StageClock()

        def run_one(batch: Sequence[NDArray[np.uint8]]) -> list[float]:
            # In here, so that waiting for a free stream does not count.
            with clock.measure("forward"):
                return self._run(batch)

        return list(chain.from_iterable(self._forward.map(run_one, self._batches(pictures))))

    def _batches(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Sequence[NDArray[np.uint8]]]:
        """Full batches for one stream; for several equal ones, as many for each, so that none waits for another."""
        if self.streams == 1:
            return _slices(pictures, self.batch_size)
        rounds = math.ceil(len(pictures) / (self.batch_size * self.streams))
        parts = min(rounds * self.streams, len(pictures))
        ends = [len(pictures) * part // parts for part in range(parts + 1)] if parts else []
        return [pictures[start:end] for start, end in pairwise(ends)]

    def _run(self, pictures: Sequence[NDArray[np.uint8]]) -> list[float]:
        probabilities = self._try(pictures)
        if probabilities is not None:
            return probabilities
        # Out here no caught error keeps the tensors of the failed try alive.
        torch.cuda.empty_cache()
        half = self.batch_size = len(pictures) // 2
        return self._run(pictures[:half]) + self._run(pictures[half:])

    def _try(self, pictures: Sequence[NDArray[np.uint8]]) -> list[float] | None:
        """p_defective of one batch, or None where the device lacks the memory for it and it can be halved."""
        try:
            batch = stack(pictures).to(self.hardware.device, non_blocking=True)
            probabilities: list[float] = self.forward(batch).tolist()
        except torch.cuda.OutOfMemoryError:
            if len(pictures) == 1:
                raise
            return None
        return probabilities

    def forward_many(self, batches: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """`forward` of many batches, as many at a time as the engine takes."""
        return list(self._forward.map(self.forward, batches))

    @torch.inference_mode()
    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """p_defective, float64 [B], of a uint8 batch [B, 1 or 3, S, S] on the scorer's device."""
        logits = self._engine(batch).double() / self.card.temperature
        return torch.softmax(logits, dim=1)[:, self.card.classes.index("defective")].cpu()

    def _prediction(self, p_defective: float) -> Prediction:
        return Prediction(p_defective=p_defective, verdict=self.card.thresholds.verdict(p_defective))


def _slices(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def load_scorer(artifact: Artifact, *, device: DeviceName = "auto", batch_size: int | None = None) -> Scorer:
    """Load an artifact into the engine that it was evaluated in.

    A network of torch goes onto the graphics card where there is one, unless told otherwise. Raises EngineMissing,
    UnknownArchitecture or ArtifactCorrupt.
    """
    card = artifact.card
    if card.serving.engine == "openvino":
        return integer_scorer(
            openvino_engine.ConvertedModel.from_files(artifact.engine_files), card, batch_size=batch_size or 32
        )
    hardware = choose_hardware(device, half=card.serving.precision == "bfloat16")
    if batch_size is None:
        batch_size = 256 if hardware.device.type == "cuda" else 32
    return network_scorer(load_network(artifact), card, hardware, batch_size=batch_size)


def integer_scorer(model: openvino_engine.ConvertedModel, card: ModelCard, *, batch_size: int) -> Scorer:
    """Make a scorer of a model in 8-bit integers. Raises EngineMissing or ArtifactCorrupt."""
    engine = openvino_engine.compile_model(model)
    hardware = Hardware(device=torch.device("cpu"), precision=torch.float32)
    return Scorer(engine, card, hardware, batch_size=batch_size, streams=engine.streams)


def network_scorer(network: torch.nn.Module, card: ModelCard, hardware: Hardware, *, batch_size: int) -> Scorer:
    """Make a scorer of a network in memory."""
    prepared = prepare_network(network, hardware)

    def engine(batch: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = prepared(normalise(batch, card.preprocessing).to(hardware.precision))
        return logits

    return Scorer(engine, card, hardware, batch_size=batch_size)


def choose_hardware(device: DeviceName, *, half: bool) -> Hardware:
    """Pick device and precision: with `half` bfloat16, but float32 on a processor that would only emulate it."""
    name = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    half = half and (name == "cuda" or cpu_has_bfloat16())
    return Hardware(device=torch.device(name), precision=torch.bfloat16 if half else torch.float32)


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware; emulation is slower than float32."""
    # torch's public capability names stop at AVX512, which says nothing of bfloat16.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001


def prepare_network(network: torch.nn.Module, hardware: Hardware) -> torch.nn.Module:
    """Fold batch norm into the convolutions and bring the network to device and precision, channels last."""
    network = network.eval()
    # A network whose course depends on its input cannot be traced; it is served as it is, only slower.
    with contextlib.suppress(torch.fx.proxy.TraceError, TypeError):
        network = fuse(network)
    placed: torch.nn.Module = network.to(device=hardware.device, dtype=hardware.precision)
    return placed.to(memory_format=torch.channels_last)
