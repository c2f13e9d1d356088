-- Drops what 0004_history.sql made.
SELECT;
