-- stale_line_day: the line-days (UTC) whose roll-ups may be out of date, each once.
CREATE VIEW stale_line_day AS
SELECT line, day FROM rollup_stale WHERE line IS NOT NULL
UNION
-- Another champion changes nothing but images that several models have judged. What is not in `part_hour` yet has its
-- own mark. The first condition is looked at once, and nearly always spares the rest.
SELECT line, (hour AT TIME ZONE 'UTC')::date
FROM part_hour
WHERE EXISTS (SELECT FROM rollup_stale WHERE model_id IS NOT NULL)
  AND rival_models <> '{}'
  AND rival_models && ARRAY(SELECT model_id FROM rollup_stale WHERE model_id IS NOT NULL);

COMMENT ON VIEW stale_line_day IS 'Line-days that are due for a recount; the views of parts and hours recount them as they are read.';
