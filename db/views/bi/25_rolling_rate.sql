-- bi.rolling_rate: by line and hour, the defect rate of the line's last 500 parts. Filter by hour and line.
-- Counted in full hours with parts: this one and as many before it as it takes to reach 500 parts, at most 24 in all.
CREATE VIEW bi.rolling_rate AS
WITH recounted AS MATERIALIZED (
    SELECT line, hour, inspected, defective FROM recounted_hour WHERE inspected > 0
),
stale AS MATERIALIZED (
    SELECT line, day FROM stale_line_day
)
SELECT
    hour.line,
    coalesce(line_name.name, hour.line) AS line_name,
    hour.hour,
    recent.parts,
    recent.defective,
    recent.defective::double precision / recent.parts AS rate,
    bi.exact_low(recent.defective, recent.parts) AS rate_low,
    bi.exact_high(recent.defective, recent.parts) AS rate_high,
    recent.since
FROM line_hour AS hour
LEFT JOIN line_name ON line_name.line = hour.line
CROSS JOIN LATERAL (
    SELECT sum(inspected)::bigint AS parts, sum(defective)::bigint AS defective, min(of_hour) AS since
    FROM (
        SELECT of_hour, inspected, defective, sum(inspected) OVER (ORDER BY of_hour DESC) - inspected AS later_parts
        FROM (
            SELECT before.of_hour, before.inspected, before.defective
            FROM (
                (SELECT earlier.hour AS of_hour, earlier.inspected, earlier.defective
                 FROM part_hour AS earlier
                 WHERE earlier.line = hour.line AND earlier.hour <= hour.hour AND earlier.inspected > 0
                   AND (earlier.line, (earlier.hour AT TIME ZONE 'UTC')::date) NOT IN (SELECT line, day FROM stale)
                 ORDER BY earlier.hour DESC
                 LIMIT 24)
                UNION ALL
                SELECT recounted.hour, recounted.inspected, recounted.defective
                FROM recounted
                WHERE recounted.line = hour.line AND recounted.hour <= hour.hour
            ) AS before
            ORDER BY before.of_hour DESC
            LIMIT 24
        ) AS counted
    ) AS summed
    WHERE later_parts < 500
) AS recent
WHERE hour.inspected > 0;

COMMENT ON VIEW bi.rolling_rate IS 'By line and hour, the defect rate of the line''s last 500 parts, in full hours.';
COMMENT ON COLUMN bi.rolling_rate.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.rolling_rate.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.rolling_rate.hour IS 'Begin of the newest hour that counts.';
COMMENT ON COLUMN bi.rolling_rate.parts IS 'Parts counted: 500 or a few more; fewer where 24 hours of work made fewer.';
COMMENT ON COLUMN bi.rolling_rate.defective IS 'Defective ones among them.';
COMMENT ON COLUMN bi.rolling_rate.rate IS 'Defective parts per part.';
COMMENT ON COLUMN bi.rolling_rate.rate_low IS 'Lower limit of the exact 95 % confidence interval of the rate.';
COMMENT ON COLUMN bi.rolling_rate.rate_high IS 'Upper limit of the exact 95 % confidence interval of the rate.';
COMMENT ON COLUMN bi.rolling_rate.since IS 'Begin of the oldest hour that counts.';
