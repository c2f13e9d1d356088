"""Baselines as the database keeps them: set by somebody, for a reason, and never changed afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from casting_core.baselines import StreamBaseline
from casting_core.types import Window
from db.queries import load
from db.schema import baseline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_baselines(
    connection: Connection, baselines: Sequence[StreamBaseline], *, set_by: str, why: str
) -> list[StreamBaseline]:
    """Set baselines, and return them with their ids."""
    rows = [
        {
            "kind": each.kind,
            "stream": each.stream,
            "rate": each.rate,
            "low": each.low,
            "high": each.high,
            "counted": each.counted,
            "inspected": each.inspected,
            "own_weight": each.own_weight,
            "icc": each.icc,
            "parts_per_hour": each.parts_per_hour,
            "model_id": each.model_id,
            "reference_since": each.reference.since,
            "reference_until": each.reference.until,
            "valid_from": _EPOCH + timedelta(hours=each.valid_from_hour),
            "set_by": set_by,
            "why": why,
            "details": {
                "batch": each.batch,
                "streams": each.streams,
                "share": each.share,
                "review": [list(share) for share in each.review],
            },
        }
        for each in baselines
    ]
    statement = insert(baseline).returning(baseline.c.baseline_id, sort_by_parameter_order=True)
    ids = connection.execute(statement, rows).scalars().all() if rows else []
    return [replace(each, baseline_id=number) for each, number in zip(baselines, ids, strict=True)]


def read_baselines(connection: Connection, *, since: datetime) -> dict[tuple[str, str], tuple[StreamBaseline, ...]]:
    """Return the baselines that hold at some time from `since` on, by (kind, stream), the newest last."""
    found: dict[tuple[str, str], tuple[StreamBaseline, ...]] = {}
    for row in connection.execute(load("current_baselines"), {"since": since}):
        key = (row.kind, row.stream)
        found[key] = (*found.get(key, ()), _baseline(row))
    return found


def _baseline(row: Row[Any]) -> StreamBaseline:
    return StreamBaseline(
        baseline_id=row.baseline_id,
        kind=row.kind,
        stream=row.stream,
        rate=row.rate,
        low=row.low,
        high=row.high,
        counted=row.counted,
        inspected=row.inspected,
        own_weight=row.own_weight,
        icc=row.icc,
        parts_per_hour=row.parts_per_hour,
        batch=row.details["batch"],
        streams=row.details["streams"],
        # Earlier releases watched lines only.
        share=row.details.get("share", 1.0),
        model_id=row.model_id,
        reference=Window(since=row.reference_since, until=row.reference_until),
        valid_from_hour=(row.valid_from - _EPOCH) // timedelta(hours=1),
        review=tuple((value, share) for value, share in row.details["review"]),
    )
