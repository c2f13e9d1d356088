-- Brings the attribute hours of one stale line-day up to date, from its parts, which are up to date already.
WITH counted AS MATERIALIZED (
    SELECT
        date_trunc('hour', part.captured_at, 'UTC') AS hour,
        attribute.key,
        attribute.value,
        count(*) AS inspected,
        count(*) FILTER (WHERE part.verdict = 'defective') AS defective
    FROM part
    JOIN part_attribute AS attribute
        ON attribute.day = CAST(:day AS date) AND attribute.line = :line AND attribute.part_id = part.part_id
    WHERE part.line = :line
      AND part.captured_at >= CAST(:day AS date)::timestamp AT TIME ZONE 'UTC'
      AND part.captured_at < (CAST(:day AS date) + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1, 2, 3
), gone AS (
    DELETE FROM attribute_hour
    WHERE line = :line
      AND hour >= CAST(:day AS date)::timestamp AT TIME ZONE 'UTC'
      AND hour < (CAST(:day AS date) + 1)::timestamp AT TIME ZONE 'UTC'
      AND NOT EXISTS (
          SELECT FROM counted
          WHERE counted.hour = attribute_hour.hour AND counted.key = attribute_hour.key
            AND counted.value = attribute_hour.value)
)
INSERT INTO attribute_hour (line, hour, key, value, inspected, defective)
SELECT :line, hour, key, value, inspected, defective
FROM counted
ON CONFLICT (hour, line, key, value) DO UPDATE SET inspected = excluded.inspected, defective = excluded.defective
WHERE (attribute_hour.*) IS DISTINCT FROM (excluded.*)
