"""Histories of lines written into a real database as scoring would have left them."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import text

START = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def beta_rates(generator, rate, icc, batches):
    """The rate of each batch, with the given correlation of outcomes inside batches."""
    precision = 1 / icc - 1
    return generator.beta(rate * precision, (1 - rate) * precision, size=batches)


def scores_of(generator, defective):
    """Scores of sound and defective parts: a tenth of a percent of the sound ones lies in review."""
    sound = generator.beta(1.2, 14, size=defective.size)
    return np.where(defective, 0.72 + 0.27 * generator.random(defective.size), np.minimum(sound, 0.69))


def verdict_of(scores):
    """The verdicts at the usual thresholds."""
    return np.where(scores >= 0.7, "defective", np.where(scores >= 0.3, "review", "ok"))


def register(engine, version="m1", *, metrics=None, promote=True):
    """A model that nobody loads; it is the champion unless told otherwise."""
    with engine.begin() as connection:
        if promote:
            connection.execute(text("UPDATE model SET state = 'retired' WHERE state = 'champion'"))
        return connection.execute(
            text(
                "INSERT INTO model (version, artifact_url, sha256, state, card, promoted_at) VALUES "
                "(:version, 'file:///x', repeat('a', 64), :state, CAST(:card AS jsonb), now()) RETURNING model_id"
            ),
            {
                "version": version,
                "state": "champion" if promote else "candidate",
                "card": json.dumps({"metrics": metrics or {}}),
            },
        ).scalar_one()


def completed_run(engine, model_id, *, until, since=None, state="completed", backlog=0, finished_at=None):
    """A scoring run that has ended; its id."""
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO scoring_run (run_id, model_id, since, until, lines, state, started_at, finished_at, "
                "seconds, backlog) VALUES (gen_random_uuid(), :model, :since, :until, '{}', :state, :at, :at, 1, "
                ":backlog) RETURNING run_id"
            ),
            {
                "model": model_id,
                "since": since or until - timedelta(hours=48),
                "until": until,
                "state": state,
                "at": finished_at or until,
                "backlog": backlog,
            },
        ).scalar_one()


def write_parts(engine, run_id, model_id, *, line, hour, scores, first=0, quarantined=(), minute_of=None, ids=None):
    """Write the parts of one hour of a line, one picture each: scores in order, and which of them are quarantined."""
    scores = np.asarray(scores, dtype=float)
    count = scores.size
    ids = ids or [f"P{first + number:06d}" for number in range(count)]
    minutes = minute_of or [0] * count
    rows = {
        "uris": [f"file:///{line}/{hour:%Y/%m/%d/%H}/{part}.jpg" for part in ids],
        "ids": ids,
        "times": [hour + timedelta(minutes=minute) for minute in minutes],
        "scores": scores.tolist(),
        "verdicts": verdict_of(scores).tolist(),
        "bad": [number in set(quarantined) for number in range(count)],
        "line": line,
        "model": model_id,
        "run": run_id,
    }
    with engine.begin() as connection:
        connection.execute(text("SELECT ensure_month(:hour)"), {"hour": hour})
        connection.execute(
            text("""
                WITH part AS (
                    SELECT * FROM unnest(
                        CAST(:uris AS text[]), CAST(:ids AS text[]), CAST(:times AS timestamptz[]),
                        CAST(:scores AS double precision[]), CAST(:verdicts AS text[]), CAST(:bad AS boolean[]))
                        AS part (uri, part_id, captured_at, score, verdict, bad)
                )
                INSERT INTO image (captured_at, uri, etag, line, part_id, size, stored_at)
                SELECT captured_at, uri, 'e', :line, part_id, 1, captured_at FROM part
                ON CONFLICT DO NOTHING
            """),
            rows,
        )
        for table in ("verdict", "quarantine"):
            connection.execute(text(_OUTCOMES[table]), rows)


def write_moulds(engine, *, since, until, moulds):
    """Say that the parts of some hours come from so many moulds in turn, by the number in their ids."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO part_attribute (line, part_id, day, key, value) "
                "SELECT line, part_id, (captured_at AT TIME ZONE 'UTC')::date, 'mould', "
                "'M' || substring(part_id FROM 2)::integer % :moulds "
                "FROM image WHERE captured_at >= :since AND captured_at < :until"
            ),
            {"since": since, "until": until, "moulds": moulds},
        )


_OUTCOMES = {
    "verdict": """
        INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256)
        SELECT image_id, captured_at, :model, :run, score, part.verdict, decode(repeat('00', 32), 'hex')
        FROM unnest(
            CAST(:uris AS text[]), CAST(:times AS timestamptz[]), CAST(:scores AS double precision[]),
            CAST(:verdicts AS text[]), CAST(:bad AS boolean[])) AS part (uri, captured_at, score, verdict, bad)
        JOIN image USING (uri, captured_at)
        WHERE NOT bad
    """,
    "quarantine": """
        INSERT INTO quarantine (image_id, captured_at, run_id, reason, detail)
        SELECT image_id, captured_at, :run, 'blank', 'said the test'
        FROM unnest(CAST(:uris AS text[]), CAST(:times AS timestamptz[]), CAST(:bad AS boolean[]))
            AS part (uri, captured_at, bad)
        JOIN image USING (uri, captured_at)
        WHERE bad
    """,
}
