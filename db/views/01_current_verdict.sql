-- current_verdict: one row an image that has a verdict: the champion's, or, where the champion has not judged the
-- image, the newest one. Older verdicts stay in `verdict`.
CREATE VIEW current_verdict AS
SELECT DISTINCT ON (verdict.captured_at, verdict.image_id)
    verdict.image_id,
    verdict.captured_at,
    image.line,
    image.part_id,
    image.view,
    image.uri,
    verdict.verdict,
    verdict.p_defective,
    model.version AS model,
    verdict.judged_at,
    verdict.run_id
FROM verdict
JOIN image USING (image_id, captured_at)
JOIN model USING (model_id)
ORDER BY verdict.captured_at, verdict.image_id, (model.state = 'champion') DESC, verdict.judged_at DESC, verdict.model_id DESC;

COMMENT ON VIEW current_verdict IS 'The verdict that counts for each image: the champion''s, else the newest.';
COMMENT ON COLUMN current_verdict.p_defective IS 'Calibrated probability that the part is defective, 0 to 1.';
COMMENT ON COLUMN current_verdict.captured_at IS 'When the picture was taken, as precisely as its key says.';
