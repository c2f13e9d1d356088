"""The records of a stretch of history, as the report of a plant shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from casting_core.types import VerdictName, Window


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Parts of a period by verdict; `quarantined` and `backlog` count pictures."""

    inspected: int
    ok: int
    defective: int
    review: int
    quarantined: int
    backlog: int

    @property
    def rate(self) -> float | None:
        """Defective parts per inspected part; None without parts."""
        return self.defective / self.inspected if self.inspected else None


@dataclass(frozen=True, kw_only=True)
class ChartPoint:
    """One hour of a line's control chart; rates are defectives per part."""

    line: str
    hour: datetime
    inspected: int
    defective: int
    centre: float
    upper_limit: float
    out_of_control: bool


@dataclass(frozen=True, kw_only=True)
class ParetoRow:
    """One value of a dimension (line, shift, mould) and its share of the defective parts."""

    dimension: str
    value: str
    inspected: int
    defective: int
    cumulative_share: float | None


@dataclass(frozen=True, kw_only=True)
class WeekHour:
    """Parts of an hour of the week: weekday 1 (Monday) to 7, hour 0 to 23, in the report's time zone."""

    weekday: int
    hour: int
    inspected: int
    defective: int


@dataclass(frozen=True, kw_only=True)
class WorstPart:
    """A part that looks most defective, and the picture that says so."""

    line: str
    part_id: str
    captured_at: datetime
    verdict: VerdictName
    p_defective: float
    label: str | None
    uri: str
    etag: str


@dataclass(frozen=True, kw_only=True)
class PastAlert:
    """An alert of the period. `since` is when the change is likely to have begun.

    `shared` is what its parts have in common beside the line, such as 'mould M7'.
    """

    alert_id: int
    kind: str
    severity: str
    state: str
    line: str | None
    shared: str | None
    opened_at: datetime
    since: datetime | None
    resolved_at: datetime | None
    observed_rate: float | None


@dataclass(frozen=True, kw_only=True)
class ModelInUse:
    """A model that judged parts of the period."""

    version: str
    state: str
    promoted_at: datetime | None
    parts: int


@dataclass(frozen=True, kw_only=True)
class History:
    """All that a report shows of a window of one line, or of all lines where `line` is None."""

    window: Window
    line: str | None
    totals: Totals
    before: Totals
    points: tuple[ChartPoint, ...]
    pareto: tuple[ParetoRow, ...]
    week: tuple[WeekHour, ...]
    worst: tuple[WorstPart, ...]
    alerts: tuple[PastAlert, ...]
    reasons: tuple[tuple[str, int], ...]
    models: tuple[ModelInUse, ...]
