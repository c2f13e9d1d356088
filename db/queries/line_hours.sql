-- Parts by line and hour: how many were inspected, and with which verdict.
SELECT
    line,
    date_trunc('hour', captured_at, 'UTC') AS hour,
    count(*) AS parts,
    count(*) FILTER (WHERE verdict = 'ok') AS ok,
    count(*) FILTER (WHERE verdict = 'review') AS review,
    count(*) FILTER (WHERE verdict = 'defective') AS defective,
    round(100.0 * count(*) FILTER (WHERE verdict = 'defective') / count(*), 1) AS defect_rate_percent
FROM part_verdict
WHERE captured_at >= :since AND captured_at < :until
GROUP BY line, hour
ORDER BY line, hour
