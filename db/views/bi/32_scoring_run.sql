-- bi.scoring_run: one row a run of the hourly job. Filter by started_at.
CREATE VIEW bi.scoring_run AS
SELECT
    run.run_id,
    model.version AS model,
    run.state,
    run.started_at,
    run.finished_at,
    run.seconds,
    run.discovered,
    run.scored,
    run.ok,
    run.defective,
    run.review,
    run.quarantined,
    run.backlog,
    (run.scored + run.quarantined) / nullif(run.seconds, 0) AS images_per_second,
    run.error
FROM scoring_run AS run
JOIN model USING (model_id);

COMMENT ON VIEW bi.scoring_run IS 'One row a run of the hourly job.';
COMMENT ON COLUMN bi.scoring_run.run_id IS 'The run, as verdicts name it.';
COMMENT ON COLUMN bi.scoring_run.model IS 'Version of the model that judged.';
COMMENT ON COLUMN bi.scoring_run.state IS 'running, completed, failed, or died (ended without a word).';
COMMENT ON COLUMN bi.scoring_run.started_at IS 'When it started.';
COMMENT ON COLUMN bi.scoring_run.finished_at IS 'When it ended.';
COMMENT ON COLUMN bi.scoring_run.seconds IS 'How long it took.';
COMMENT ON COLUMN bi.scoring_run.discovered IS 'Pictures that it found new in object storage.';
COMMENT ON COLUMN bi.scoring_run.scored IS 'Pictures that it judged: ok + defective + review.';
COMMENT ON COLUMN bi.scoring_run.ok IS 'Pictures judged ok.';
COMMENT ON COLUMN bi.scoring_run.defective IS 'Pictures judged defective.';
COMMENT ON COLUMN bi.scoring_run.review IS 'Pictures left for a person to look at.';
COMMENT ON COLUMN bi.scoring_run.quarantined IS 'Pictures that could not be judged.';
COMMENT ON COLUMN bi.scoring_run.backlog IS 'Pictures that it left for the next run.';
COMMENT ON COLUMN bi.scoring_run.images_per_second IS 'Pictures that got an outcome per second.';
COMMENT ON COLUMN bi.scoring_run.error IS 'What went wrong, if anything.';
