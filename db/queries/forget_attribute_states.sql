-- Takes away the states of a line's streams other than the line itself, from the hour that it goes back to: parts may have
-- been told to be of another mould, and then no hour of the old one is written again.
DELETE FROM stream_state
USING unnest(CAST(:lines AS text[]), CAST(:hours AS timestamptz[])) AS back (line, hour)
WHERE stream_state.line = back.line AND stream_state.stream <> stream_state.line AND stream_state.hour >= back.hour
