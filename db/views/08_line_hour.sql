-- line_hour: one row a line and hour (UTC) with images, exact at every moment: from the roll-up `part_hour`, and of
-- line-days that changed since, recounted.
CREATE VIEW line_hour AS
SELECT
    line, hour, inspected, ok, defective, review, p_sum, labelled, labelled_defective, escapes, false_rejects,
    images, scored, quarantined, images - scored - quarantined AS backlog,
    lag_p50_seconds, lag_p95_seconds, lag_max_seconds
FROM part_hour
WHERE (line, (hour AT TIME ZONE 'UTC')::date) NOT IN (SELECT line, day FROM stale_line_day)
UNION ALL
SELECT
    line, hour, inspected, ok, defective, review, p_sum, labelled, labelled_defective, escapes, false_rejects,
    images, scored, quarantined, images - scored - quarantined,
    lag_p50_seconds, lag_p95_seconds, lag_max_seconds
FROM recounted_hour;

COMMENT ON VIEW line_hour IS 'Parts and images by line and hour of capture (UTC).';
COMMENT ON COLUMN line_hour.inspected IS 'Parts with a verdict: ok + defective + review. Parts count in the hour of their first image.';
COMMENT ON COLUMN line_hour.p_sum IS 'Sum of p_defective over the inspected parts.';
COMMENT ON COLUMN line_hour.labelled IS 'Inspected parts that people have labelled.';
COMMENT ON COLUMN line_hour.escapes IS 'Parts judged ok that people call defective.';
COMMENT ON COLUMN line_hour.false_rejects IS 'Parts judged defective that people call ok.';
COMMENT ON COLUMN line_hour.images IS 'Known images: scored + quarantined + backlog.';
COMMENT ON COLUMN line_hour.lag_p50_seconds IS 'From capture to the first verdict, half of the scored images; NULL if none.';
