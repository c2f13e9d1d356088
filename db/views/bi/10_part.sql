-- bi.part: one row a part, with its verdict as it stands now and what people said of it.
-- Filter by captured_at, line or part_id. shift, shift_day and picture are looked up only where they are asked for.
CREATE VIEW bi.part AS
SELECT
    part.line,
    coalesce(line_name.name, part.line) AS line_name,
    part.part_id,
    part.captured_at,
    part.day,
    (SELECT shift FROM bi.shift_at(part.line, part.captured_at)) AS shift,
    (SELECT shift_day FROM bi.shift_at(part.line, part.captured_at)) AS shift_day,
    part.verdict,
    part.p_defective,
    part.views,
    part.worst_view,
    model.version AS model,
    part.judged_at,
    part.label,
    -- Keys and passwords that an address may carry are nobody's business here.
    (SELECT regexp_replace(image.uri, '//[^/@]*@|\?.*', '', 'g')
     FROM image
     WHERE image.image_id = part.image_id
       AND image.captured_at >= part.captured_at AND image.captured_at < part.captured_at + interval '1 day') AS picture
FROM part_verdict AS part
LEFT JOIN model USING (model_id)
LEFT JOIN line_name ON line_name.line = part.line;

COMMENT ON VIEW bi.part IS 'One row a part: its verdict as it stands now, and what people said of it.';
COMMENT ON COLUMN bi.part.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.part.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.part.part_id IS 'The part, unique within its line and UTC day.';
COMMENT ON COLUMN bi.part.captured_at IS 'When the first picture of the part was taken, as precisely as its key says.';
COMMENT ON COLUMN bi.part.day IS 'The UTC day of its capture.';
COMMENT ON COLUMN bi.part.shift IS 'The shift in which it was captured (table shift).';
COMMENT ON COLUMN bi.part.shift_day IS 'The day on which that shift began, in the plant''s own time.';
COMMENT ON COLUMN bi.part.verdict IS 'ok, defective or review: the worst among its views.';
COMMENT ON COLUMN bi.part.p_defective IS 'Calibrated probability that it is defective, 0 to 1: the highest among its views.';
COMMENT ON COLUMN bi.part.views IS 'How many pictures of it have a verdict.';
COMMENT ON COLUMN bi.part.worst_view IS 'The view with the highest p_defective; empty where lines take one view.';
COMMENT ON COLUMN bi.part.model IS 'Version of the model that judged the worst view.';
COMMENT ON COLUMN bi.part.judged_at IS 'When the last of these verdicts was given.';
COMMENT ON COLUMN bi.part.label IS 'What reviewers say: ok or defective; NULL if nobody has looked.';
COMMENT ON COLUMN bi.part.picture IS 'Address of the picture of the worst view.';
