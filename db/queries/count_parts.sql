-- Parts that have passed through the charts, as far back as hours are known.
SELECT coalesce(sum(CAST(seen ->> 'parts' AS bigint)), 0) FROM stream_state WHERE hour >= :since
