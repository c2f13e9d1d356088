-- For streams that late parts send back: the newest state before the hour that each goes back to.
SELECT DISTINCT ON (stream_state.stream) stream_state.stream, stream_state.hour, seen, charts
FROM stream_state
JOIN unnest(CAST(:streams AS text[]), CAST(:hours AS timestamptz[])) AS back (stream, hour)
    ON back.stream = stream_state.stream AND stream_state.hour < back.hour
WHERE charts <> '{}'
ORDER BY stream_state.stream, stream_state.hour DESC
