-- Lets go of what no late part can need any more: charts from before the look-back, save the newest of them, and hours
-- from before what is usual is taken from. Only of lines it is asked what is usual; a mould that has not been made for as
-- long is forgotten.
WITH newest AS (SELECT stream, max(hour) AS hour FROM stream_state GROUP BY stream),
anchor AS (
    SELECT stream_state.stream, max(stream_state.hour) AS hour
    FROM stream_state JOIN newest USING (stream)
    WHERE stream_state.hour <= newest.hour - make_interval(hours => :lookback_hours) AND charts <> '{}'
    GROUP BY stream_state.stream
),
emptied AS (
    UPDATE stream_state SET charts = '{}'
    FROM anchor
    WHERE stream_state.stream = anchor.stream AND stream_state.hour < anchor.hour AND charts <> '{}'
      AND stream_state.hour >= :forget_before AND stream_state.stream = stream_state.line
)
DELETE FROM stream_state
USING newest LEFT JOIN anchor USING (stream)
WHERE stream_state.stream = newest.stream
  AND (
    (stream_state.hour < anchor.hour AND (stream_state.hour < :forget_before OR stream_state.stream <> line))
    OR (newest.hour < :forget_before AND stream_state.stream <> line)
  )
