"""Verdicts of pictures become parts in the order they were made: what every chart runs on.

The order is by `captured_at`, then by part id the way a counter runs (shorter ids first, then byte by byte), so that it
is the same whatever order pictures arrived in, and whole even where keys tell the time only to the hour.

A part counts within its line and hour: views of one part that fall on both sides of a full hour are two parts here. So
an hour's parts depend on that hour's pictures alone, and late ones change no other hour.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# Ordered by weight: the worst view decides about a part. A quarantined picture is an observation of its own.
OK, REVIEW, DEFECTIVE, QUARANTINED = range(4)

# Ends each attribute in `Parts.attributes`: what ASCII calls the unit separator, which nobody types.
ATTRIBUTE_END = b"\x1f"
MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Verdicts and quarantined pictures as they are stored, in any order; each field has the shape [N].

    `line` numbers the lines, `captured_at` counts microseconds (from any full hour), `outcome` is OK to QUARANTINED,
    `attributes` is what else is known of the part (as in `Parts`). Pictures of one `key` replace one another: the one
    of the highest `image_id` counts, and of its verdicts the one of the highest `rank`.
    """

    line: NDArray[np.int16]
    captured_at: NDArray[np.int64]
    outcome: NDArray[np.uint8]
    p_defective: NDArray[np.float64]
    part_id: NDArray[np.bytes_]
    attributes: NDArray[np.bytes_]
    model_id: NDArray[np.int64]
    key: NDArray[np.int64]
    image_id: NDArray[np.int64]
    rank: NDArray[np.int64]

    def take(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Verdicts:
        """Those chosen, in the order chosen."""
        return Verdicts(**{name: values[which] for name, values in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Parts, and pictures in quarantine between them, in production order; each field has the shape [parts].

    `hour` counts hours, `outcome` is OK to QUARANTINED, `p_defective` the highest of a part's views, `model_id` is
    whose verdict decided. `attributes` holds what else is known of each part, as `key=value` with ATTRIBUTE_END after
    each; empty where nothing is.
    """

    hour: NDArray[np.int64]
    captured_at: NDArray[np.int64]
    outcome: NDArray[np.uint8]
    p_defective: NDArray[np.float64]
    part_id: NDArray[np.bytes_]
    attributes: NDArray[np.bytes_]
    model_id: NDArray[np.int64]

    def __len__(self) -> int:
        return self.hour.size

    def take(self, which: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Parts:
        """Those chosen, in the order chosen."""
        return Parts(**{name: values[which] for name, values in vars(self).items()})

    @classmethod
    def joined(cls, rows: Sequence[Parts]) -> Parts:
        """Several rows of parts, at least one, as one."""
        return cls(**{name: np.concatenate([vars(row)[name] for row in rows]) for name in cls.__dataclass_fields__})

    def by_hour(self) -> Iterator[tuple[int, Parts]]:
        """Each hour that has parts, with them."""
        for stretch in _stretches(self.hour):
            yield int(self.hour[stretch.start]), self.take(stretch)

    def by_attribute(self) -> dict[tuple[str, str], Parts]:
        """The parts that share an attribute, by its key and value; a part is in each that it has."""
        known, which = np.unique(self.attributes, return_inverse=True)
        holders: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, told in enumerate(known.tolist()):
            for each in told.split(ATTRIBUTE_END)[:-1]:
                key, _, value = each.decode().partition("=")
                holders[key, value].append(number)
        return {attribute: self.take(np.isin(which, numbers)) for attribute, numbers in sorted(holders.items())}

    def of_attribute(self, key: str, value: str) -> Parts:
        """The parts that have a value of an attribute; none where no part has it."""
        return self.by_attribute().get((key, value), self.take(slice(0, 0)))


def in_production_order(verdicts: Verdicts) -> dict[int, Parts]:
    """Give the parts of each line, by the line's number, in production order."""
    # Groups the verdicts of one part. `line`, the last key, is the first to order by.
    hour = verdicts.captured_at // MICROSECONDS_PER_HOUR
    length = np.char.str_len(verdicts.part_id)
    verdicts = verdicts.take(np.lexsort((verdicts.part_id, length, hour, verdicts.line)))
    several = _same_part(verdicts)
    if several.any():
        verdicts = _one_verdict_a_part(verdicts, several)
    # Stable: parts of one moment stay in the order of their ids.
    verdicts = verdicts.take(np.lexsort((verdicts.captured_at, verdicts.line)))
    parts = Parts(
        hour=verdicts.captured_at // MICROSECONDS_PER_HOUR,
        captured_at=verdicts.captured_at,
        outcome=verdicts.outcome,
        p_defective=verdicts.p_defective,
        part_id=verdicts.part_id,
        attributes=verdicts.attributes,
        model_id=verdicts.model_id,
    )
    return {int(verdicts.line[stretch.start]): parts.take(stretch) for stretch in _stretches(verdicts.line)}


def _stretches(values: NDArray[np.int16] | NDArray[np.int64]) -> Iterator[slice]:
    """Where equal neighbours begin and end; none where there are no values."""
    ends = np.flatnonzero(np.diff(values, append=values[-1:] + 1)) + 1
    for start, end in itertools.pairwise([0, *ends.tolist()]):
        yield slice(start, end)


def _same_part(verdicts: Verdicts) -> NDArray[np.bool_]:
    """Whether each verdict is of the same part as the one before it; shape [N]."""
    hour = verdicts.captured_at // MICROSECONDS_PER_HOUR
    same = np.zeros(hour.size, dtype=bool)
    same[1:] = (
        (verdicts.line[1:] == verdicts.line[:-1])
        & (hour[1:] == hour[:-1])
        & (verdicts.part_id[1:] == verdicts.part_id[:-1])
    )
    return same


def _one_verdict_a_part(verdicts: Verdicts, same: NDArray[np.bool_]) -> Verdicts:
    """Drop what is superseded, and let the worst view speak for its part; keeps the order of parts."""
    part = np.cumsum(~same)
    quarantined = verdicts.outcome == QUARANTINED
    order = np.lexsort((verdicts.rank, verdicts.image_id, verdicts.key, quarantined, part))
    part, quarantined, key = part[order], quarantined[order], verdicts.key[order]
    newest = np.ones(order.size, dtype=bool)
    newest[:-1] = (part[1:] != part[:-1]) | (quarantined[1:] != quarantined[:-1]) | (key[1:] != key[:-1])
    order, part, quarantined, key = order[newest], part[newest], quarantined[newest], key[newest]
    views = verdicts.take(order)
    # Quarantined pictures stay apart, each for itself.
    group = np.stack([part, quarantined, np.where(quarantined, key, 0)])
    begins = np.ones(order.size, dtype=bool)
    begins[1:] = (group[:, 1:] != group[:, :-1]).any(axis=0)
    first = np.flatnonzero(begins)
    worst = np.lexsort((views.p_defective, views.outcome, np.cumsum(begins)))
    last = worst[np.append(first[1:], order.size) - 1]
    speaking = views.take(last)
    return Verdicts(
        **vars(speaking)
        | {
            "captured_at": np.minimum.reduceat(views.captured_at, first),
            "p_defective": np.maximum.reduceat(views.p_defective, first),
        }
    )
