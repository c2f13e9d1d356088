-- count_by_dimension, pareto_between: defective parts by line, shift and part attribute (mould, furnace) in any stretch
-- of time (since <= captured < until), of one line or (NULL) of all. All count by the full hour (UTC). The first runs with
-- its owner's rights: readers have none on what it counts.
CREATE FUNCTION bi.count_by_dimension(since timestamptz, until timestamptz, of_line text)
RETURNS TABLE (dimension text, value text, inspected bigint, defective bigint)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
WITH hour AS MATERIALIZED (
    SELECT line_hour.line, line_hour.inspected, line_hour.defective, on_duty.shift
    FROM line_hour
    LEFT JOIN LATERAL bi.shift_at(line_hour.line, line_hour.hour) AS on_duty ON true
    WHERE line_hour.hour >= since AND line_hour.hour < until AND line_hour.inspected > 0
      AND (of_line IS NULL OR line_hour.line = of_line)
)
SELECT 'line', coalesce(line_name.name, hour.line), sum(hour.inspected)::bigint, sum(hour.defective)::bigint
FROM hour
LEFT JOIN public.line_name ON line_name.line = hour.line
GROUP BY 2
UNION ALL
SELECT 'shift', hour.shift, sum(hour.inspected)::bigint, sum(hour.defective)::bigint
FROM hour
WHERE hour.shift IS NOT NULL
GROUP BY 2
UNION ALL
SELECT key, value, sum(inspected)::bigint, sum(defective)::bigint
FROM line_attribute_hour
WHERE hour >= since AND hour < until AND (of_line IS NULL OR line = of_line)
GROUP BY 1, 2
$$;
COMMENT ON FUNCTION bi.count_by_dimension IS 'Inspected and defective parts of a stretch of time by line, shift and part attribute.';

CREATE FUNCTION bi.pareto_between(since timestamptz, until timestamptz, of_line text DEFAULT NULL)
RETURNS TABLE (
    dimension text, value text, inspected bigint, defective bigint, rate double precision,
    rank bigint, share double precision, cumulative_share double precision)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT
    dimension,
    value,
    inspected,
    defective,
    defective::double precision / inspected,
    rank() OVER ordered,
    defective::double precision / nullif(sum(defective) OVER whole, 0)::double precision,
    sum(defective) OVER (ordered ROWS UNBOUNDED PRECEDING)::double precision
        / nullif(sum(defective) OVER whole, 0)::double precision
FROM bi.count_by_dimension(since, until, of_line) AS counted
WINDOW whole AS (PARTITION BY dimension), ordered AS (PARTITION BY dimension ORDER BY defective DESC, value)
$$;
COMMENT ON FUNCTION bi.pareto_between IS
    'bi.pareto for any stretch of time (since <= captured < until), of one line as its keys say or of all.';
