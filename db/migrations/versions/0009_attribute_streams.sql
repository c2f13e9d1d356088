-- Streams of parts that share an attribute (one mould of a line), beside the lines.

-- What is new is marked by line; from here on a line may have several streams.
ALTER TABLE stream_state ADD COLUMN line text;
UPDATE stream_state SET line = stream;
ALTER TABLE stream_state ALTER COLUMN line SET NOT NULL;
-- Late parts send all streams of a line back.
CREATE INDEX stream_state_line_idx ON stream_state (line, hour);

-- Parts may be told to be of a mould after they were judged, or of another one later: the hours in which they were made
-- are watched again. Older ones than any that a watch knows change nothing.
CREATE OR REPLACE FUNCTION mark_changed_attributes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    since timestamptz;
    until timestamptz;
BEGIN
    INSERT INTO rollup_stale (line, day)
    SELECT line, day FROM (SELECT DISTINCT line, day FROM changed_row) AS changed
    WHERE date_trunc('month', day::timestamp)::date NOT IN (SELECT month FROM archived_month);

    SELECT min(day)::timestamp AT TIME ZONE 'UTC', (max(day) + 1)::timestamp AT TIME ZONE 'UTC' INTO since, until
    FROM (SELECT DISTINCT line, day FROM changed_row) AS changed
    WHERE day > (SELECT max(hour) - interval '5 weeks' FROM stream_state WHERE stream = changed.line);
    IF since IS NOT NULL THEN
        INSERT INTO stream_change (stream, hour)
        SELECT DISTINCT image.line, date_trunc('hour', captured_at, 'UTC')
        FROM changed_row JOIN image USING (line, part_id)
        WHERE captured_at >= since AND captured_at < until
          AND day = (captured_at AT TIME ZONE 'UTC')::date;
    END IF;
    RETURN NULL;
END $$;

-- TRUNCATE names no rows, so it marks every day that has hours.
CREATE OR REPLACE FUNCTION mark_emptied_attributes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rollup_stale (line, day)
    SELECT line, day
    FROM (SELECT DISTINCT line, (hour AT TIME ZONE 'UTC')::date AS day FROM attribute_hour) AS counted
    WHERE date_trunc('month', day::timestamp)::date NOT IN (SELECT month FROM archived_month);
    INSERT INTO stream_change (stream, hour)
    SELECT DISTINCT line, hour FROM stream_state WHERE stream <> line;
    RETURN NULL;
END $$;
