-- Parts that have passed through the charts of lines, as far back as hours are known.
SELECT coalesce(sum(CAST(seen ->> 'parts' AS bigint)), 0) FROM stream_state WHERE hour >= :since AND stream = line
