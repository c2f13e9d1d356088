-- Drops the states of streams that are not lines, and no longer has a line watched again where attributes change.
CREATE OR REPLACE FUNCTION mark_changed_attributes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rollup_stale (line, day)
    SELECT line, day FROM (SELECT DISTINCT line, day FROM changed_row) AS changed
    WHERE date_trunc('month', day::timestamp)::date NOT IN (SELECT month FROM archived_month);
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION mark_emptied_attributes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rollup_stale (line, day)
    SELECT line, day
    FROM (SELECT DISTINCT line, (hour AT TIME ZONE 'UTC')::date AS day FROM attribute_hour) AS counted
    WHERE date_trunc('month', day::timestamp)::date NOT IN (SELECT month FROM archived_month);
    RETURN NULL;
END $$;
DELETE FROM stream_state WHERE stream <> line;
DROP INDEX stream_state_line_idx;
ALTER TABLE stream_state DROP COLUMN line;
