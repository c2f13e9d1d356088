-- Brings the hours of one stale line-day up to date. Images are never taken away, so no hour vanishes.
INSERT INTO part_hour (
    line, hour, inspected, ok, defective, review, p_sum, labelled, labelled_defective, escapes, false_rejects,
    images, scored, quarantined, lag_p50_seconds, lag_p95_seconds, lag_max_seconds, rival_models)
SELECT
    line, hour, inspected, ok, defective, review, p_sum, labelled, labelled_defective, escapes, false_rejects,
    images, scored, quarantined, lag_p50_seconds, lag_p95_seconds, lag_max_seconds, rival_models
FROM recounted_hour
WHERE line = :line AND day = CAST(:day AS date)
ON CONFLICT (line, hour) DO UPDATE SET
    inspected = excluded.inspected, ok = excluded.ok, defective = excluded.defective, review = excluded.review,
    p_sum = excluded.p_sum, labelled = excluded.labelled, labelled_defective = excluded.labelled_defective,
    escapes = excluded.escapes, false_rejects = excluded.false_rejects, images = excluded.images,
    scored = excluded.scored, quarantined = excluded.quarantined, lag_p50_seconds = excluded.lag_p50_seconds,
    lag_p95_seconds = excluded.lag_p95_seconds, lag_max_seconds = excluded.lag_max_seconds,
    rival_models = excluded.rival_models
WHERE (part_hour.*) IS DISTINCT FROM (excluded.*)
