-- The parts that look most defective, each with the picture that says so, of one line or (line NULL) of all.
SELECT
    coalesce(line_name.name, part.line) AS line, part.part_id, part.captured_at, part.verdict, part.p_defective, part.label,
    picture.uri, picture.etag
FROM (
    SELECT *
    FROM part_verdict
    WHERE captured_at >= :since AND captured_at < :until AND verdict <> 'ok'
      AND (CAST(:line AS text) IS NULL OR line = :line)
    ORDER BY (verdict = 'defective') DESC, p_defective DESC, captured_at DESC, line, part_id
    LIMIT :most
) AS part
LEFT JOIN line_name ON line_name.line = part.line
CROSS JOIN LATERAL (
    SELECT image.uri, image.etag
    FROM image
    WHERE image.image_id = part.image_id
      AND image.captured_at >= part.captured_at AND image.captured_at < part.captured_at + interval '1 day'
) AS picture
ORDER BY (part.verdict = 'defective') DESC, part.p_defective DESC, part.captured_at DESC, part.line, part.part_id
