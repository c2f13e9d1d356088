"""The middle of the hourly job: claimed images become judgements, one for each, joined by image id."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from casting_core.errors import StorageDenied
from casting_core.stages import StageClock
from casting_core.types import ClaimedImage, Judgement, Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from casting_core.scoring import Scorer
    from casting_core.storage import ObjectStore

# Undecoded bytes held at a time for each chunk in flight, so that large pictures do not fill the memory.
_BYTES_AT_A_TIME = 64_000_000
# One object may have rights of its own; this many refused together means that the credentials are wrong.
_DENIED_TOGETHER = 8


def judge_images(
    store: ObjectStore, scorer: Scorer, claimed: Sequence[ClaimedImage], *, clock: StageClock | None = None
) -> list[Judgement]:
    """Fetch, decode and predict claimed images. `clock` is told how long each took.

    Raises StorageUnavailable when storage is in trouble, StorageDenied when it refuses a whole chunk, and BucketMissing
    when it holds nothing at all; none of it says anything about an image, so nothing may then be quarantined.
    """
    clock = clock or StageClock()
    judgements = [
        judgement
        for images in _slices(claimed, scorer.card.gate.max_bytes)
        for judgement in _judge_slice(store, scorer, images, clock)
    ]
    reasons = Counter(j.outcome.reason for j in judgements if isinstance(j.outcome, Rejection))
    if judgements and reasons["missing"] == len(judgements):
        # One of many machines may lack the share, or look into another bucket.
        store.check_filled()
    denied = reasons["access_denied"]
    if denied == len(judgements) >= _DENIED_TOGETHER:
        raise StorageDenied(
            f"Storage refused all {denied} images of a chunk, such as {claimed[0].uri}. "
            "Give the credentials the right to read objects (s3:GetObject)."
        )
    return judgements


def _judge_slice(
    store: ObjectStore, scorer: Scorer, images: Sequence[ClaimedImage], clock: StageClock
) -> list[Judgement]:
    too_large = {
        image.image_id: Rejection(
            reason="too_large", detail=f"{image.size} bytes; at most {scorer.card.gate.max_bytes} are read"
        )
        for image in images
        if image.size > scorer.card.gate.max_bytes
    }
    with clock.measure("fetch"):
        fetched = store.fetch([(image.uri, image.etag) for image in images if image.image_id not in too_large])
    contents = {image.image_id: too_large.get(image.image_id) or fetched[image.uri, image.etag] for image in images}
    outcomes = scorer.judge(contents, clock=clock)
    return [
        Judgement(image=image, outcome=outcomes[image.image_id], sha256=_sha256(contents[image.image_id]))
        for image in images
    ]


def _slices(images: Sequence[ClaimedImage], max_bytes: int) -> Iterator[list[ClaimedImage]]:
    current: list[ClaimedImage] = []
    held = 0
    for image in images:
        weight = image.size if image.size <= max_bytes else 0
        if current and held + weight > _BYTES_AT_A_TIME:
            yield current
            current, held = [], 0
        current.append(image)
        held += weight
    if current:
        yield current


def _sha256(content: bytes | Rejection) -> bytes | None:
    return None if isinstance(content, Rejection) else hashlib.sha256(content).digest()
