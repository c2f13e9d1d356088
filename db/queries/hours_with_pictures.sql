-- The hours of a stretch of time in which each line has sent pictures, judged or not.
SELECT DISTINCT line, date_trunc('hour', captured_at, 'UTC') AS hour
FROM image
WHERE captured_at >= :since AND captured_at < :until
