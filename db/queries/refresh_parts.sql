-- Brings the parts of one stale line-day up to date. Rows that are right already are left alone.
WITH recounted AS MATERIALIZED (
    SELECT * FROM recounted_part WHERE line = :line AND day = CAST(:day AS date)
), gone AS (
    DELETE FROM part
    WHERE line = :line
      AND captured_at >= CAST(:day AS date)::timestamp AT TIME ZONE 'UTC'
      AND captured_at < (CAST(:day AS date) + 1)::timestamp AT TIME ZONE 'UTC'
      AND NOT EXISTS (
          SELECT FROM recounted
          WHERE recounted.part_id = part.part_id AND recounted.captured_at = part.captured_at)
)
INSERT INTO part (
    captured_at, line, part_id, verdict, p_defective, views, worst_view, image_id, model_id, judged_at, label)
SELECT captured_at, line, part_id, verdict, p_defective, views, worst_view, image_id, model_id, judged_at, label
FROM recounted
ORDER BY captured_at, part_id
ON CONFLICT (captured_at, line, part_id) DO UPDATE SET
    verdict = excluded.verdict, p_defective = excluded.p_defective, views = excluded.views,
    worst_view = excluded.worst_view, image_id = excluded.image_id, model_id = excluded.model_id,
    judged_at = excluded.judged_at, label = excluded.label
WHERE (part.*) IS DISTINCT FROM (excluded.*)
