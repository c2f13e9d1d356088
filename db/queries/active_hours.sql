-- The hours in which each stream had parts or pictures, for what is usual: about four weeks of them.
SELECT stream, hour
FROM stream_state
WHERE hour >= :since
ORDER BY stream, hour
