-- Writes the verdicts of a claimed chunk. No ON CONFLICT: under a claim a second verdict is a defect of this program.
INSERT INTO verdict (image_id, captured_at, model_id, run_id, p_defective, verdict, sha256)
SELECT image_id, captured_at, :model_id, :run_id, p_defective, verdict, sha256
FROM unnest(
    CAST(:image_ids AS bigint[]), CAST(:captured_ats AS timestamptz[]), CAST(:p_defectives AS double precision[]),
    CAST(:verdicts AS text[]), CAST(:sha256s AS bytea[])) AS given (image_id, captured_at, p_defective, verdict, sha256)
