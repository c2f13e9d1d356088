-- Parts by line, hour and part attribute (mould, furnace), rolled up beside `part_hour` and by the same marks.

-- One row a line, hour (UTC) and value of an attribute. Parts count in the hour of their first image.
CREATE TABLE attribute_hour (
    line      text NOT NULL,
    hour      timestamptz NOT NULL,
    key       text NOT NULL,
    value     text NOT NULL,
    inspected bigint NOT NULL,
    defective bigint NOT NULL,
    -- Led by the hour: a Pareto is of some days and of all lines.
    CONSTRAINT attribute_hour_pkey PRIMARY KEY (hour, line, key, value),
    CONSTRAINT attribute_hour_parts_check CHECK (inspected > 0 AND defective BETWEEN 0 AND inspected)
);

-- Whatever changes in the plant's own facts marks the days that it is about. Archived days have no parts that could be
-- counted anew, and keep what was counted.
CREATE FUNCTION mark_changed_attributes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rollup_stale (line, day)
    SELECT line, day FROM (SELECT DISTINCT line, day FROM changed_row) AS changed
    WHERE date_trunc('month', day::timestamp)::date NOT IN (SELECT month FROM archived_month);
    RETURN NULL;
END $$;
-- Two for an update, since a part's day or line may be what was corrected.
CREATE TRIGGER rollup_inserted AFTER INSERT ON part_attribute
    REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION mark_changed_attributes();
CREATE TRIGGER rollup_updated_to AFTER UPDATE ON part_attribute
    REFERENCING NEW TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION mark_changed_attributes();
CREATE TRIGGER rollup_updated_from AFTER UPDATE ON part_attribute
    REFERENCING OLD TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION mark_changed_attributes();
CREATE TRIGGER rollup_deleted AFTER DELETE ON part_attribute
    REFERENCING OLD TABLE AS changed_row FOR EACH STATEMENT EXECUTE FUNCTION mark_changed_attributes();

-- TRUNCATE names no rows, so it marks every day that has hours.
CREATE FUNCTION mark_emptied_attributes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rollup_stale (line, day)
    SELECT line, day
    FROM (SELECT DISTINCT line, (hour AT TIME ZONE 'UTC')::date AS day FROM attribute_hour) AS counted
    WHERE date_trunc('month', day::timestamp)::date NOT IN (SELECT month FROM archived_month);
    RETURN NULL;
END $$;
CREATE TRIGGER rollup_emptied AFTER TRUNCATE ON part_attribute
    FOR EACH STATEMENT EXECUTE FUNCTION mark_emptied_attributes();

-- What the plant knew before this release.
INSERT INTO rollup_stale (line, day)
SELECT line, day FROM (SELECT DISTINCT line, day FROM part_attribute) AS known
WHERE date_trunc('month', day::timestamp)::date NOT IN (SELECT month FROM archived_month);
