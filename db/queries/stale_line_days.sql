-- The line-days that are due for a recount, newest first, each with its marks.
SELECT line, day, array_agg(mark_id) AS mark_ids
FROM rollup_stale
WHERE line IS NOT NULL
GROUP BY line, day
ORDER BY day DESC, line
LIMIT :most
