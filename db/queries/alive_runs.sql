-- How many runs are judging at this moment: they say so and hold their sign of life (see runs.alive).
SELECT count(*)
FROM scoring_run
WHERE state = 'running' AND NOT pg_try_advisory_xact_lock(hashtextextended(run_id::text, 0))
