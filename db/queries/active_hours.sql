-- The hours in which each line had parts or pictures, for what is usual: about four weeks of them, as one row a line.
SELECT line, array_agg(hour ORDER BY hour) AS hours
FROM stream_state
WHERE hour >= :since AND stream = line
GROUP BY line
ORDER BY line
