-- bi.defect_rate_corrected_daily: the defect rate by line and UTC day, and what it is likely to be once the model's own
-- errors are taken out (function bi.corrected_rate). The errors are those of the model that judged the day's last part,
-- counted on the castings of its evaluation. No correction where that evaluation does not say how many defective castings
-- were called defective, or where the day's parts are in the archive.
CREATE VIEW bi.defect_rate_corrected_daily AS
WITH recounted AS MATERIALIZED (
    SELECT DISTINCT ON (line, day) line, day, model_id
    FROM recounted_part
    ORDER BY line, day, captured_at DESC, part_id DESC
)
SELECT
    daily.line,
    daily.line_name,
    daily.day,
    daily.inspected,
    daily.defective,
    daily.rate,
    corrected.rate AS corrected_rate,
    corrected.low AS corrected_low,
    corrected.high AS corrected_high,
    accuracy.model,
    accuracy.detected::double precision / nullif(accuracy.golden_defective, 0) AS sensitivity,
    accuracy.passed::double precision / nullif(accuracy.golden_sound, 0) AS specificity
FROM bi.defect_rate_daily AS daily
LEFT JOIN recounted ON recounted.line = daily.line AND recounted.day = daily.day
LEFT JOIN LATERAL (
    SELECT
        model.version AS model,
        (scores.scores ->> 'defective')::bigint AS golden_defective,
        (scores.scores ->> 'ok')::bigint AS golden_sound,
        -- Without a review in between, what did not escape was detected.
        coalesce(
            (scores.scores ->> 'detected')::bigint,
            CASE WHEN (scores.scores ->> 'review')::bigint = 0
                THEN (scores.scores ->> 'defective')::bigint - (scores.scores ->> 'escapes')::bigint END) AS detected,
        (scores.scores ->> 'ok')::bigint - (scores.scores ->> 'false_rejects')::bigint AS passed
    FROM model
    CROSS JOIN LATERAL (
        SELECT coalesce(model.card -> 'metrics' -> 'by_casting', model.card -> 'metrics' -> 'by_image') AS scores
    ) AS scores
    WHERE model.model_id = coalesce(recounted.model_id, (
        SELECT part.model_id
        FROM part
        WHERE part.line = daily.line
          AND part.captured_at >= daily.day::timestamp AT TIME ZONE 'UTC'
          AND part.captured_at < (daily.day + 1)::timestamp AT TIME ZONE 'UTC'
        ORDER BY part.captured_at DESC, part.line DESC, part.part_id DESC
        LIMIT 1))
) AS accuracy ON true
LEFT JOIN LATERAL bi.corrected_rate(
    daily.defective, daily.inspected,
    accuracy.detected, accuracy.golden_defective, accuracy.passed, accuracy.golden_sound) AS corrected ON true;

COMMENT ON VIEW bi.defect_rate_corrected_daily IS
    'Defect rate by line and UTC day, with the model''s own errors taken out (Rogan and Gladen).';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.day IS 'The UTC day of capture.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.inspected IS 'Parts with a verdict.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.defective IS 'Parts judged defective.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.rate IS 'Parts judged defective per inspected part.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.corrected_rate IS 'Estimate of the truly defective parts per inspected part.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.corrected_low IS
    'Lower limit of its 95 % interval (Lang and Reiczigel): chance in the parts and in the model''s evaluation.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.corrected_high IS 'Upper limit of its 95 % interval.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.model IS 'Version of the model that judged the day''s last part.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.sensitivity IS
    'Share of the defective castings of its evaluation that the model calls defective.';
COMMENT ON COLUMN bi.defect_rate_corrected_daily.specificity IS
    'Share of the sound castings of its evaluation that the model does not call defective.';
