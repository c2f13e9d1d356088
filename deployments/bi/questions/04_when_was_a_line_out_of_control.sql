-- In which hours of the last 7 days was a line's defect rate above its control limit?
SELECT line_name, hour, inspected, defective, rate, centre, upper_limit, rules_above
FROM bi.p_chart_hourly
WHERE hour >= now() - interval '7 days' AND 1 = ANY (rules_above)
ORDER BY hour, line_name;
