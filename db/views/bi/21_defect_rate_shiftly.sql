-- bi.defect_rate_shiftly: parts and defect rate by line and shift (table shift). Filter by day and line.
-- The shifts of the days asked for are written out first, and their hours then found by index. Parts are counted by the
-- full hour (UTC): where a shift begins within one, that hour counts to the shift that it began in.
CREATE VIEW bi.defect_rate_shiftly AS
WITH recounted AS MATERIALIZED (
    SELECT line, hour, inspected, ok, defective, review, quarantined FROM recounted_hour
),
stale AS MATERIALIZED (
    SELECT line, day FROM stale_line_day
)
SELECT
    counted.line,
    coalesce(line_name.name, counted.line) AS line_name,
    counted.day,
    counted.shift,
    counted.began,
    counted.ended,
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
        turn.day,
        turn.shift,
        turn.began,
        turn.ended,
        sum(hour.inspected)::bigint AS inspected,
        sum(hour.ok)::bigint AS ok,
        sum(hour.defective)::bigint AS defective,
        sum(hour.review)::bigint AS review,
        sum(hour.quarantined)::bigint AS quarantined
    FROM (
        SELECT
            shift.line,
            shift.name AS shift,
            day.day,
            (day.day + shift.starts) AT TIME ZONE shift.time_zone AS began,
            (day.day + CASE WHEN shift.ends > shift.starts THEN 0 ELSE 1 END + shift.ends)
                AT TIME ZONE shift.time_zone AS ended
        FROM (
            SELECT midnight::date AS day
            FROM generate_series(
                (SELECT least((SELECT min(captured_at) FROM image), (SELECT min(hour) FROM part_hour)))
                    AT TIME ZONE 'UTC' - interval '1 day',
                (SELECT max(captured_at) FROM image) AT TIME ZONE 'UTC' + interval '1 day',
                interval '1 day') AS midnight
        ) AS day
        JOIN shift ON extract(isodow FROM day.day) = ANY (shift.weekdays)
    ) AS turn
    CROSS JOIN LATERAL (
        SELECT line, inspected, ok, defective, review, quarantined
        FROM part_hour
        WHERE hour >= turn.began AND hour < turn.ended
          AND (line, (hour AT TIME ZONE 'UTC')::date) NOT IN (SELECT line, day FROM stale)
        UNION ALL
        SELECT line, inspected, ok, defective, review, quarantined
        FROM recounted
        WHERE hour >= turn.began AND hour < turn.ended
    ) AS hour
    -- A line with shifts of its own has no others.
    WHERE turn.line IS NOT DISTINCT FROM (SELECT min(own.line) FROM shift AS own WHERE own.line = hour.line)
    GROUP BY 1, 2, 3, 4, 5
) AS counted
LEFT JOIN line_name ON line_name.line = counted.line;

COMMENT ON VIEW bi.defect_rate_shiftly IS 'Parts and defect rate by line and shift.';
COMMENT ON COLUMN bi.defect_rate_shiftly.line IS 'The line, as the keys of its pictures say.';
COMMENT ON COLUMN bi.defect_rate_shiftly.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.defect_rate_shiftly.day IS 'The day on which the shift began, in the plant''s own time.';
COMMENT ON COLUMN bi.defect_rate_shiftly.shift IS 'The shift''s name (table shift).';
COMMENT ON COLUMN bi.defect_rate_shiftly.began IS 'When the shift began.';
COMMENT ON COLUMN bi.defect_rate_shiftly.ended IS 'When it ended.';
COMMENT ON COLUMN bi.defect_rate_shiftly.inspected IS 'Parts with a verdict: ok + defective + review.';
COMMENT ON COLUMN bi.defect_rate_shiftly.ok IS 'Parts judged ok.';
COMMENT ON COLUMN bi.defect_rate_shiftly.defective IS 'Parts judged defective.';
COMMENT ON COLUMN bi.defect_rate_shiftly.review IS 'Parts that a person has to look at.';
COMMENT ON COLUMN bi.defect_rate_shiftly.quarantined IS 'Pictures that could not be judged.';
COMMENT ON COLUMN bi.defect_rate_shiftly.rate IS 'Defective parts per inspected part; NULL if none was inspected.';
COMMENT ON COLUMN bi.defect_rate_shiftly.rate_low IS 'Lower limit of the exact 95 % confidence interval of the rate (Clopper-Pearson).';
COMMENT ON COLUMN bi.defect_rate_shiftly.rate_high IS 'Upper limit of the exact 95 % confidence interval of the rate (Clopper-Pearson).';
COMMENT ON COLUMN bi.defect_rate_shiftly.parts_per_million IS 'Defective parts per million inspected.';
COMMENT ON COLUMN bi.defect_rate_shiftly.first_pass_yield IS 'Share of the inspected parts that passed as ok at once.';
