-- Writes the states of streams after the hours just watched, over those that late parts have made wrong. They come as one
-- JSON text: as an array, every quotation mark in them would be escaped and read back one by one.
INSERT INTO stream_state (stream, line, hour, seen, charts)
SELECT *
FROM json_to_recordset(CAST(:states AS json))
    AS state (stream text, line text, hour timestamptz, seen jsonb, charts jsonb)
ON CONFLICT (stream, hour) DO UPDATE SET seen = excluded.seen, charts = excluded.charts, watched_at = now()
