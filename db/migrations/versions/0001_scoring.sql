-- Images, verdicts, quarantine, models and scoring runs.
-- `image`, `verdict` and `quarantine` are partitioned by the month (UTC) of capture, so that a year of history
-- is twelve small tables and an old month can be taken away whole. Their keys carry `captured_at` for that reason.

CREATE SCHEMA month;
COMMENT ON SCHEMA month IS 'Monthly partitions; query the tables in public instead.';

CREATE TABLE model (
    model_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product       text NOT NULL DEFAULT 'casting',
    version       text NOT NULL,
    artifact_url  text NOT NULL,
    sha256        text NOT NULL,
    state         text NOT NULL DEFAULT 'candidate',
    card          jsonb NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    promoted_at   timestamptz,
    -- A version names one artifact for ever; people type it.
    CONSTRAINT model_version_key UNIQUE (version),
    CONSTRAINT model_state_check CHECK (state IN ('candidate', 'champion', 'retired')),
    -- What is loaded is compared with this; a malformed hash would refuse every load.
    CONSTRAINT model_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    -- A model that ever served says since when.
    CONSTRAINT model_promoted_check CHECK (state = 'candidate' OR promoted_at IS NOT NULL)
);
-- Two champions would make the hourly verdict depend on chance.
CREATE UNIQUE INDEX model_champion_key ON model (product) WHERE state = 'champion';

CREATE TABLE scoring_run (
    run_id             uuid PRIMARY KEY,
    flow_run_id        uuid,
    model_id           bigint NOT NULL REFERENCES model (model_id),
    since              timestamptz NOT NULL,
    until              timestamptz NOT NULL,
    lines              text[] NOT NULL,
    state              text NOT NULL DEFAULT 'running',
    started_at         timestamptz NOT NULL DEFAULT now(),
    finished_at        timestamptz,
    seconds            double precision,
    discovered         bigint NOT NULL DEFAULT 0,
    ok                 bigint NOT NULL DEFAULT 0,
    defective          bigint NOT NULL DEFAULT 0,
    review             bigint NOT NULL DEFAULT 0,
    quarantined        bigint NOT NULL DEFAULT 0,
    backlog            bigint,
    unmatched_keys     bigint NOT NULL DEFAULT 0,
    unmatched_examples text[] NOT NULL DEFAULT '{}',
    unsettled          bigint NOT NULL DEFAULT 0,
    error              text,
    scored             bigint GENERATED ALWAYS AS (ok + defective + review) STORED,
    CONSTRAINT scoring_run_state_check CHECK (state IN ('running', 'completed', 'failed', 'died')),
    CONSTRAINT scoring_run_window_check CHECK (since < until),
    -- A run that ended says when; one that runs has not ended.
    CONSTRAINT scoring_run_finished_check CHECK ((state = 'running') = (finished_at IS NULL)),
    CONSTRAINT scoring_run_counts_check CHECK (
        least(discovered, ok, defective, review, quarantined, unmatched_keys, unsettled) >= 0)
);
-- Every run looks for runs that died without saying so; there are hardly ever any.
CREATE INDEX scoring_run_running_idx ON scoring_run (started_at) WHERE state = 'running';
CREATE INDEX scoring_run_started_idx ON scoring_run (started_at);

CREATE TABLE image (
    image_id      bigint GENERATED ALWAYS AS IDENTITY,
    captured_at   timestamptz NOT NULL,
    uri           text NOT NULL,
    etag          text NOT NULL,
    line          text NOT NULL,
    part_id       text NOT NULL,
    view          text NOT NULL DEFAULT '',
    size          bigint NOT NULL,
    stored_at     timestamptz NOT NULL,
    discovered_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT image_pkey PRIMARY KEY (image_id, captured_at),
    -- The identity of an image. `captured_at` follows from the uri and stands here only because a unique key of a
    -- partitioned table must hold the partition key.
    CONSTRAINT image_uri_etag_key UNIQUE (uri, etag, captured_at),
    CONSTRAINT image_size_check CHECK (size >= 0)
) PARTITION BY RANGE (captured_at);
-- Windows of one line or of all: what is known already, what is still backlog, the defect rate of an hour.
CREATE INDEX image_captured_idx ON image (captured_at, line);
CREATE INDEX image_part_idx ON image (part_id);

CREATE TABLE verdict (
    image_id    bigint NOT NULL,
    captured_at timestamptz NOT NULL,
    model_id    bigint NOT NULL REFERENCES model (model_id),
    run_id      uuid NOT NULL REFERENCES scoring_run (run_id),
    p_defective double precision NOT NULL,
    verdict     text NOT NULL,
    sha256      bytea NOT NULL,
    judged_at   timestamptz NOT NULL DEFAULT now(),
    -- One verdict per image and model, whatever is re-run, overlaps or dies.
    CONSTRAINT verdict_pkey PRIMARY KEY (image_id, model_id, captured_at),
    CONSTRAINT verdict_image_fkey FOREIGN KEY (image_id, captured_at) REFERENCES image (image_id, captured_at),
    -- Also refuses NaN, which Postgres sorts above every number.
    CONSTRAINT verdict_p_defective_check CHECK (p_defective BETWEEN 0 AND 1),
    CONSTRAINT verdict_verdict_check CHECK (verdict IN ('ok', 'defective', 'review')),
    CONSTRAINT verdict_sha256_check CHECK (octet_length(sha256) = 32)
) PARTITION BY RANGE (captured_at);

CREATE TABLE quarantine (
    image_id       bigint NOT NULL,
    captured_at    timestamptz NOT NULL,
    run_id         uuid NOT NULL REFERENCES scoring_run (run_id),
    reason         text NOT NULL,
    detail         text NOT NULL,
    -- NULL where no bytes could be had.
    sha256         bytea,
    quarantined_at timestamptz NOT NULL DEFAULT now(),
    -- An image that cannot be judged says so once, for every model.
    CONSTRAINT quarantine_pkey PRIMARY KEY (image_id, captured_at),
    CONSTRAINT quarantine_image_fkey FOREIGN KEY (image_id, captured_at) REFERENCES image (image_id, captured_at),
    CONSTRAINT quarantine_reason_check CHECK (reason IN (
        'unreadable', 'truncated', 'not_an_image', 'too_small', 'too_large', 'blank', 'missing', 'access_denied')),
    CONSTRAINT quarantine_sha256_check CHECK (octet_length(sha256) = 32)
) PARTITION BY RANGE (captured_at);

-- An image ends in a verdict or in quarantine, never in both. No key can say that across two tables, so a trigger
-- does. It locks the images first: without that, two transactions could each pass the check and then both commit.
CREATE FUNCTION refuse_two_outcomes() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER one_outcome AFTER INSERT ON verdict
    REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION refuse_two_outcomes();
CREATE TRIGGER one_outcome AFTER INSERT ON quarantine
    REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION refuse_two_outcomes();

-- History is never overwritten: a re-score adds verdicts, a correction is a label.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: its rows are neither changed nor taken away', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON verdict FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON quarantine FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON verdict FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON quarantine FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Makes the partitions of the month (UTC) that holds `moment`. Runs with its owner's rights, so that a writer that
-- may not change the schema can still write into a month that nobody prepared.
CREATE FUNCTION ensure_month(moment timestamptz) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
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
