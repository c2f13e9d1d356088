"""The records of alerts that cross seams: between watching, the database, delivery and the commands."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NewType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

AlertId = NewType("AlertId", int)
EventId = NewType("EventId", int)

AlertKind = Literal[
    "defect_rate_climb",
    "quarantine_rate_climb",
    "review_rate_climb",
    "score_drift",
    "no_images",
    "scoring_stalled",
]
Severity = Literal["warning", "critical"]
AlertState = Literal["open", "acknowledged", "resolved"]
EventName = Literal["opened", "updated", "acknowledged", "resolved", "reopened", "snoozed"]

# Who acts where no person does.
WATCH = "watch"
# The stream and line of what concerns the whole plant, or many lines at once.
PLANT = ""


@dataclass(frozen=True, kw_only=True)
class Onset:
    """When a change is likely to have begun: the estimate, and the times between which it lies with 90 % confidence."""

    low: datetime
    estimate: datetime
    high: datetime


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """The true rate, in defectives per part, with the model's own errors taken out, and its 95 % interval."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What watching finds wrong now: an alert that should be open. Rates are per part.

    `stream` and `line` are PLANT ('') where it concerns the whole plant or many lines. `signal` names the signal of the
    chart: the same trouble keeps it, the next one has another. `since` is None where no change-point makes sense.
    `parts` counts the parts since the change-point, `examples` are up to three ids of such parts, the worst first.
    `evidence` depends on the kind and holds plain JSON values only.
    """

    kind: AlertKind
    severity: Severity
    stream: str
    line: str
    signal: str
    since: Onset | None = None
    parts: int | None = None
    observed_rate: float | None = None
    corrected: Corrected | None = None
    baseline_rate: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert as the database holds it: the finding as it was last, and how far its life has gone.

    `part_of` is the alert about many lines at once that tells of this one too.
    """

    alert_id: AlertId
    finding: Finding
    state: AlertState
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    part_of: AlertId | None = None

    def to_json(self) -> dict[str, Any]:
        """The alert flat, as plain JSON values and times."""
        flat = asdict(self)
        finding: dict[str, Any] = flat.pop("finding")
        return flat | finding


@dataclass(frozen=True, kw_only=True)
class AlertEvent:
    """Something that happened to an alert: what, when, by whom and why."""

    event_id: EventId
    alert_id: AlertId
    at: datetime
    event: EventName
    who: str
    why: str
    details: Mapping[str, Any] = field(default_factory=dict)
