"""The records of labels, models' events and the golden set, as they cross between files, the database and the flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from casting_core.types import ImageId, Label, RegisteredModel

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
