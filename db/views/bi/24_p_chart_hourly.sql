-- bi.p_chart_hourly: a control chart by line and hour, for hours with parts. Filter by hour and line.
-- Centre and spread come from the line's baseline in force at that hour (table baseline); before the first, from the 28
-- days up to the line's newest hour, with Jeffreys' half part so that a line without a defect has a centre too. Limits
-- are exact (function bi.chart_limits). sigma_z is Laney's (2002, Quality Engineering 14, 531-537).
-- Rules: Western Electric, Statistical Quality Control Handbook (1956), the points before judged by this hour's centre:
-- 1 beyond the limits, 2 two of three beyond two sigma, 3 four of five beyond one sigma, 4 eight in a row on one side.
-- The seven hours before are looked up for each hour asked for, so that no history is read in vain. Hours that are due
-- for a recount are recounted once, and not for each hour that looks back on them.
CREATE VIEW bi.p_chart_hourly AS
WITH recounted AS MATERIALIZED (
    SELECT line, hour, inspected, defective FROM recounted_hour WHERE inspected > 0
),
stale AS MATERIALIZED (
    SELECT line, day FROM stale_line_day
),
recent AS MATERIALIZED (
    SELECT line, inspected, defective, lag(defective) OVER earlier AS defective_before, lag(inspected) OVER earlier AS before
    FROM (
        SELECT hour.line, hour.hour, hour.inspected, hour.defective, max(hour.hour) OVER (PARTITION BY hour.line) AS newest
        FROM line_hour AS hour
        WHERE hour.inspected > 0
          AND hour.hour >= (SELECT max(captured_at) FROM image) - interval '56 days'
    ) AS hour
    WHERE hour > newest - interval '28 days'
    WINDOW earlier AS (PARTITION BY line ORDER BY hour)
),
reference AS MATERIALIZED (
    SELECT line, centre, usual_size,
        -- Hours all alike, as on a line without a defect, say nothing of the spread.
        coalesce(nullif((
            SELECT avg(abs(
                    (recent.defective::double precision / recent.inspected - centre) * sqrt(recent.inspected)
                    - (recent.defective_before::double precision / recent.before - centre) * sqrt(recent.before)))
                / sqrt(centre * (1 - centre)) / 1.1283791670955126  -- d2 of moving ranges, 2 / sqrt(pi)
            FROM recent WHERE recent.line = pooled.line AND recent.before IS NOT NULL), 0), 1) AS sigma_z
    FROM (
        SELECT line, (sum(defective) + 0.5)::double precision / (sum(inspected) + 1)::double precision AS centre,
            avg(inspected)::double precision AS usual_size
        FROM recent
        GROUP BY line
    ) AS pooled
)
SELECT
    hour.line,
    coalesce(line_name.name, hour.line) AS line_name,
    hour.hour,
    hour.inspected,
    hour.defective,
    hour.defective::double precision / hour.inspected AS rate,
    chart.centre,
    greatest(0, (limits.most_below + 1)::double precision / hour.inspected) AS lower_limit,
    least(1, (limits.least_above - 1)::double precision / hour.inspected) AS upper_limit,
    chart.sigma_z,
    hour.defective <= limits.most_below OR hour.defective >= limits.least_above AS out_of_control,
    array_remove(ARRAY[
        CASE WHEN hour.defective >= limits.least_above THEN 1 END,
        CASE WHEN points.z > 2 AND points.two_up >= 2 THEN 2 END,
        CASE WHEN points.z > 1 AND points.one_up >= 4 THEN 3 END,
        CASE WHEN points.up = 8 THEN 4 END], NULL) AS rules_above,
    array_remove(ARRAY[
        CASE WHEN hour.defective <= limits.most_below THEN 1 END,
        CASE WHEN points.z < -2 AND points.two_down >= 2 THEN 2 END,
        CASE WHEN points.z < -1 AND points.one_down >= 4 THEN 3 END,
        CASE WHEN points.down = 8 THEN 4 END], NULL) AS rules_below,
    chart.basis
