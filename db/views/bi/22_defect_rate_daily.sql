-- bi.defect_rate_daily: parts and defect rate by line and UTC day of capture. Filter by day and line.
CREATE VIEW bi.defect_rate_daily AS
SELECT
    counted.line,
    coalesce(line_name.name, counted.line) AS line_name,
    counted.day,
    counted.inspected,
    counted.ok,
    counted.defective,
    counted.review,
    counted.quarantined,
    counted.defective::double precision / nullif(counted.inspected, 0) AS rate,
    CASE WHEN counted.inspected > 0 THEN bi.exact_low(counted.defective, counted.inspected) END AS rate_low,
    CASE WHEN counted.inspected > 0 THEN bi.exact_high(counted.defective, counted.inspected) END AS rate_high,
    1e6::double precision * counted.defective / nullif(counted.inspected, 0) AS parts_per_million,
    counted.ok::double precision / nullif(counted.inspected, 0) AS first_pass_yield
FROM (
    SELECT
        hour.line,
        (hour.hour AT TIME ZONE 'UTC')::date AS day,
        sum(hour.inspected)::bigint AS inspected,
        sum(hour.ok)::bigint AS ok,
        sum(hour.defective)::bigint AS defective,
        sum(hour.review)::bigint AS review,
        sum(hour.quarantined)::bigint AS quarantined
    FROM line_hour AS hour
    GROUP BY 1, 2
) AS counted
LEFT JOIN line_name ON line_name.line = counted.line;

COMMENT ON VIEW bi.defect_rate_daily IS 'Parts and defect rate by line and UTC day of capture.';
COMMENT ON COLUMN bi.defect_rate_daily.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.defect_rate_daily.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.defect_rate_daily.day IS 'The UTC day; days in the plant''s own time are those of its shifts.';
COMMENT ON COLUMN bi.defect_rate_daily.inspected IS 'Parts with a verdict: ok + defective + review.';
COMMENT ON COLUMN bi.defect_rate_daily.ok IS 'Parts judged ok.';
COMMENT ON COLUMN bi.defect_rate_daily.defective IS 'Parts judged defective.';
COMMENT ON COLUMN bi.defect_rate_daily.review IS 'Parts that a person has to look at.';
COMMENT ON COLUMN bi.defect_rate_daily.quarantined IS 'Pictures that could not be judged.';
COMMENT ON COLUMN bi.defect_rate_daily.rate IS 'Defective parts per inspected part; NULL if none was inspected.';
COMMENT ON COLUMN bi.defect_rate_daily.rate_low IS 'Lower limit of the exact 95 % confidence interval of the rate (Clopper-Pearson).';
COMMENT ON COLUMN bi.defect_rate_daily.rate_high IS 'Upper limit of the exact 95 % confidence interval of the rate (Clopper-Pearson).';
COMMENT ON COLUMN bi.defect_rate_daily.parts_per_million IS 'Defective parts per million inspected.';
COMMENT ON COLUMN bi.defect_rate_daily.first_pass_yield IS 'Share of the inspected parts that passed as ok at once.';
