"""How fast this machine judges, and what the time goes to: each stage alone, then all of it as the hourly job does it.

A plant of its own is made in a folder of its own: embedded database, bucket on disk, a champion. Rates are images/s.
"""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import torch
from PIL import Image
from sqlalchemy import text

from casting_core.artifact import encode_weights, library_versions, publish_artifact, read_artifact
from casting_core.card import ModelCard, Serving, Thresholds, version_name
from casting_core.errors import InvalidInput
from casting_core.images import Decoding, ImageGate, read_image
from casting_core.model import build_network, load_network
from casting_core.preprocess import Preprocessing, prepare, stack
from casting_core.serving import choose_serving
from casting_core.synthetic import make_casting, render
from casting_core.training import LabelledPictures
from casting_core.types import Judgement, Prediction, Rejection, ScoringRun, StoredImage, Window
from db import models, runs
from db.images import backlog_chunks, claim_images, insert_images
from db.verdicts import write_judgements

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from casting_core.scoring import Scorer
    from casting_core.types import ImageChunk, RegisteredModel
    from flows.resources import Resources

__all__ = [
    "UNTIL",
    "ScoringRates",
    "fill_bucket",
    "judge_unseen",
    "load_pictures",
    "measure_scoring",
    "naive_rate",
    "publish_random_model",
    "rate_of",
]

