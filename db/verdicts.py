"""How judged images are written: every claimed image ends as a verdict or in quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casting_core.types import Judgement, Prediction, Rejection, ScoringRun
from db.queries import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


def write_judgements(connection: Connection, run: ScoringRun, judgements: Sequence[Judgement]) -> list[Judgement]:
    """Write the outcomes of one claimed chunk, in the transaction that holds the claim; return those it wrote.

    All but one kind: a rejection of an image that an earlier model has judged. Its picture was overwritten or deleted
    since; its verdict stands, and it stays backlog of this model until the window has passed it.
    """
    predicted = [(j, j.outcome) for j in judgements if isinstance(j.outcome, Prediction)]
    rejected = [(j, j.outcome) for j in judgements if isinstance(j.outcome, Rejection)]
    if predicted:
        connection.execute(
            load("insert_verdicts"),
            {
                "model_id": run.model.model_id,
                "run_id": run.run_id,
                "image_ids": [j.image.image_id for j, _ in predicted],
                "captured_ats": [j.image.captured_at for j, _ in predicted],
                "p_defectives": [prediction.p_defective for _, prediction in predicted],
                "verdicts": [prediction.verdict for _, prediction in predicted],
                "sha256s": [j.sha256 for j, _ in predicted],
            },
        )
    quarantined: set[int] = set()
    if rejected:
        rows = connection.execute(
            load("insert_quarantine"),
            {
                "run_id": run.run_id,
                "image_ids": [j.image.image_id for j, _ in rejected],
                "captured_ats": [j.image.captured_at for j, _ in rejected],
                "reasons": [rejection.reason for _, rejection in rejected],
                "details": [rejection.detail for _, rejection in rejected],
                "sha256s": [j.sha256 for j, _ in rejected],
            },
        )
        quarantined.update(rows.scalars())
    return [j for j in judgements if isinstance(j.outcome, Prediction) or j.image.image_id in quarantined]
