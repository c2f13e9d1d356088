"""What a user would write or pick instead: the same network and pictures, by other means. Rates are images/s."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from sqlalchemy import text
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from flows.benchmark import rate_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine

_BATCH = 32
_WORKERS = 2
_SIDE = 224
_LOADED_IMAGES = 1_000


class Pictures(Dataset[torch.Tensor]):
    """Files decoded by Pillow, as most data sets are written."""

    def __init__(self, contents: Sequence[bytes], count: int) -> None:
        self._contents, self._count = contents, count
        mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        self._transform = v2.Compose(
            [v2.ToImage(), v2.Resize((_SIDE, _SIDE)), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
        )

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> torch.Tensor:
        picture = Image.open(io.BytesIO(self._contents[index % len(self._contents)])).convert("RGB")
        tensor: torch.Tensor = self._transform(picture)
        return tensor


def data_loader_rate(network: torch.nn.Module, engine: Engine, contents: Sequence[bytes]) -> float:
    """A DataLoader with worker processes, autocast to bfloat16, one INSERT of many rows and a commit a batch."""
    # Not forked: a copy of this process would end the Prefect server that it started. The clock starts when the workers
    # have delivered their first batch, since these take seconds to start.
    loader = DataLoader(
        Pictures(contents, _LOADED_IMAGES),
        batch_size=_BATCH,
        num_workers=_WORKERS,
        multiprocessing_context="forkserver",
    )
    batches = iter(loader)
    next(batches)
    done = 0
    with engine.connect() as connection, torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        connection.execute(text("CREATE TEMP TABLE loaded (name text, p double precision)"))
        connection.commit()
        started = time.perf_counter()
        for batch in batches:
            probabilities = torch.softmax(network(batch).float(), dim=1)[:, 1].tolist()
            rows = [{"name": str(done + place), "p": p} for place, p in enumerate(probabilities)]
            connection.execute(text("INSERT INTO loaded VALUES (:name, :p)"), rows)
            connection.commit()
            done += len(rows)
    return done / (time.perf_counter() - started)


def forward_rates(network: torch.nn.Module, *, seconds: float) -> dict[str, float]:
    """The bare forward pass of one network in several engines, on the processor, in batches of 32."""
    inputs = torch.randn(_BATCH, 3, _SIDE, _SIDE)
    makers: dict[str, Callable[[], tuple[Callable[[], object], int]]] = {
        "eager float32": lambda: (_eager(network, inputs), _BATCH),
        "OpenVINO float32": lambda: _openvino(network, inputs, "f32"),
        "OpenVINO bfloat16": lambda: _openvino(network, inputs, "bf16"),
        "ONNX Runtime float32": lambda: (_onnx_runtime(network, inputs), _BATCH),
    }
    return {name: rate_of(*make(), seconds=seconds) for name, make in makers.items()}


def _eager(network: torch.nn.Module, inputs: torch.Tensor) -> Callable[[], object]:
    @torch.inference_mode()
    def run() -> object:
        return network(inputs)

    return run


def _openvino(network: torch.nn.Module, inputs: torch.Tensor, precision: str) -> tuple[Callable[[], object], int]:
    import openvino

    exported = torch.export.export(network, (inputs,))
    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT"}
    requests = openvino.AsyncInferQueue(
        openvino.Core().compile_model(openvino.convert_model(exported), "CPU", settings)
    )
    pixels = inputs.numpy()

    def run() -> None:
        for _ in range(len(requests)):
            requests.start_async({0: pixels})
        requests.wait_all()

    return run, len(requests) * _BATCH


def _onnx_runtime(network: torch.nn.Module, inputs: torch.Tensor) -> Callable[[], object]:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(network, (inputs,), path, dynamo=True, external_data=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    pixels: Any = np.ascontiguousarray(inputs.numpy())
    return lambda: session.run(None, {name: pixels})
