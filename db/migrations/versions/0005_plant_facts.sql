-- Shifts and what else a plant knows of its parts.
SELECT;
