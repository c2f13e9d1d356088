-- Adds a chunk's seconds of work to its run. Run it after the run's own row is locked: chunks then come one by one.
INSERT INTO run_stage (run_id, stage, seconds)
SELECT :run_id, stage, seconds
FROM unnest(CAST(:stages AS text[]), CAST(:seconds AS double precision[])) AS given (stage, seconds)
ON CONFLICT (run_id, stage) DO UPDATE SET seconds = run_stage.seconds + EXCLUDED.seconds
