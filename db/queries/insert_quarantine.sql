-- Sets aside the images of a claimed chunk that cannot be judged, each with its reason.
INSERT INTO quarantine (image_id, captured_at, run_id, reason, detail, sha256)
SELECT image_id, captured_at, :run_id, reason, detail, sha256
FROM unnest(
    CAST(:image_ids AS bigint[]), CAST(:captured_ats AS timestamptz[]), CAST(:reasons AS text[]),
    CAST(:details AS text[]), CAST(:sha256s AS bytea[])) AS given (image_id, captured_at, reason, detail, sha256)
