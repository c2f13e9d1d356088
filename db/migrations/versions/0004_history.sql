-- Roll-ups of the history: one row a part, and one row a line and hour. They are kept exactly right without scanning it.
--
-- How it works. The unit is a line's day (UTC), since a part_id counts within it. Whatever may change a roll-up (an
-- image, a verdict, a quarantine, a label, another champion) leaves a mark in `rollup_stale` in its own transaction.
-- `db.rollups.refresh` recounts the marked line-days alone, and takes away the marks that it had seen before it
-- counted. It runs after each scoring run, in the maintenance flow, and as `casting db refresh`.
--
-- What to read. Nothing but these two views, which are exact at every moment: they take a marked line-day from a recount
-- and everything else from the roll-up.
--     part_verdict      one row a part: line, part_id, day, captured_at, verdict, p_defective, views, worst_view,
--                       image_id, model_id, judged_at, label
--     line_hour         one row a line and hour: the columns of `part_hour` below
-- Filter parts by captured_at (months are pruned by it) or part_id, hours by `hour`. `rollup_stale` says what is due
-- for a recount and since when.

-- One row a part, as its verdict is now. It follows from image, verdict, model and label, so that it has no foreign keys.
CREATE TABLE part (
    captured_at timestamptz NOT NULL,
    line        text NOT NULL,
    part_id     text NOT NULL,
    verdict     text NOT NULL,
    p_defective double precision NOT NULL,
    views       bigint NOT NULL,
    worst_view  text NOT NULL,
    -- The picture of the worst view, and the model that judged it.
    image_id    bigint NOT NULL,
    model_id    bigint NOT NULL,
    judged_at   timestamptz NOT NULL,
    label       text,
    -- Time first: recent parts of all lines are read newest first, and new parts go to the index's right edge.
    CONSTRAINT part_pkey PRIMARY KEY (captured_at, line, part_id)
) PARTITION BY RANGE (captured_at);
-- People ask for one part by its number.
CREATE INDEX part_part_idx ON part (part_id);

-- One row a line and hour (UTC) in which images were captured. Parts count in the hour of their first image.
CREATE TABLE part_hour (
    line            text NOT NULL,
    hour            timestamptz NOT NULL,
    inspected       bigint NOT NULL,
    ok              bigint NOT NULL,
    defective       bigint NOT NULL,
    review          bigint NOT NULL,
    p_sum           double precision NOT NULL,
    labelled        bigint NOT NULL,
    labelled_defective bigint NOT NULL,
    escapes         bigint NOT NULL,
    false_rejects   bigint NOT NULL,
    images          bigint NOT NULL,
    scored          bigint NOT NULL,
    quarantined     bigint NOT NULL,
    lag_p50_seconds double precision,
    lag_p95_seconds double precision,
    lag_max_seconds double precision,
    -- Models that share images with others here: where one becomes or ceases to be champion, the hour is recounted.
    rival_models    bigint[] NOT NULL,
    -- Also for a stretch of time on all lines: those are few. An index on the hour alone tempts Postgres to look for the
    -- last hours of one line among those of all.
    CONSTRAINT part_hour_pkey PRIMARY KEY (line, hour),
    CONSTRAINT part_hour_parts_check CHECK (inspected = ok + defective + review),
    -- The rest of the images is backlog.
    CONSTRAINT part_hour_images_check CHECK (images >= scored + quarantined)
);
-- What another champion touches; most hours have one model.
CREATE INDEX part_hour_rivals_idx ON part_hour (hour) WHERE rival_models <> '{}';

-- The work list. A mark names a line's day, or a model whose standing changed. Without a key beyond its number, so that
-- no writer ever waits for another one's mark.
CREATE TABLE rollup_stale (
    mark_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line      text,
    day       date,
    model_id  bigint,
    marked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rollup_stale_subject_check CHECK (num_nonnulls(line, day) = CASE WHEN model_id IS NULL THEN 2 ELSE 0 END)
);
-- One line-day at a time is counted anew, and every reader asks whether a model is marked.
CREATE INDEX rollup_stale_line_day_idx ON rollup_stale (line, day) WHERE line IS NOT NULL;
CREATE INDEX rollup_stale_model_idx ON rollup_stale (model_id) WHERE model_id IS NOT NULL;

-- Months whose rows lie in object storage. Their hours stay in `part_hour`.
CREATE TABLE archived_month (
    month       date PRIMARY KEY,
    url         text NOT NULL,
    images      bigint NOT NULL,
    verdicts    bigint NOT NULL,
    quarantined bigint NOT NULL,
    labels      bigint NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT archived_month_month_check CHECK (extract(day FROM month) = 1)
);

-- Marks run with their owner's rights: whoever may write an image, a verdict or a label need not know of roll-ups.
CREATE FUNCTION mark_new_images() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rollup_stale (line, day)
    SELECT DISTINCT line, (captured_at AT TIME ZONE 'UTC')::date FROM new_row;
    RETURN NULL;
END $$;
CREATE TRIGGER rollup AFTER INSERT ON image
    REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION mark_new_images();

CREATE FUNCTION mark_labelled_images() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rollup_stale (line, day)
    SELECT DISTINCT image.line, (image.captured_at AT TIME ZONE 'UTC')::date
    FROM new_row JOIN image USING (image_id, captured_at);
    RETURN NULL;
