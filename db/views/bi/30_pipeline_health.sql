-- bi.pipeline_health: by line and hour of capture, whether its pictures got their verdicts, and how long that took.
-- Filter by hour and line. Single pictures that could not be judged stand in bi.quarantined_image, runs in bi.scoring_run.
CREATE VIEW bi.pipeline_health AS
SELECT
    hour.line,
    coalesce(line_name.name, hour.line) AS line_name,
    hour.hour,
    hour.images,
    hour.scored,
    hour.quarantined,
    hour.backlog,
    hour.lag_p50_seconds / 60 AS lag_p50_minutes,
    hour.lag_p95_seconds / 60 AS lag_p95_minutes,
    hour.lag_max_seconds / 60 AS lag_max_minutes,
    CASE WHEN hour.quarantined > 0 THEN (
        SELECT jsonb_object_agg(reason, pictures)
        FROM (
            SELECT quarantine.reason, count(*) AS pictures
            FROM quarantine
            JOIN image ON image.image_id = quarantine.image_id AND image.captured_at = quarantine.captured_at
            WHERE image.line = hour.line
              AND quarantine.captured_at >= hour.hour AND quarantine.captured_at < hour.hour + interval '1 hour'
            GROUP BY quarantine.reason
        ) AS counted
    ) END AS quarantine_reasons,
    (SELECT count(*) FROM scoring_run
     WHERE started_at >= hour.hour AND started_at < hour.hour + interval '1 hour') AS runs,
    (SELECT count(*) FROM scoring_run
     WHERE started_at >= hour.hour AND started_at < hour.hour + interval '1 hour' AND state IN ('failed', 'died')) AS failed_runs
FROM line_hour AS hour
LEFT JOIN line_name ON line_name.line = hour.line;

COMMENT ON VIEW bi.pipeline_health IS 'By line and hour of capture (UTC): whether its pictures got their verdicts, and how long that took.';
COMMENT ON COLUMN bi.pipeline_health.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.pipeline_health.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.pipeline_health.hour IS 'Begin of the hour of capture.';
COMMENT ON COLUMN bi.pipeline_health.images IS 'Known pictures of the hour: scored + quarantined + backlog.';
COMMENT ON COLUMN bi.pipeline_health.scored IS 'Pictures with a verdict.';
COMMENT ON COLUMN bi.pipeline_health.quarantined IS 'Pictures that could not be judged.';
COMMENT ON COLUMN bi.pipeline_health.backlog IS 'Pictures that still wait.';
COMMENT ON COLUMN bi.pipeline_health.lag_p50_minutes IS
    'Minutes from capture, as precisely as the key says, to the first verdict: half of the pictures took no longer.';
COMMENT ON COLUMN bi.pipeline_health.lag_p95_minutes IS 'Minutes from capture to the first verdict: 95 % of the pictures took no longer.';
COMMENT ON COLUMN bi.pipeline_health.lag_max_minutes IS 'Minutes from capture to the first verdict of the slowest picture.';
COMMENT ON COLUMN bi.pipeline_health.quarantine_reasons IS 'How many pictures could not be judged for which reason; NULL if none.';
COMMENT ON COLUMN bi.pipeline_health.runs IS 'Scoring runs that started within the hour, on all lines.';
COMMENT ON COLUMN bi.pipeline_health.failed_runs IS 'Those among them that failed or died.';
