-- The label that counts for each image of a line (NULL: of all), the newest first.
SELECT image_id, captured_at, uri, etag, line, part_id, label, who, why, labelled_at
FROM current_label
WHERE CAST(:line AS text) IS NULL OR line = :line
ORDER BY labelled_at DESC, label_id DESC
LIMIT :most
