-- Alerts in the given states, of one line or all, newest first. The alerts about the whole plant concern every line.
SELECT *
FROM alert
WHERE state = ANY (:states) AND (CAST(:line AS text) IS NULL OR line IN (:line, ''))
ORDER BY opened_at DESC, alert_id DESC
LIMIT :most