END $$;
CREATE TRIGGER rollup AFTER INSERT ON label
    REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION mark_labelled_images();

-- Outcomes are written by the hundred, and each look at their images costs. So one trigger takes the place of 0001's
-- `one_outcome`, 0003's `mark_changed_hours` and the foreign keys to `image`, which looked row by row through every
-- month that there is (at 13 months the foreign key alone took longer than all the rest of an insert). It locks the
-- images, marks what must be counted anew, and refuses what 0001 refused: a second kind of outcome, an unknown image.
CREATE OR REPLACE FUNCTION refuse_two_outcomes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    since    timestamptz;
    until    timestamptz;
    unknown  bigint;
    offender bigint;
BEGIN
    IF current_setting('transaction_isolation') = 'repeatable read' THEN
        -- The checks below would look at an old snapshot, and miss what another transaction has committed since.
        RAISE EXCEPTION 'verdicts and quarantine are not written under REPEATABLE READ'
            USING ERRCODE = 'feature_not_supported', HINT = 'Use READ COMMITTED or SERIALIZABLE.';
    END IF;
    -- Months that the rows are not about need not be looked at.
    SELECT min(captured_at), max(captured_at) INTO since, until FROM new_row;
    WITH locked AS MATERIALIZED (
        -- Without the lock, two transactions could each pass the check below and then both commit.
        SELECT image.line, image.captured_at
        FROM image JOIN new_row USING (image_id, captured_at)
        WHERE image.captured_at BETWEEN since AND until
        FOR NO KEY UPDATE OF image
    ), stale AS (
        INSERT INTO rollup_stale (line, day)
        SELECT DISTINCT line, (captured_at AT TIME ZONE 'UTC')::date FROM locked
    ), changed AS (
        INSERT INTO stream_change (stream, hour)
        SELECT DISTINCT line, date_trunc('hour', captured_at, 'UTC') FROM locked
    )
    SELECT (SELECT count(*) FROM new_row) - (SELECT count(*) FROM locked) INTO unknown;
    IF unknown > 0 THEN
        RAISE EXCEPTION '% of the rows are about images that are not known', unknown
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_TABLE_NAME || '_image_known',
            HINT = 'Take image_id and captured_at from the table image.';
    END IF;
    IF TG_TABLE_NAME = 'verdict' THEN
        SELECT image_id INTO offender
        FROM new_row JOIN quarantine USING (image_id, captured_at)
        WHERE quarantine.captured_at BETWEEN since AND until
        LIMIT 1;
    ELSE
        SELECT image_id INTO offender
        FROM new_row JOIN verdict USING (image_id, captured_at)
        WHERE verdict.captured_at BETWEEN since AND until
        LIMIT 1;
    END IF;
    IF offender IS NOT NULL THEN
        RAISE EXCEPTION 'image % would have both a verdict and a quarantine', offender
            USING ERRCODE = 'exclusion_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'one_outcome';
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER mark_changed_hours ON verdict;
DROP TRIGGER mark_changed_hours ON quarantine;
DROP FUNCTION mark_changed_hours;
ALTER TABLE verdict DROP CONSTRAINT verdict_image_fkey;
ALTER TABLE quarantine DROP CONSTRAINT quarantine_image_fkey;
-- The other side of what the foreign keys held: an image does not go away, except with its month.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON image FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON image FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Which line-days another champion touches is found out at the refresh, when no other refresh can be under way: one that
-- is could write hours of which this transaction knows nothing.
CREATE FUNCTION mark_champion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO rollup_stale (model_id) VALUES (NEW.model_id);
    RETURN NULL;
END $$;
CREATE TRIGGER rollup AFTER UPDATE ON model FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND 'champion' IN (OLD.state, NEW.state)) EXECUTE FUNCTION mark_champion();

-- As in 0001, with the partition of `part`; and an archived month is not begun anew.
CREATE OR REPLACE FUNCTION ensure_month(moment timestamptz) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    first_day timestamp := date_trunc('month', moment AT TIME ZONE 'UTC');
    suffix    text := to_char(first_day, '_YYYY_MM');
    parent    text;
BEGIN
    IF to_regclass('month.part' || suffix) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('casting.ensure_month'));
    IF EXISTS (SELECT FROM archived_month WHERE month = first_day) THEN
        RAISE EXCEPTION 'the month % is archived and takes no images', to_char(first_day, 'YYYY-MM')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Bring it back first: casting db unarchive '
                || to_char(first_day, 'YYYY-MM');
    END IF;
    -- Holds up writers for the moment this takes, but neither readers nor claims; in the order in which chunks write.
    LOCK TABLE public.image, public.verdict, public.quarantine, public.part IN SHARE ROW EXCLUSIVE MODE;
    FOREACH parent IN ARRAY ARRAY['image', 'verdict', 'quarantine', 'part'] LOOP
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

-- Why images of an hour could not be judged.
CREATE INDEX quarantine_captured_idx ON quarantine (captured_at);

-- What the database holds already is counted by the first refresh.
SELECT ensure_month(to_timestamp(right(relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC')
FROM pg_class
WHERE relnamespace = 'month'::regnamespace AND relname ~ '^image_\d{4}_\d{2}$' AND relkind = 'r';
INSERT INTO rollup_stale (line, day) SELECT DISTINCT line, (captured_at AT TIME ZONE 'UTC')::date FROM image;
