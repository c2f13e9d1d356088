-- What is needed to go on with every stream: its newest state. Each stream is looked up once, as going through all states
-- would take the longer the more hours are known.
WITH RECURSIVE known (stream) AS (
    (SELECT stream FROM stream_state ORDER BY stream LIMIT 1)
    UNION ALL
    SELECT (SELECT stream FROM stream_state WHERE stream > known.stream ORDER BY stream LIMIT 1)
    FROM known
    WHERE known.stream IS NOT NULL
)
SELECT newest.*
FROM known
CROSS JOIN LATERAL (
    SELECT stream, line, hour, seen, charts
    FROM stream_state
    WHERE stream_state.stream = known.stream
    ORDER BY hour DESC
    LIMIT 1) AS newest
ORDER BY stream
