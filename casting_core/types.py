"""The records that cross seams: between storage, models, the database and the flows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NewType

from casting_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

ImageId = NewType("ImageId", int)
ModelId = NewType("ModelId", int)

VerdictName = Literal["ok", "defective", "review"]
Label = Literal["ok", "defective"]
Stage = Literal["discover", "fetch", "decode", "forward", "write"]
ModelState = Literal["candidate", "champion", "retired"]
QuarantineReason = Literal[
    "unreadable",
    "truncated",
    "not_an_image",
    "too_small",
    "too_large",
    "blank",
    "missing",
    "access_denied",
]


@dataclass(frozen=True, kw_only=True)
class Window:
    """The captured times `since <= t < until`; both must carry a time zone."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        for name, value in (("since", self.since), ("until", self.until)):
            if value.tzinfo is None:
                raise InvalidInput(
                    f"{name} {value.isoformat()} has no time zone; write it like 2026-11-23T08:00+00:00."
                )
        if self.until <= self.since:
            raise InvalidInput(
                f"The window is empty: until ({self.until.isoformat()}) is not after since ({self.since.isoformat()})."
            )


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """One picture as it lies in object storage. `uri` and `etag` together are its identity."""

    uri: str
    etag: str
    size: int
    line: str
    part_id: str
    view: str
    captured_at: datetime
    stored_at: datetime


@dataclass(frozen=True, kw_only=True)
class ClaimedImage:
    """A known image that this transaction alone may judge."""

    image_id: ImageId
    captured_at: datetime
    uri: str
    etag: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why an image cannot be judged. `detail` is for people; it never holds credentials."""

    reason: QuarantineReason
    detail: str


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says of one image: a calibrated probability and the verdict it leads to."""

    p_defective: float
    verdict: VerdictName


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How one claimed image ended: by a prediction or by a rejection, never by neither."""

    image: ClaimedImage
    outcome: Prediction | Rejection
    sha256: bytes | None


@dataclass(frozen=True, kw_only=True)
class ImageChunk:
    """Some known images that one task takes on; the times bound `captured_at` so that only their months are read."""

    image_ids: tuple[ImageId, ...]
    captured_from: datetime
    captured_to: datetime


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A row of the registry: which artifact a version is, and what its bytes must hash to."""

    model_id: ModelId
    version: str
    artifact_url: str
    sha256: str
    state: ModelState


@dataclass(frozen=True, kw_only=True)
class ScoringRun:
    """One execution of the hourly job: which model judges which window. `lines` () means all lines."""

    run_id: UUID
    model: RegisteredModel
    window: Window
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What one scoring run did. `scored` is the sum of `verdicts`.

    `stage_seconds` are seconds of work, added up over chunks and threads that overlap: see `stages.StageClock`.
    """

    run_id: UUID
    model: str
    discovered: int
    scored: int
    quarantined: int
    backlog: int
    unmatched_keys: int
    unsettled: int
    seconds: float
    verdicts: Mapping[VerdictName, int]
    stage_seconds: Mapping[Stage, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sum(self.verdicts.values()) != self.scored:
            raise InvalidInput(
                f"Run {self.run_id}: the verdicts {dict(self.verdicts)} do not add up to {self.scored} scored images."
            )

    @property
    def images_per_s(self) -> float:
        """Images that got an outcome per second of the run."""
        return (self.scored + self.quarantined) / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return asdict(self) | {
            "run_id": str(self.run_id),
            "verdicts": dict(self.verdicts),
            "seconds": round(self.seconds, 3),
            "stage_seconds": {stage: round(seconds, 3) for stage, seconds in self.stage_seconds.items()},
            "images_per_s": round(self.images_per_s, 2),
        }
