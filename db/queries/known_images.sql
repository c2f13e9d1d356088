-- Which images of a stretch of time are known already, of one line or (line NULL) of all.
SELECT uri, etag
FROM image
WHERE captured_at >= :captured_from AND captured_at < :captured_until
  AND (CAST(:line AS text) IS NULL OR line = :line)
