-- Parts by weekday and hour of the day in a time zone, of one line or (line NULL) of all.
SELECT
    extract(isodow FROM hour AT TIME ZONE :zone)::integer AS weekday,
    extract(hour FROM hour AT TIME ZONE :zone)::integer AS hour,
    sum(inspected)::bigint AS inspected,
    sum(defective)::bigint AS defective
FROM line_hour
WHERE line_hour.hour >= :since AND line_hour.hour < :until AND inspected > 0
  AND (CAST(:line AS text) IS NULL OR line = :line)
GROUP BY 1, 2
ORDER BY 1, 2
