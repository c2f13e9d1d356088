-- Writes the states of streams after the hours just watched, over those that late parts have made wrong.
INSERT INTO stream_state (stream, hour, seen, charts)
SELECT * FROM unnest(
    CAST(:streams AS text[]), CAST(:hours AS timestamptz[]), CAST(:seen AS jsonb[]), CAST(:charts AS jsonb[]))
ON CONFLICT (stream, hour) DO UPDATE SET seen = excluded.seen, charts = excluded.charts, watched_at = now()
