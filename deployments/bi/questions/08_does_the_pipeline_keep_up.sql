-- Did every picture of the last 7 days get its verdict, how long did that take at worst, and what could not be judged?
SELECT
    line_name,
    sum(images)::bigint AS images,
    sum(backlog)::bigint AS backlog,
    sum(quarantined)::bigint AS quarantined,
    max(lag_p95_minutes) AS worst_hour_p95_minutes,
    max(lag_max_minutes) AS slowest_minutes
FROM bi.pipeline_health
WHERE hour >= now() - interval '7 days'
GROUP BY line_name
ORDER BY line_name;
