-- The months (UTC, their first days) of images and of roll-ups, but for those whose images are archived.
SELECT month
FROM (
    SELECT to_date(right(relname, 7), 'YYYY_MM') AS month
    FROM pg_class
    WHERE relnamespace = 'month'::regnamespace AND relkind = 'r' AND relname ~ '^image_\d{4}_\d{2}$'
    UNION
    SELECT date_trunc('month', hour AT TIME ZONE 'UTC')::date FROM part_hour
) AS known
WHERE month NOT IN (SELECT month FROM archived_month)
ORDER BY month
