-- Where the time of a run went, in the order of the work.
SELECT stage, seconds
FROM run_stage
WHERE run_id = :run_id
ORDER BY array_position(ARRAY['discover', 'fetch', 'decode', 'forward', 'write'], stage)
