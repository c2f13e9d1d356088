-- Sets aside the images of a claimed chunk that cannot be judged, each with its reason; answers with those it wrote.
-- An image that an earlier model has judged is left out: its picture was overwritten or deleted since, and its verdict
-- stands.
INSERT INTO quarantine (image_id, captured_at, run_id, reason, detail, sha256)
SELECT image_id, captured_at, :run_id, reason, detail, sha256
FROM unnest(
    CAST(:image_ids AS bigint[]), CAST(:captured_ats AS timestamptz[]), CAST(:reasons AS text[]),
    CAST(:details AS text[]), CAST(:sha256s AS bytea[])) AS given (image_id, captured_at, reason, detail, sha256)
WHERE NOT EXISTS (
    SELECT FROM verdict
    WHERE verdict.image_id = given.image_id AND verdict.captured_at = given.captured_at)
RETURNING image_id
