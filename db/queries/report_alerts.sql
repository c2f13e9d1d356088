-- Alerts opened in a stretch of time, of one line with those about the whole plant, or (line NULL) all.
SELECT alert_id, kind, severity, state, line_name AS line, shared, opened_at, since, resolved_at, observed_rate
FROM bi.alert_history
WHERE opened_at >= :since AND opened_at < :until AND (CAST(:line AS text) IS NULL OR line IS NULL OR line = :line)
ORDER BY opened_at
