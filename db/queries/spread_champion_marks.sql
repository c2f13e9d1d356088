-- Puts in place of the marks that name a model those of the line-days that it touches.
WITH gone AS (DELETE FROM rollup_stale WHERE model_id IS NOT NULL RETURNING model_id)
INSERT INTO rollup_stale (line, day)
SELECT DISTINCT part_hour.line, (part_hour.hour AT TIME ZONE 'UTC')::date
FROM gone
JOIN part_hour ON gone.model_id = ANY (part_hour.rival_models)
