-- part_verdict: one row a part. A part with several views is defective if any view is, else in review if any is,
-- else ok. Where a picture was overwritten, only the newest one of that key counts.
-- A part_id counts within its line and UTC day: many lines restart their part counter every day, and the views of one
-- part may fall on both sides of a full hour.
CREATE VIEW part_verdict AS
WITH newest AS (
    SELECT DISTINCT ON (current_verdict.captured_at, current_verdict.uri) current_verdict.*
    FROM current_verdict
    ORDER BY current_verdict.captured_at, current_verdict.uri, current_verdict.image_id DESC
)
SELECT
    line,
    part_id,
    min(captured_at) AS captured_at,
    CASE
        WHEN bool_or(verdict = 'defective') THEN 'defective'
        WHEN bool_or(verdict = 'review') THEN 'review'
        ELSE 'ok'
    END AS verdict,
    max(p_defective) AS p_defective,
    count(*) AS views,
    (array_agg(view ORDER BY p_defective DESC, view))[1] AS worst_view,
    max(judged_at) AS judged_at
FROM newest
GROUP BY line, part_id, date_trunc('day', captured_at, 'UTC');

COMMENT ON COLUMN part_verdict.captured_at IS 'When the first picture of the part was taken.';
COMMENT ON COLUMN part_verdict.p_defective IS 'The highest p_defective among the part''s views.';
COMMENT ON COLUMN part_verdict.worst_view IS 'The view with the highest p_defective; empty where lines take one view.';
