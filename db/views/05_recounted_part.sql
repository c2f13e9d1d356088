-- recounted_part: the parts of the stale line-days, counted from images, verdicts and labels. This is what a part is:
-- An image's verdict is the champion's, else the newest. Where a picture was overwritten, only the newest judged one of
-- that key counts. A part with several views is defective if any view is, else in review if any is, else ok.
-- A part_id counts within its line and UTC day: many lines restart their part counter every day, and the views of one
-- part may fall on both sides of a full hour.
CREATE VIEW recounted_part AS
SELECT stale.line, stale.day, counted.*
FROM stale_line_day AS stale
CROSS JOIN LATERAL (
    SELECT
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
        (array_agg(image_id ORDER BY p_defective DESC, view))[1] AS image_id,
        (array_agg(model_id ORDER BY p_defective DESC, view))[1] AS model_id,
        max(judged_at) AS judged_at,
        CASE WHEN bool_or(label = 'defective') THEN 'defective' WHEN bool_or(label = 'ok') THEN 'ok' END AS label
    FROM (
        SELECT DISTINCT ON (image.captured_at, image.part_id, image.uri)
            image.captured_at, image.part_id, image.uri, image.view, image.image_id,
            given.verdict, given.p_defective, given.judged_at, given.model_id,
            (
                SELECT label.label
                FROM label
                WHERE label.image_id = image.image_id AND label.captured_at = image.captured_at
                ORDER BY label.labelled_at DESC, label.label_id DESC
                LIMIT 1
            ) AS label
        FROM image
        CROSS JOIN LATERAL (
            SELECT verdict.verdict, verdict.p_defective, verdict.judged_at, verdict.model_id
            FROM verdict
            WHERE verdict.image_id = image.image_id AND verdict.captured_at = image.captured_at
            -- A line-day is small and its verdicts are found by index, whatever the planner thinks of their number.
            OFFSET 0
        ) AS given
        JOIN model ON model.model_id = given.model_id
        WHERE image.line = stale.line
          AND image.captured_at >= stale.day::timestamp AT TIME ZONE 'UTC'
          AND image.captured_at < (stale.day + 1)::timestamp AT TIME ZONE 'UTC'
        ORDER BY
            image.captured_at, image.part_id, image.uri, image.image_id DESC,
            (model.state = 'champion') DESC, given.judged_at DESC, given.model_id DESC
    ) AS newest
    GROUP BY part_id
) AS counted;

COMMENT ON VIEW recounted_part IS 'What part_verdict shows of line-days that are due for a recount.';
