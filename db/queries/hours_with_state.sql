-- The hours of some streams that were watched before, from the hour that each goes back to.
SELECT stream_state.stream, stream_state.hour
FROM stream_state
JOIN unnest(CAST(:streams AS text[]), CAST(:hours AS timestamptz[])) AS back (stream, hour)
    ON back.stream = stream_state.stream AND stream_state.hour >= back.hour
ORDER BY stream_state.hour