UNTIL = datetime(2026, 11, 23, 8, tzinfo=UTC)
_LINES = 2
_PICTURES = 64
_RENDERED = 16
_SIDE = 512
_INPUT_SIDE = 224
_NAIVE_IMAGES = 160
_SUFFIXES = frozenset({".jpg", ".jpeg"})


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Each stage alone, on all cores that it can use, images/s."""

    fetch: float
    decode: float
    forward: float
    write: float


@dataclass(frozen=True, kw_only=True)
class ScoringRates:
    """What was measured, in images/s.

    `ceiling` is the bare forward pass of the engine that serves, on pictures in memory. `ratios` [rounds] are end to
    end over the ceiling measured right before and after, since the clock of a shared machine drifts; `ratio` is their
    median. `naive` is the loop that everybody writes.
    """

    device: str
    engine: str
    images: int
    ceiling_images_per_s: float
    end_to_end_images_per_s: float
    ratio: float
    ratios: tuple[float, ...]
    naive_images_per_s: float
    stages: Stages

    def to_json(self) -> dict[str, Any]:
        """The rates as plain JSON values."""
        return asdict(self)


def measure_scoring(
    resources: Resources, contents: Sequence[bytes], *, images: int, rounds: int = 3, seconds: float = 5.0
) -> ScoringRates:
    """Score `images` new pictures a round by the hourly flow, and each stage alone for about `seconds`."""
    from flows.score import score  # noqa: PLC0415 - Prefect reads the environment when it is imported

    with resources.engine.connect() as connection:
        champion = models.champion(connection)
    scorer = resources.scorer(champion)
    batches = [_batch(scorer, contents)] * scorer.streams
    score(until=UNTIL - timedelta(days=30))
    ceilings, rates, ratios = [], [], []
    for round_ in range(rounds):
        fill_bucket(resources, images, contents, first=images * round_)
        before = rate_of(lambda: scorer.forward_many(batches), sum(map(len, batches)), seconds=seconds)
        rates.append(score(until=UNTIL).images_per_s)
        after = rate_of(lambda: scorer.forward_many(batches), sum(map(len, batches)), seconds=seconds)
        ceilings.append(2 / (1 / before + 1 / after))
        ratios.append(rates[-1] / ceilings[-1])
    stages = Stages(
        fetch=_fetch_rate(resources, seconds),
        decode=_decode_rate(scorer, contents, seconds),
        forward=median(ceilings),
        write=_write_rate(resources, champion),
    )
    serving = scorer.card.serving
    return ScoringRates(
        device=str(scorer.hardware.device),
        engine=f"{serving.engine} {serving.precision}",
        images=images,
        ceiling_images_per_s=median(ceilings),
        end_to_end_images_per_s=median(rates),
        ratio=median(ratios),
        ratios=tuple(ratios),
        naive_images_per_s=naive_rate(resources, champion, contents),
        stages=stages,
    )


def publish_random_model(resources: Resources, contents: Sequence[bytes], *, backbone: str) -> RegisteredModel:
    """Make a network with random weights the champion, served as one of its kind that was trained here would be.

    Raises UnknownArchitecture.
    """
    torch.manual_seed(0)
    network = build_network(backbone).eval()
    weights = encode_weights(network.state_dict())
    weights_sha256 = hashlib.sha256(weights).hexdigest()
    draft = ModelCard(
        version=version_name(UNTIL, backbone, weights_sha256),
        trained_at=UNTIL,
        architecture=backbone,
        decoding=Decoding(color="grey", side=_INPUT_SIDE),
        preprocessing=Preprocessing(side=_INPUT_SIDE),
        gate=ImageGate(),
        temperature=1.0,
        thresholds=Thresholds(),
        serving=Serving(),
        weights_sha256=weights_sha256,
        libraries=library_versions(),
        data={},
        training={},
        metrics={},
    )
    squares = [read_image(content, gate=draft.gate, decoding=draft.decoding) for content in contents[:_PICTURES]]
    pixels = [prepare(square, draft.preprocessing) for square in squares if not isinstance(square, Rejection)]
    labels = torch.arange(len(pixels)) % 2
    some = LabelledPictures(
        pixels=stack(pixels), labels=labels, castings=torch.arange(len(pixels)), marks=_no_marks(labels)
    )
    served = choose_serving(network, draft, validation=some, calibration=pixels, device=resources.settings.device)
    url, sha256 = publish_artifact(
        resources.settings.models_root, card=served.card, weights=weights, files=served.files
    )
    with resources.engine.begin() as connection:
        registered = models.register_model(
            connection,
            version=served.card.version,
            artifact_url=url,
            sha256=sha256,
            card=served.card.model_dump(mode="json"),
            who="benchmark",
            why="random weights, to measure with",
        )
        return models.promote_model(connection, registered.version, who="benchmark", why="to measure with")


def load_pictures(folder: Path | None) -> list[bytes]:
    """File contents to copy under new keys: JPEGs of a folder, or rendered castings of 512 x 512 pixels.

    Raises InvalidInput for a folder without any.
    """
    if folder is not None:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
        if not found:
            raise InvalidInput(f"{folder} holds no JPEG to measure with.")
        return [path.read_bytes() for path in found[:: max(1, len(found) // _PICTURES)]]
    files = []
    for seed in range(_RENDERED):
        target = io.BytesIO()
        pixels = render(make_casting(seed, defective=seed % 2 == 1), size=_SIDE)
        # Cameras that see grey store RGB all the same.
        Image.fromarray(pixels).convert("RGB").save(target, format="JPEG", quality=90)
        files.append(target.getvalue())
    return files


def fill_bucket(resources: Resources, count: int, contents: Sequence[bytes], *, hours: int = 2, first: int = 0) -> None:
    """Put `count` pictures of two lines into the last hours before UNTIL; their numbers begin with `first`."""
    bucket = resources.settings.home / "bucket"
    for number in range(first, first + count):
        moment = UNTIL - timedelta(hours=1 + number % hours)
        folder = bucket / f"line-{number % _LINES}" / moment.strftime("%Y/%m/%d/%H")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"P{number:07d}.jpg").write_bytes(contents[number % len(contents)])


def rate_of(work: Callable[[], object], count: int, *, seconds: float) -> float:
    """Things a second of some work that does `count` of them, warmed up once and repeated for about `seconds`."""
    work()
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        work()
        rounds += 1
    return count * rounds / (time.perf_counter() - started)


def judge_unseen(connection: Connection, run: ScoringRun, chunk: ImageChunk) -> None:
    """Claim a chunk and write verdicts as a scoring run does, without a look at its images."""
    claimed = claim_images(connection, chunk, model_id=run.model.model_id)
    passed = Prediction(p_defective=0.1, verdict="ok")
    judgements = [Judgement(image=image, outcome=passed, sha256=bytes(32)) for image in claimed]
    write_judgements(connection, run, judgements)
    runs.count_judgements(connection, run.run_id, judgements)


def naive_rate(resources: Resources, champion: RegisteredModel, contents: Sequence[bytes]) -> float:
    """The loop that everybody writes: Pillow, eager float32 one picture at a time, one INSERT and commit a row."""
    from torchvision.transforms import functional  # noqa: PLC0415 - takes seconds to import

    network = load_network(read_artifact(champion.artifact_url))
    started = time.perf_counter()
    with resources.engine.connect() as connection, torch.inference_mode():
        connection.execute(text("CREATE TEMP TABLE naive (name text, p double precision)"))
        for number in range(_NAIVE_IMAGES):
            picture = Image.open(io.BytesIO(contents[number % len(contents)])).convert("RGB").resize((224, 224))
            pixels = functional.to_tensor(picture)
            inputs = functional.normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]).unsqueeze(0)
            p = float(torch.softmax(network(inputs), dim=1)[0, 1])
            connection.execute(text("INSERT INTO naive VALUES (:name, :p)"), {"name": str(number), "p": p})
            connection.commit()
    return _NAIVE_IMAGES / (time.perf_counter() - started)


def _no_marks(labels: torch.Tensor) -> torch.Tensor:
    return torch.full((len(labels), 2), torch.nan)


def _batch(scorer: Scorer, contents: Sequence[bytes]) -> torch.Tensor:
    prepared = [scorer.prepare(content) for content in contents]
    squares = [square for square in prepared if not isinstance(square, Rejection)]
    if not squares:
        raise InvalidInput("None of the pictures to measure with can be judged.")
    return stack([squares[i % len(squares)] for i in range(scorer.batch_size)]).to(scorer.hardware.device)


def _fetch_rate(resources: Resources, seconds: float) -> float:
    objects = [(resources.store.uri(each.key), each.etag) for each in resources.store.walk()][:1_000]
    return rate_of(lambda: resources.store.fetch(objects), len(objects), seconds=seconds)


def _decode_rate(scorer: Scorer, contents: Sequence[bytes], seconds: float) -> float:
    return rate_of(lambda: scorer.prepare_many(contents), len(contents), seconds=seconds)


def _write_rate(resources: Resources, champion: RegisteredModel, *, count: int = 20_000) -> float:
    """Claim and write verdicts in chunks of the usual size, commits included; of images that are judged already."""
    window = Window(since=UNTIL - timedelta(days=20), until=UNTIL - timedelta(days=19))
    run = ScoringRun(run_id=uuid4(), model=champion, window=window)
    stored = [_stored(number, window) for number in range(count)]
    with resources.engine.begin() as connection:
        runs.open_run(connection, run, flow_run_id=None)
        insert_images(connection, stored)
    with resources.engine.begin() as connection:
        chunks = backlog_chunks(connection, run, chunk_size=resources.settings.chunk_size)
    started = time.perf_counter()
    for chunk in chunks:
        with resources.engine.begin() as connection:
            judge_unseen(connection, run, chunk)
    seconds = time.perf_counter() - started
    with resources.engine.begin() as connection:
        runs.close_run(connection, run.run_id, state="completed", seconds=seconds, backlog=0)
    return count / seconds


def _stored(number: int, window: Window) -> StoredImage:
    return StoredImage(
        uri=f"memory://written/P{number:07d}.jpg",
        etag=f"{number:032x}",
        size=25_000,
        line=f"line-{number % _LINES}",
        part_id=f"P{number:07d}",
        view="",
        captured_at=window.since + timedelta(seconds=number),
        stored_at=window.until,
    )
