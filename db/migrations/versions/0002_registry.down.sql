-- Drops what 0002_registry.sql made.
SELECT;
