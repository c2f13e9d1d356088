-- The newest alert of each stream and kind, locked: what was told already, and what it must be compared with.
-- One that a person changes at this moment is waited for.
SELECT alert.*
FROM alert
WHERE alert_id IN (SELECT max(newest.alert_id) FROM alert AS newest GROUP BY newest.stream, newest.kind)
ORDER BY alert_id
FOR UPDATE
