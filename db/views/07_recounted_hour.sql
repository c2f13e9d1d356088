-- recounted_hour: the hours of the stale line-days, counted from images and their parts.
CREATE VIEW recounted_hour AS
SELECT
    stale.line,
    stale.day,
    images.hour,
    coalesce(parts.inspected, 0) AS inspected,
    coalesce(parts.ok, 0) AS ok,
    coalesce(parts.defective, 0) AS defective,
    coalesce(parts.review, 0) AS review,
    coalesce(parts.p_sum, 0) AS p_sum,
    coalesce(parts.labelled, 0) AS labelled,
    coalesce(parts.labelled_defective, 0) AS labelled_defective,
    coalesce(parts.escapes, 0) AS escapes,
    coalesce(parts.false_rejects, 0) AS false_rejects,
    images.images,
    images.scored,
    images.quarantined,
    images.lag_p50_seconds,
    images.lag_p95_seconds,
    images.lag_max_seconds,
    images.rival_models
FROM stale_line_day AS stale
CROSS JOIN LATERAL (
    SELECT
        date_trunc('hour', image.captured_at, 'UTC') AS hour,
        count(*) AS images,
        count(first.judged_at) AS scored,
        count(set_aside.image_id) AS quarantined,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY first.lag) AS lag_p50_seconds,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY first.lag) AS lag_p95_seconds,
        max(first.lag) AS lag_max_seconds,
        coalesce(string_to_array(string_agg(DISTINCT first.rivals, ','), ',')::bigint[], '{}') AS rival_models
    FROM image
    CROSS JOIN LATERAL (
        SELECT
            min(verdict.judged_at) AS judged_at,
            extract(epoch FROM min(verdict.judged_at) - image.captured_at)::double precision AS lag,
            CASE WHEN count(*) > 1 THEN string_agg(verdict.model_id::text, ',' ORDER BY verdict.model_id) END AS rivals
        FROM verdict
        WHERE verdict.image_id = image.image_id AND verdict.captured_at = image.captured_at
    ) AS first
    LEFT JOIN LATERAL (
        SELECT quarantine.image_id
        FROM quarantine
        WHERE quarantine.image_id = image.image_id AND quarantine.captured_at = image.captured_at
        -- A limit keeps this a look into the index.
        LIMIT 1
    ) AS set_aside ON true
    WHERE image.line = stale.line
      AND image.captured_at >= stale.day::timestamp AT TIME ZONE 'UTC'
      AND image.captured_at < (stale.day + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY hour
) AS images
LEFT JOIN (
    SELECT
        line,
        day,
        date_trunc('hour', captured_at, 'UTC') AS hour,
        count(*) AS inspected,
        count(*) FILTER (WHERE verdict = 'ok') AS ok,
        count(*) FILTER (WHERE verdict = 'defective') AS defective,
        count(*) FILTER (WHERE verdict = 'review') AS review,
        sum(p_defective ORDER BY part_id) AS p_sum,
        count(label) AS labelled,
        count(*) FILTER (WHERE label = 'defective') AS labelled_defective,
        count(*) FILTER (WHERE label = 'defective' AND verdict = 'ok') AS escapes,
        count(*) FILTER (WHERE label = 'ok' AND verdict = 'defective') AS false_rejects
    FROM recounted_part
    GROUP BY line, day, hour
) AS parts ON parts.line = stale.line AND parts.day = stale.day AND parts.hour = images.hour;

COMMENT ON VIEW recounted_hour IS 'What line_hour shows of line-days that are due for a recount.';
