-- For lines that late parts send back: the newest state of each of their streams before the hour that each goes back to.
SELECT DISTINCT ON (stream_state.stream) stream_state.stream, stream_state.line, stream_state.hour, seen, charts
FROM stream_state
JOIN unnest(CAST(:lines AS text[]), CAST(:hours AS timestamptz[])) AS back (line, hour)
    ON back.line = stream_state.line AND stream_state.hour < back.hour
WHERE charts <> '{}'
ORDER BY stream_state.stream, stream_state.hour DESC
