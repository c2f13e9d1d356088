-- bi.alert_history: one row an alert, with how long it took to find, to be seen and to be ended.
CREATE VIEW bi.alert_history AS
SELECT
    alert.alert_id,
    alert.kind,
    alert.severity,
    alert.state,
    nullif(alert.line, '') AS line,
    coalesce(line_name.name, nullif(alert.line, '')) AS line_name,
    substring(alert.stream FROM '^[^/]*/([^=]*)=') || ' ' || substring(alert.stream FROM '^[^/]*/[^=]*=(.*)$') AS shared,
    alert.opened_at,
    alert.since,
    acknowledged.at AS acknowledged_at,
    acknowledged.who AS acknowledged_by,
    alert.resolved_at,
    alert.resolved_by,
    extract(epoch FROM alert.opened_at - alert.since)::double precision / 60 AS minutes_to_detect,
    extract(epoch FROM acknowledged.at - alert.opened_at)::double precision / 60 AS minutes_to_acknowledge,
    extract(epoch FROM alert.resolved_at - alert.opened_at)::double precision / 60 AS minutes_to_resolve,
    alert.parts,
    alert.observed_rate,
    alert.baseline_rate,
    alert.corrected_rate,
    alert.part_of
FROM alert
LEFT JOIN line_name ON line_name.line = alert.line
LEFT JOIN LATERAL (
    SELECT event.at, event.who
    FROM alert_event AS event
    WHERE event.alert_id = alert.alert_id AND event.event = 'acknowledged'
    ORDER BY event.event_id
    LIMIT 1
) AS acknowledged ON true;

COMMENT ON VIEW bi.alert_history IS 'One row an alert: what it was about, and how long it took to find, to be seen and to be ended.';
COMMENT ON COLUMN bi.alert_history.alert_id IS 'Number of the alert, as in its messages.';
COMMENT ON COLUMN bi.alert_history.kind IS 'What is wrong: defect_rate_climb, no_images and others.';
COMMENT ON COLUMN bi.alert_history.severity IS 'warning or critical.';
COMMENT ON COLUMN bi.alert_history.state IS 'open, acknowledged or resolved.';
COMMENT ON COLUMN bi.alert_history.line IS 'The line, as the keys of its pictures say; NULL if it is about the whole plant.';
COMMENT ON COLUMN bi.alert_history.line_name IS 'What people call the line (table line_name).';
COMMENT ON COLUMN bi.alert_history.shared IS 'What its parts share beside the line, such as mould M7; NULL if it is about all of the line.';
COMMENT ON COLUMN bi.alert_history.opened_at IS 'When it was raised.';
COMMENT ON COLUMN bi.alert_history.since IS 'When the change is likely to have begun; NULL for kinds without such a moment.';
COMMENT ON COLUMN bi.alert_history.acknowledged_at IS 'When somebody first said that they care for it.';
COMMENT ON COLUMN bi.alert_history.acknowledged_by IS 'Who that was.';
COMMENT ON COLUMN bi.alert_history.resolved_at IS 'When it ended.';
COMMENT ON COLUMN bi.alert_history.resolved_by IS 'Who ended it; watch where the trouble went by itself.';
COMMENT ON COLUMN bi.alert_history.minutes_to_detect IS 'Minutes from the likely begin of the change to the alert.';
COMMENT ON COLUMN bi.alert_history.minutes_to_acknowledge IS 'Minutes from the alert until somebody cared for it.';
COMMENT ON COLUMN bi.alert_history.minutes_to_resolve IS 'Minutes from the alert to its end.';
COMMENT ON COLUMN bi.alert_history.parts IS 'Parts since the likely begin of the change.';
COMMENT ON COLUMN bi.alert_history.observed_rate IS 'Defective parts per part since then.';
COMMENT ON COLUMN bi.alert_history.baseline_rate IS 'Defective parts per part while all is well.';
COMMENT ON COLUMN bi.alert_history.corrected_rate IS 'The observed rate with the model''s own errors taken out.';
COMMENT ON COLUMN bi.alert_history.part_of IS 'The alert about the whole line, or many lines at once, that tells of this one too.';
