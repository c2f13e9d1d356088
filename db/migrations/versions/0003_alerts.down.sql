-- Drops all alerts, their history and the baselines.
DROP TABLE delivery, alert_event, alert, stream_state, baseline, snooze, maintenance_window;
