-- bi.defect_rate_hourly: parts and defect rate by line and hour of capture (UTC). Filter by hour and line.
CREATE VIEW bi.defect_rate_hourly AS
SELECT
    counted.line,
    coalesce(line_name.name, counted.line) AS line_name,
    counted.hour,
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
FROM line_hour AS counted
LEFT JOIN line_name ON line_name.line = counted.line;

COMMENT ON VIEW bi.defect_rate_hourly IS 'Parts and defect rate by line and hour of capture (UTC).';
COMMENT ON COLUMN bi.defect_rate_hourly.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.defect_rate_hourly.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.defect_rate_hourly.hour IS 'Begin of the hour; a part counts in the hour of its first picture.';
COMMENT ON COLUMN bi.defect_rate_hourly.inspected IS 'Parts with a verdict: ok + defective + review.';
COMMENT ON COLUMN bi.defect_rate_hourly.ok IS 'Parts judged ok.';
COMMENT ON COLUMN bi.defect_rate_hourly.defective IS 'Parts judged defective.';
COMMENT ON COLUMN bi.defect_rate_hourly.review IS 'Parts that a person has to look at.';
COMMENT ON COLUMN bi.defect_rate_hourly.quarantined IS 'Pictures that could not be judged.';
COMMENT ON COLUMN bi.defect_rate_hourly.rate IS 'Defective parts per inspected part; NULL if none was inspected.';
COMMENT ON COLUMN bi.defect_rate_hourly.rate_low IS 'Lower limit of the exact 95 % confidence interval of the rate (Clopper-Pearson).';
COMMENT ON COLUMN bi.defect_rate_hourly.rate_high IS 'Upper limit of the exact 95 % confidence interval of the rate (Clopper-Pearson).';
COMMENT ON COLUMN bi.defect_rate_hourly.parts_per_million IS 'Defective parts per million inspected.';
COMMENT ON COLUMN bi.defect_rate_hourly.first_pass_yield IS 'Share of the inspected parts that passed as ok at once.';
