-- The lines that have sent pictures, those of the last minutes among them.
SELECT line FROM part_hour
UNION
SELECT line FROM rollup_stale
UNION
SELECT line FROM stream_state
ORDER BY 1
