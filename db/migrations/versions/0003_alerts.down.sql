-- Drops all alerts, their history and the baselines.
DROP TRIGGER mark_changed_hours ON verdict;
DROP TRIGGER mark_changed_hours ON quarantine;
DROP FUNCTION mark_changed_hours;
DROP TABLE delivery, alert_event, alert, stream_change, stream_state, baseline, snooze, maintenance_window;
