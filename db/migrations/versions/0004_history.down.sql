-- Drops the roll-ups, which can be counted again; but not where they are all that is left of an archived month.
DO $$
BEGIN
    IF EXISTS (SELECT FROM archived_month) THEN
        RAISE EXCEPTION 'months are archived, and only their roll-ups are left here'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Bring them back first: casting db unarchive';
    END IF;
END $$;
DROP TRIGGER rollup ON image;
DROP TRIGGER rollup ON verdict;
DROP TRIGGER rollup ON quarantine;
DROP TRIGGER rollup ON label;
DROP TRIGGER rollup ON model;
DROP FUNCTION mark_new_images, mark_their_images, mark_champion;
DROP TABLE part, part_hour, rollup_stale, archived_month;

-- As 0001 made it.
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
