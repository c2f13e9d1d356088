-- Drops the roll-ups, which can be counted again; but not where they are all that is left of an archived month.
DO $$
BEGIN
    IF EXISTS (SELECT FROM archived_month) THEN
        RAISE EXCEPTION 'months are archived, and only their roll-ups are left here'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Bring them back first: casting db unarchive';
    END IF;
END $$;
DROP TRIGGER rollup ON image;
DROP TRIGGER rollup ON label;
DROP TRIGGER rollup ON model;
DROP FUNCTION mark_new_images, mark_labelled_images, mark_champion;
DROP TRIGGER append_only ON image;
DROP TRIGGER never_emptied ON image;
DROP INDEX quarantine_captured_idx;
DROP TABLE part, part_hour, rollup_stale, archived_month;

-- As 0003 made it.
CREATE FUNCTION mark_changed_hours() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO stream_change (stream, hour)
    SELECT DISTINCT line, date_trunc('hour', captured_at, 'UTC')
    FROM new_row JOIN image USING (image_id, captured_at);
    RETURN NULL;
END $$;
CREATE TRIGGER mark_changed_hours AFTER INSERT ON verdict
    REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION mark_changed_hours();
CREATE TRIGGER mark_changed_hours AFTER INSERT ON quarantine
    REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION mark_changed_hours();

-- As 0001 made them.
ALTER TABLE verdict ADD CONSTRAINT verdict_image_fkey
    FOREIGN KEY (image_id, captured_at) REFERENCES image (image_id, captured_at);
ALTER TABLE quarantine ADD CONSTRAINT quarantine_image_fkey
    FOREIGN KEY (image_id, captured_at) REFERENCES image (image_id, captured_at);
CREATE OR REPLACE FUNCTION refuse_two_outcomes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    offender bigint;
BEGIN
    IF current_setting('transaction_isolation') = 'repeatable read' THEN
        -- The check below would look at an old snapshot, and miss what another transaction has committed since.
        RAISE EXCEPTION 'verdicts and quarantine are not written under REPEATABLE READ'
            USING ERRCODE = 'feature_not_supported', HINT = 'Use READ COMMITTED or SERIALIZABLE.';
    END IF;
    PERFORM 1 FROM image JOIN new_row USING (image_id, captured_at) FOR NO KEY UPDATE OF image;
    IF TG_TABLE_NAME = 'verdict' THEN
        SELECT image_id INTO offender FROM new_row JOIN quarantine USING (image_id, captured_at) LIMIT 1;
    ELSE
        SELECT image_id INTO offender FROM new_row JOIN verdict USING (image_id, captured_at) LIMIT 1;
    END IF;
    IF offender IS NOT NULL THEN
        RAISE EXCEPTION 'image % would have both a verdict and a quarantine', offender
            USING ERRCODE = 'exclusion_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'one_outcome';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION ensure_month(moment timestamptz) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    first_day timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
    suffix    text := to_char(first_day, '_YYYY_MM');
    parent    text;
BEGIN
    IF to_regclass('month.quarantine' || suffix) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('casting.ensure_month'));
    -- Holds up writers for the moment this takes, but neither readers nor claims; in the order in which chunks write.
    LOCK TABLE public.image, public.verdict, public.quarantine IN SHARE ROW EXCLUSIVE MODE;
    FOREACH parent IN ARRAY ARRAY['image', 'verdict', 'quarantine'] LOOP
        -- Another session may have made it while this one waited.
        CONTINUE WHEN to_regclass('month.' || parent || suffix) IS NOT NULL;
        -- Made apart and then attached: PARTITION OF would shut out readers and claims as well, and two sessions that
        -- have both read `image` would wait for one another.
        EXECUTE format('CREATE TABLE month.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            parent || suffix, parent);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION month.%I FOR VALUES FROM (%L) TO (%L)',
            parent, parent || suffix,
            first_day AT TIME ZONE 'UTC', (first_day + interval '1 month') AT TIME ZONE 'UTC');
    END LOOP;
END $$;