FROM line_hour AS hour
LEFT JOIN line_name ON line_name.line = hour.line
LEFT JOIN LATERAL (
    SELECT rate, icc, parts_per_hour
    FROM baseline
    WHERE baseline.kind = 'defect_rate_climb' AND baseline.stream = hour.line AND baseline.valid_from <= hour.hour
    ORDER BY baseline.baseline_id DESC
    LIMIT 1
) AS kept ON true
LEFT JOIN reference ON reference.line = hour.line
CROSS JOIN LATERAL (
    SELECT
        coalesce(kept.rate, reference.centre) AS centre,
        CASE WHEN kept.rate IS NULL THEN reference.sigma_z
            ELSE sqrt(1 + greatest(kept.parts_per_hour - 1, 0) * kept.icc) END AS sigma_z,
        CASE WHEN kept.rate IS NOT NULL THEN kept.icc
            -- The correlation that gives an hour of usual size the variance that sigma_z says.
            WHEN reference.sigma_z <= 1 OR reference.usual_size <= 1 THEN 0
            ELSE least((reference.sigma_z ^ 2 - 1) / (reference.usual_size - 1), 0.99) END AS icc,
        CASE WHEN kept.rate IS NULL THEN 'last 28 days' ELSE 'baseline' END AS basis
) AS chart
CROSS JOIN LATERAL bi.chart_limits(hour.inspected, chart.centre, chart.icc) AS limits
CROSS JOIN LATERAL (
    SELECT
        max(z) FILTER (WHERE place = 1) AS z,
        count(*) FILTER (WHERE place <= 3 AND z > 2) AS two_up,
        count(*) FILTER (WHERE place <= 3 AND z < -2) AS two_down,
        count(*) FILTER (WHERE place <= 5 AND z > 1) AS one_up,
        count(*) FILTER (WHERE place <= 5 AND z < -1) AS one_down,
        count(*) FILTER (WHERE z > 0) AS up,
        count(*) FILTER (WHERE z < 0) AS down
    FROM (
        SELECT
            row_number() OVER (ORDER BY point.hour DESC) AS place,
            (point.defective::double precision / point.inspected - chart.centre)
                / (chart.sigma_z * sqrt(chart.centre * (1 - chart.centre) / point.inspected)) AS z
        FROM (
            SELECT hour.hour, hour.inspected, hour.defective
            UNION ALL
            (SELECT before.hour, before.inspected, before.defective
             FROM (
                (SELECT earlier.hour, earlier.inspected, earlier.defective
                 FROM part_hour AS earlier
                 WHERE earlier.line = hour.line AND earlier.hour < hour.hour AND earlier.inspected > 0
                   AND (earlier.line, (earlier.hour AT TIME ZONE 'UTC')::date) NOT IN (SELECT line, day FROM stale)
                 ORDER BY earlier.hour DESC
                 LIMIT 7)
                UNION ALL
                SELECT recounted.hour, recounted.inspected, recounted.defective
                FROM recounted
                WHERE recounted.line = hour.line AND recounted.hour < hour.hour
             ) AS before
             ORDER BY before.hour DESC
             LIMIT 7)
        ) AS point
    ) AS placed
) AS points
WHERE hour.inspected > 0;

COMMENT ON VIEW bi.p_chart_hourly IS 'Control chart of the defect rate by line and hour of capture (UTC), for hours with parts.';
COMMENT ON COLUMN bi.p_chart_hourly.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.p_chart_hourly.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.p_chart_hourly.hour IS 'Begin of the hour.';
COMMENT ON COLUMN bi.p_chart_hourly.inspected IS 'Parts with a verdict.';
COMMENT ON COLUMN bi.p_chart_hourly.defective IS 'Parts judged defective.';
COMMENT ON COLUMN bi.p_chart_hourly.rate IS 'Defective parts per inspected part.';
COMMENT ON COLUMN bi.p_chart_hourly.centre IS 'Centre line: the rate while all is well.';
COMMENT ON COLUMN bi.p_chart_hourly.lower_limit IS 'A rate below it signals; exact limit of 3 sigma for this number of parts.';
COMMENT ON COLUMN bi.p_chart_hourly.upper_limit IS 'A rate above it signals; exact limit of 3 sigma for this number of parts.';
COMMENT ON COLUMN bi.p_chart_hourly.sigma_z IS 'Laney''s sigma_z: 1 if chance alone explains the spread between hours, above 1 if more is at work.';
COMMENT ON COLUMN bi.p_chart_hourly.out_of_control IS 'Whether the rate is beyond a limit.';
COMMENT ON COLUMN bi.p_chart_hourly.rules_above IS 'Western Electric rules that this hour completes above the centre, 1 to 4.';
COMMENT ON COLUMN bi.p_chart_hourly.rules_below IS 'Western Electric rules that this hour completes below the centre, 1 to 4.';
COMMENT ON COLUMN bi.p_chart_hourly.basis IS 'Where the centre comes from: the line''s baseline, or its last 28 days.';
