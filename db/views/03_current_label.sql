-- current_label: one row an image that people have labelled: the newest label counts. Older ones stay in `label`.
CREATE VIEW current_label AS
SELECT DISTINCT ON (label.captured_at, label.image_id)
    label.image_id,
    label.captured_at,
    image.line,
    image.part_id,
    image.view,
    image.uri,
    image.etag,
    label.label,
    label.who,
    label.why,
    label.labelled_at,
    label.label_id
FROM label
JOIN image USING (image_id, captured_at)
ORDER BY label.captured_at, label.image_id, label.labelled_at DESC, label.label_id DESC;

COMMENT ON VIEW current_label IS 'What people say of each image: the newest label.';
COMMENT ON COLUMN current_label.labelled_at IS 'When the person judged the image.';
