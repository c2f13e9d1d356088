-- The hours of some lines that were watched before, from the hour that each goes back to.
SELECT stream_state.line, stream_state.hour
FROM stream_state
JOIN unnest(CAST(:lines AS text[]), CAST(:hours AS timestamptz[])) AS back (line, hour)
    ON back.line = stream_state.stream AND stream_state.hour >= back.hour
ORDER BY stream_state.hour
