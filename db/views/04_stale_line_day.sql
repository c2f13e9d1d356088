-- stale_line_day: the line-days (UTC) whose roll-ups may be out of date, each once.
CREATE VIEW stale_line_day AS
SELECT line, day FROM rollup_stale WHERE line IS NOT NULL
UNION
-- Another champion changes nothing but images that several models have judged. What is not in `part_hour` yet has its
-- own mark.
SELECT part_hour.line, (part_hour.hour AT TIME ZONE 'UTC')::date
FROM rollup_stale
JOIN part_hour ON rollup_stale.model_id = ANY (part_hour.rival_models);

COMMENT ON VIEW stale_line_day IS 'Line-days that are due for a recount; the views of parts and hours recount them as they are read.';
