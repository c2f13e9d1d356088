-- What a plant knows of itself and its parts: its shifts, the names of its lines, and facts of single parts.
-- People fill these tables; the views of schema bi join them.

-- A plant may have made the schema already, for views of its own.
CREATE SCHEMA IF NOT EXISTS bi;
COMMENT ON SCHEMA bi IS 'What people and BI tools read: one view a question, every column described.';

-- In the plant's own wall-clock time; a time zone such as Europe/Berlin knows of daylight saving.
CREATE TABLE shift (
    shift_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- NULL: of every line that has no shifts of its own.
    line      text,
    name      text NOT NULL,
    starts    time NOT NULL,
    -- Not after `starts`: the shift ends on the next day, and belongs to the day on which it began.
    ends      time NOT NULL,
    -- Days on which it begins, 1 (Monday) to 7 (Sunday).
    weekdays  integer[] NOT NULL DEFAULT '{1,2,3,4,5,6,7}',
    time_zone text NOT NULL DEFAULT 'UTC',
    CONSTRAINT shift_name_check CHECK (name <> '' AND line <> ''),
    -- 24:00 would be neither this day nor the next.
    CONSTRAINT shift_times_check CHECK (starts < '24:00' AND ends < '24:00'),
    CONSTRAINT shift_weekdays_check CHECK (
        weekdays <@ '{1,2,3,4,5,6,7}' AND cardinality(weekdays) > 0 AND array_position(weekdays, NULL) IS NULL),
    -- Postgres refuses a name it does not know here, not in the first report of the month.
    CONSTRAINT shift_time_zone_check CHECK (timezone(time_zone, '2000-01-01T00:00Z'::timestamptz) IS NOT NULL)
);

-- Two shifts at once would count a part twice.
CREATE FUNCTION refuse_overlapping_shifts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    clash record;
BEGIN
    -- One editor at a time, or two could each miss the other's shift.
    PERFORM pg_advisory_xact_lock(hashtext('casting.shift'));
    WITH turn AS (
        SELECT shift_id, line, name, time_zone,
            (weekday - 1) * interval '1 day' + starts::interval AS starts,
            (weekday - 1) * interval '1 day' + ends::interval
                + CASE WHEN shift.ends <= shift.starts THEN interval '1 day' ELSE interval '0' END AS ends
        FROM shift, unnest(weekdays) AS weekday
    )
    SELECT one.name AS one, other.name AS other INTO clash
    FROM turn AS one
    JOIN turn AS other ON other.shift_id > one.shift_id AND other.line IS NOT DISTINCT FROM one.line
    -- Sunday's night shift reaches into Monday.
    CROSS JOIN (VALUES (interval '0'), (interval '7 days'), (interval '-7 days')) AS week (later)
    WHERE one.time_zone <> other.time_zone OR (one.starts < other.ends + later AND other.starts + later < one.ends)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the shifts % and % overlap or differ in their time zone', clash.one, clash.other
            USING ERRCODE = 'exclusion_violation', TABLE = 'shift', CONSTRAINT = 'shift_overlap',
                HINT = 'Shifts of a line follow one another in one time zone.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER shift_overlap AFTER INSERT OR UPDATE ON shift
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_overlapping_shifts();

-- Three shifts of eight hours, so that the views answer before anybody has edited them.
INSERT INTO shift (name, starts, ends) VALUES
    ('early', '06:00', '14:00'), ('late', '14:00', '22:00'), ('night', '22:00', '06:00');

-- What people call a line. Where a line got another key, both keys carry one name, and reports show it as one.
CREATE TABLE line_name (
    -- As the keys of its pictures say.
    line text PRIMARY KEY,
    name text NOT NULL,
    CONSTRAINT line_name_check CHECK (line <> '' AND name <> '')
);

-- What else a plant knows of a part: mould, furnace, alloy, operator. One row a part and key, by the plant's own import.
CREATE TABLE part_attribute (
    -- Line and part as the keys of the pictures say.
    line    text NOT NULL,
    part_id text NOT NULL,
    -- The UTC day on which the part was captured: many lines restart their part counter every day.
    day     date NOT NULL,
    key     text NOT NULL,
    value   text NOT NULL,
    -- Led by the day, as a report is of some days, and one part is asked for with its day.
    CONSTRAINT part_attribute_pkey PRIMARY KEY (day, line, part_id, key),
    CONSTRAINT part_attribute_key_check CHECK (key <> '' AND value <> ''),
    -- The Pareto shows these beside its own.
    CONSTRAINT part_attribute_reserved_check CHECK (key NOT IN ('line', 'shift'))
);
