-- Parts of which an attribute is known, as far back as hours are known.
SELECT coalesce(sum(inspected), 0) FROM attribute_hour WHERE key = :key AND hour >= :since
