"""The records of labels, models' events and the golden set, as they cross between files, the database and the flows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from casting_core.types import ImageId, Label, RegisteredModel

RetrainOutcome = Literal["too_few_labels", "candidate", "promoted"]
ModelEventName = Literal["registered", "promoted", "retired", "rolled_back"]


@dataclass(frozen=True, kw_only=True)
class GivenLabel:
    """What a person says of the image at `uri`. `labelled_at` carries a time zone; None is the moment of recording."""

    uri: str
    label: Label
    who: str
    why: str = ""
    labelled_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class CurrentLabel:
    """The label that counts for an image, with what the image is."""

    image_id: ImageId
    captured_at: datetime
    uri: str
    etag: str
    line: str
    part_id: str
    label: Label
    who: str
    why: str
    labelled_at: datetime


@dataclass(frozen=True, kw_only=True)
class LabelsAdded:
    """What recording labels did: `added` rows, `changed` of them against the label that counted before."""

    added: int
    changed: int
    unchanged: int


@dataclass(frozen=True, kw_only=True)
class ModelEvent:
    """One thing that happened to a model, and who answers for it."""

    version: str
    event: ModelEventName
    happened_at: datetime
    who: str
    why: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model as the registry lists it: its row, its card and its times."""

    model: RegisteredModel
    card: Mapping[str, Any]
    registered_at: datetime
    promoted_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class GoldenImage:
    """A picture on which models are compared and never trained. `sha256` is of its bytes, 64 hexadecimal digits.

    Images of one casting carry the same number. `label` is the one it was frozen with.
    """

    sha256: str
    uri: str
    label: Label
    casting: int
    part_id: str | None


@dataclass(frozen=True, kw_only=True)
class RetrainSummary:
    """What one retraining came to, and why. Versions are None where the run ended before there was such a model.

    `images` were labelled and could be had, `left_out` could not or contradict one another, `new_labels` no completed
    retraining had been given before. `checks` are the gate's, as plain JSON values.
    """

    retrain_id: UUID
    outcome: RetrainOutcome | Literal["already_running"]
    why: str
    images: int = 0
    new_labels: int = 0
    left_out: int = 0
    training_castings: int = 0
    golden_castings: int = 0
    challenger: str | None = None
    champion: str | None = None
    checks: tuple[Mapping[str, Any], ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return asdict(self) | {"retrain_id": str(self.retrain_id), "checks": [dict(check) for check in self.checks]}
