-- Which shift has the highest defect rate in the last 30 days?
SELECT
    shift,
    sum(inspected)::bigint AS inspected,
    sum(defective)::bigint AS defective,
    sum(defective)::double precision / sum(inspected)::double precision AS rate
FROM bi.defect_rate_shiftly
WHERE day >= current_date - 30 AND inspected > 0
GROUP BY shift
ORDER BY rate DESC;
