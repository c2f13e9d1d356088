-- Why pictures of a stretch of time could not be judged, of one line or (line NULL) of all.
SELECT reason, count(*) AS pictures
FROM bi.quarantined_image
WHERE captured_at >= :since AND captured_at < :until AND (CAST(:line AS text) IS NULL OR line = :line)
GROUP BY reason
ORDER BY pictures DESC, reason
