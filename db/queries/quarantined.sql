-- What could not be judged in a stretch of time, and why.
SELECT image.line, image.uri, quarantine.reason, quarantine.detail
FROM quarantine
JOIN image USING (image_id, captured_at)
WHERE captured_at >= :since AND captured_at < :until
ORDER BY image.line, image.uri
