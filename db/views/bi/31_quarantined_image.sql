-- bi.quarantined_image: one row a picture that could not be judged, with the reason. Filter by captured_at.
CREATE VIEW bi.quarantined_image AS
SELECT
    image.line,
    coalesce(line_name.name, image.line) AS line_name,
    image.part_id,
    image.view,
    quarantine.captured_at,
    quarantine.reason,
    quarantine.detail,
    quarantine.quarantined_at,
    regexp_replace(image.uri, '//[^/@]*@|\?.*', '', 'g') AS picture
FROM quarantine
JOIN image USING (image_id, captured_at)
LEFT JOIN line_name ON line_name.line = image.line;

COMMENT ON VIEW bi.quarantined_image IS 'One row a picture that could not be judged, with the reason.';
COMMENT ON COLUMN bi.quarantined_image.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.quarantined_image.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.quarantined_image.part_id IS 'The part, unique within its line and UTC day.';
COMMENT ON COLUMN bi.quarantined_image.view IS 'Which view of the part; empty where lines take one.';
COMMENT ON COLUMN bi.quarantined_image.captured_at IS 'When the picture was taken.';
COMMENT ON COLUMN bi.quarantined_image.reason IS
    'unreadable, truncated, not_an_image, too_small, too_large, blank, missing or access_denied.';
COMMENT ON COLUMN bi.quarantined_image.detail IS 'What exactly was wrong.';
COMMENT ON COLUMN bi.quarantined_image.quarantined_at IS 'When that was found.';
COMMENT ON COLUMN bi.quarantined_image.picture IS 'Address of the picture.';
