-- The control charts of a stretch of time, of one line or (line NULL) of all.
SELECT line_name AS line, hour, inspected, defective, centre, upper_limit, 1 = ANY (rules_above) AS out_of_control
FROM bi.p_chart_hourly
WHERE hour >= :since AND hour < :until AND (CAST(:line AS text) IS NULL OR line = :line)
ORDER BY line_name, hour
