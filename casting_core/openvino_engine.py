"""Networks as integers for plants without a graphics card: OpenVINO, quantised to 8 bits by NNCF.

Both packages come with the extra `cpu`. Preprocessing is part of the converted model, so bytes of pixels go in.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from casting_core.errors import ArtifactCorrupt, EngineMissing
from casting_core.preprocess import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from casting_core.preprocess import Preprocessing

__all__ = ["GRAPH", "WEIGHTS", "CompiledModel", "ConvertedModel", "compile_model", "is_installed", "quantise"]

GRAPH = "openvino.xml"
WEIGHTS = "openvino.bin"


@dataclass(frozen=True, kw_only=True)
class ConvertedModel:
    """A model in OpenVINO's two files: the graph, and its constants."""

    graph: bytes
    weights: bytes

    def files(self) -> dict[str, bytes]:
        """The files by the names they have in an artifact."""
        return {GRAPH: self.graph, WEIGHTS: self.weights}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> ConvertedModel:
        """The model in an artifact's files."""
        return cls(graph=files[GRAPH], weights=files[WEIGHTS])


def is_installed() -> bool:
    """Whether models can be quantised and served here."""
    return all(importlib.util.find_spec(name) is not None for name in ("openvino", "nncf"))


def quantise(
    network: torch.nn.Module, preprocessing: Preprocessing, calibration: Sequence[NDArray[np.uint8]]
) -> ConvertedModel:
    """Convert a network with its preprocessing to 8-bit integers; `calibration` are prepared pictures [C, S, S].

    Post-training quantisation: the ranges of activations are those seen on the calibration pictures, and biases are
    corrected for the mean error (Nagel et al. 2019, arXiv:1906.04721). Raises EngineMissing.
    """
    _require()
    import nncf  # noqa: PLC0415 - only plants without a card have it
    import openvino  # noqa: PLC0415

    example = torch.from_numpy(np.stack(calibration[:2]))
    batch = torch.export.Dim("batch")
    exported = torch.export.export(_Served(network, preprocessing), (example,), dynamic_shapes=({0: batch},))
    converted = openvino.convert_model(exported)
    converted.reshape(openvino.PartialShape([-1, *example.shape[1:]]))
    pictures = nncf.Dataset([picture[None] for picture in calibration])
    # It draws progress bars on standard output, which belongs to those who ask for JSON.
    with contextlib.redirect_stdout(io.StringIO()):
        quantised = nncf.quantize(converted, pictures, subset_size=len(calibration))
    with tempfile.TemporaryDirectory(prefix="casting-openvino-") as folder:
        graph = Path(folder) / GRAPH
        openvino.save_model(quantised, graph, compress_to_fp16=False)
        return ConvertedModel(graph=graph.read_bytes(), weights=graph.with_suffix(".bin").read_bytes())


def compile_model(model: ConvertedModel) -> CompiledModel:
    """Compile a model for this processor. Raises EngineMissing, or ArtifactCorrupt when the files are no model."""
    _require()
    try:
        return CompiledModel(model)
    except RuntimeError as error:
        raise ArtifactCorrupt(
            f"OpenVINO cannot read the artifact's {GRAPH}: {error}. Train the model again."
        ) from error


class CompiledModel:
    """The function from uint8 pictures [B, C, S, S] to logits float32 [B, 2], for `streams` threads at a time.

    Each thread has a model of its own on one core: cores that share a batch wait for the slowest of them after every
    layer, and decoding keeps them busy unevenly. OpenVINO's own streams are not used, since it then chooses among
    kernels that round differently from one start to the next, and what serves must be what was evaluated.
    """

    def __init__(self, model: ConvertedModel) -> None:
        import openvino  # noqa: PLC0415 - only plants without a card have it

        self.streams = len(os.sched_getaffinity(0))
        self._core = openvino.Core()
        self._graph = self._core.read_model(model=model.graph, weights=model.weights)
        self._compiling = threading.Lock()
        self._of_thread = threading.local()
        # Whether it can be compiled must be known now, not only in the threads that will run it.
        self._ready = [self._compile()]

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits [B, 2] of pictures [B, C, S, S]."""
        if not hasattr(self._of_thread, "request"):
            with self._compiling:
                self._of_thread.request = self._ready.pop() if self._ready else self._compile()
        # Copied out: the request overwrites its output at the next call.
        return torch.from_numpy(self._of_thread.request.infer({0: batch.numpy()})[0].copy())

    def _compile(self) -> Any:
        # What is not quantised is computed in float32 everywhere: its default differs from processor to processor.
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": "1",
            "ENABLE_CPU_PINNING": "NO",
        }
        return self._core.compile_model(self._graph, "CPU", settings).create_infer_request()


class _Served(torch.nn.Module):
    """A network that takes bytes of pixels, as the scorer holds them."""

    def __init__(self, network: torch.nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network.eval()
        self._preprocessing = preprocessing

    def forward(self, batch: torch.Tensor) -> Any:
        return self.network(normalise(batch.expand(-1, 3, -1, -1), self._preprocessing))


def _require() -> None:
    if not is_installed():
        raise EngineMissing(
            "The model runs in OpenVINO, which is not installed here. Install it with "
            "pip install 'casting-inspection[cpu]', or promote a model that runs in torch."
        )
