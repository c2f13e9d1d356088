-- part_verdict: one row a part, exact at every moment: from the roll-up, and of line-days that changed since, recounted.
-- What a part and its verdict are stands in `recounted_part`.
-- The condition stands outside of the union: with one inside, the newest parts could not be read off an index.
CREATE VIEW part_verdict AS
SELECT
    line, part_id, captured_at, verdict, p_defective, views, worst_view, image_id, model_id, judged_at, label,
    (captured_at AT TIME ZONE 'UTC')::date AS day
FROM (
    SELECT
        line, part_id, captured_at, verdict, p_defective, views, worst_view, image_id, model_id, judged_at, label,
        true AS rolled_up
    FROM part
    UNION ALL
    SELECT
        line, part_id, captured_at, verdict, p_defective, views, worst_view, image_id, model_id, judged_at, label,
        false
    FROM recounted_part
) AS known
WHERE NOT (
    rolled_up
    AND EXISTS (
        SELECT FROM stale_line_day AS stale
        WHERE stale.line = known.line AND stale.day = (known.captured_at AT TIME ZONE 'UTC')::date));

COMMENT ON COLUMN part_verdict.captured_at IS 'When the first picture of the part was taken.';
COMMENT ON COLUMN part_verdict.p_defective IS 'The highest p_defective among the part''s views.';
COMMENT ON COLUMN part_verdict.worst_view IS 'The view with the highest p_defective; empty where lines take one view.';
COMMENT ON COLUMN part_verdict.image_id IS 'The picture of the worst view.';
COMMENT ON COLUMN part_verdict.model_id IS 'The model that judged the worst view.';
COMMENT ON COLUMN part_verdict.label IS 'What people say of the part: defective if they say so of any view.';
COMMENT ON COLUMN part_verdict.day IS 'The day (UTC) within which the part_id counts.';
