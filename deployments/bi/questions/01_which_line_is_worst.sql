-- Which line made the largest share of defective parts in the last 7 days, and how sure is that?
SELECT
    line_name,
    sum(inspected)::bigint AS inspected,
    sum(defective)::bigint AS defective,
    sum(defective)::double precision / sum(inspected)::double precision AS rate,
    bi.exact_low(sum(defective)::bigint, sum(inspected)::bigint) AS rate_low,
    bi.exact_high(sum(defective)::bigint, sum(inspected)::bigint) AS rate_high
FROM bi.defect_rate_hourly
WHERE hour >= now() - interval '7 days' AND inspected > 0
GROUP BY line_name
ORDER BY rate DESC;
