-- bi.pareto: for each month (UTC) and dimension, which values hold most of the defective parts. Filter by month and
-- dimension. Dimensions are line and shift, and each key of the table part_attribute (mould, furnace, alloy, operator). For any other stretch of time use the function bi.pareto_between.
-- Months are written out first and then looked up, so that other months' parts are not read.
CREATE VIEW bi.pareto AS
SELECT
    month,
    dimension,
    value,
    inspected,
    defective,
    defective::double precision / nullif(inspected, 0) AS rate,
    rank() OVER ordered AS rank,
    defective::double precision / nullif(sum(defective) OVER whole, 0)::double precision AS share,
    sum(defective) OVER (ordered ROWS UNBOUNDED PRECEDING)::double precision
        / nullif(sum(defective) OVER whole, 0)::double precision AS cumulative_share
FROM (
    SELECT month::date AS month, counted.dimension, counted.value, counted.inspected, counted.defective
    FROM generate_series(
        date_trunc('month', (SELECT least((SELECT min(captured_at) FROM image), (SELECT min(hour) FROM part_hour)))
            AT TIME ZONE 'UTC'),
        (SELECT max(captured_at) FROM image) AT TIME ZONE 'UTC',
        interval '1 month') AS month
    CROSS JOIN LATERAL bi.count_by_dimension(
        month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC', NULL) AS counted
) AS counted
WINDOW
    whole AS (PARTITION BY month, dimension),
    ordered AS (PARTITION BY month, dimension ORDER BY defective DESC, value);

COMMENT ON VIEW bi.pareto IS 'For each month (UTC) and dimension, which values hold most of the defective parts.';
COMMENT ON COLUMN bi.pareto.month IS 'First day of the month of capture (UTC).';
COMMENT ON COLUMN bi.pareto.dimension IS 'line, shift, or a key of part_attribute such as mould.';
COMMENT ON COLUMN bi.pareto.value IS 'Which line, shift, mould and so on.';
COMMENT ON COLUMN bi.pareto.inspected IS 'Parts with a verdict.';
COMMENT ON COLUMN bi.pareto.defective IS 'Parts judged defective.';
COMMENT ON COLUMN bi.pareto.rate IS 'Defective parts per inspected part.';
COMMENT ON COLUMN bi.pareto.rank IS '1 for the value with most defective parts.';
COMMENT ON COLUMN bi.pareto.share IS 'Its share of the defective parts of the dimension.';
COMMENT ON COLUMN bi.pareto.cumulative_share IS 'Share of this value and all before it.';
