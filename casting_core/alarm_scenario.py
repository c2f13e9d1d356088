"""What charts are compared on, and what comes of it: a scenario, the run lengths of each chart, all of them."""

from dataclasses import dataclass, field
from typing import Any

from casting_core.alarm_design import draft_design
from casting_core.errors import InvalidInput
from casting_core.rates import proper_rate

RATIOS = (1.5, 2.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One chart's run lengths, in parts. `arl0_se` and `arl1_se` are 0 where exact, else standard errors.

    None stands for a climb to 100 % or beyond, and for a chart that can never signal. Keys of `arl1_parts` are ratios.
    """

    name: str
    arl0_parts: float | None
    arl1_parts: dict[str, float | None]
    arl0_se: float = 0.0
    arl1_se: dict[str, float] = field(default_factory=dict)
    design: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was compared, and the charts: rates in defectives per part, `arl0` the promise of every design in parts."""

    p0: float
    ratio: float
    n: int
    icc: float
    arl0: float
    methods: tuple[Method, ...]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Batches of `n` parts, called defective at the rate `p0`, correlated by `icc` inside batches."""

    p0: float
    ratio: float
    n: int
    icc: float

    def __post_init__(self) -> None:
        proper_rate("p0", self.p0)
        draft_design(self.p0, self.ratio)
        if self.n < 1:
            raise InvalidInput(f"n, the parts in a batch, must be at least 1, got {self.n!r}")
        if not 0 <= self.icc < 1:
            raise InvalidInput(f"icc, the correlation inside batches, lies in [0, 1), got {self.icc!r}")

    @property
    def rates(self) -> dict[str, float | None]:
        """The climbs to report: `RATIOS` and the design's own; None where one would reach 100 %."""
        ratios = sorted({*RATIOS, self.ratio})
        return {f"{ratio:g}": ratio * self.p0 if ratio * self.p0 < 1 else None for ratio in ratios}
