-- What is needed to go on with every stream: its newest state.
SELECT DISTINCT ON (stream) stream, line, hour, seen, charts
FROM stream_state
ORDER BY stream, hour DESC
