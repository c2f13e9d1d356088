-- The months (UTC, their first days) that have partitions with images in them.
SELECT month
FROM (
    SELECT to_date(right(relname, 7), 'YYYY_MM') AS month
    FROM pg_class
    WHERE relnamespace = 'month'::regnamespace AND relkind = 'r' AND relname ~ '^image_\d{4}_\d{2}$'
) AS made
WHERE EXISTS (
    SELECT FROM image
    WHERE captured_at >= month::timestamp AT TIME ZONE 'UTC'
      AND captured_at < (month + interval '1 month') AT TIME ZONE 'UTC')
ORDER BY month
