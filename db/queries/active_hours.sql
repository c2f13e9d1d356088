-- The hours in which each line had parts or pictures, for what is usual: about four weeks of them.
SELECT line, hour
FROM stream_state
WHERE hour >= :since AND stream = line
ORDER BY line, hour
