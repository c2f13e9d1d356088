-- Drops what 0003_alerts.sql made.
SELECT;
