-- bi.verdict_history: every verdict ever given, by every model. What counts now stands in bi.part.
CREATE VIEW bi.verdict_history AS
SELECT
    image.line,
    image.part_id,
    image.view,
    image.captured_at,
    verdict.verdict,
    verdict.p_defective,
    model.version AS model,
    verdict.judged_at,
    verdict.run_id,
    image.image_id
FROM image
CROSS JOIN LATERAL (
    SELECT verdict.verdict, verdict.p_defective, verdict.judged_at, verdict.run_id, verdict.model_id
    FROM verdict
    WHERE verdict.image_id = image.image_id AND verdict.captured_at = image.captured_at
    -- Keeps this a look into the index: else every month's verdicts would be read to find those of a few images.
    OFFSET 0
) AS verdict
JOIN model USING (model_id);

COMMENT ON VIEW bi.verdict_history IS 'Every verdict ever given, one row an image and model.';
COMMENT ON COLUMN bi.verdict_history.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.verdict_history.part_id IS 'The part, unique within its line and UTC day.';
COMMENT ON COLUMN bi.verdict_history.view IS 'Which view of the part; empty where lines take one.';
COMMENT ON COLUMN bi.verdict_history.captured_at IS 'When the picture was taken.';
COMMENT ON COLUMN bi.verdict_history.verdict IS 'ok, defective or review.';
COMMENT ON COLUMN bi.verdict_history.p_defective IS 'Calibrated probability that the part is defective, 0 to 1.';
COMMENT ON COLUMN bi.verdict_history.model IS 'Version of the model that judged.';
COMMENT ON COLUMN bi.verdict_history.judged_at IS 'When it judged.';
COMMENT ON COLUMN bi.verdict_history.run_id IS 'The run that wrote it (bi.scoring_run).';
COMMENT ON COLUMN bi.verdict_history.image_id IS 'The picture.';
