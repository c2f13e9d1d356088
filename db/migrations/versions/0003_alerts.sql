-- Streams watched for climbs, alerts, their events and deliveries.
-- A stream is a row of parts in the order they were made: today one a line, named like the line. '' is the whole plant.

CREATE TABLE baseline (
    baseline_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text NOT NULL,
    stream          text NOT NULL,
    rate            double precision NOT NULL,
    low             double precision NOT NULL,
    high            double precision NOT NULL,
    -- Of the stream itself in the reference period; the rest of `rate` comes from the fleet.
    counted         double precision NOT NULL,
    inspected       bigint NOT NULL,
    own_weight      double precision NOT NULL,
    icc             double precision NOT NULL,
    parts_per_hour  double precision NOT NULL,
    model_id        bigint REFERENCES model (model_id),
    reference_since timestamptz NOT NULL,
    reference_until timestamptz NOT NULL,
    -- From this hour on the stream's charts run on it.
    valid_from      timestamptz NOT NULL,
    set_at          timestamptz NOT NULL DEFAULT now(),
    set_by          text NOT NULL,
    why             text NOT NULL,
    details         jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT baseline_kind_check CHECK (kind IN ('defect_rate_climb', 'quarantine_rate_climb', 'review_rate_climb')),
    -- A chart needs a rate that can climb; NaN fails too, as Postgres sorts it above every number.
    CONSTRAINT baseline_rate_check CHECK (rate > 0 AND rate < 1 AND low BETWEEN 0 AND rate AND high BETWEEN rate AND 1),
    CONSTRAINT baseline_counts_check CHECK (inspected >= 0 AND counted BETWEEN 0 AND inspected),
    CONSTRAINT baseline_share_check CHECK (own_weight BETWEEN 0 AND 1 AND icc >= 0 AND icc < 1),
    CONSTRAINT baseline_reference_check CHECK (reference_since < reference_until)
);
-- The newest of a stream counts; older ones stay, so that an old alert can be explained.
CREATE INDEX baseline_stream_idx ON baseline (kind, stream, baseline_id);

-- Where a stream's charts stood after the parts of an hour. The newest row of a stream is its state; the earlier ones,
-- as far back as the look-back, are the places from which late parts are folded in.
CREATE TABLE stream_state (
    stream     text NOT NULL,
    hour       timestamptz NOT NULL,
    -- What was counted of the hour, by which a change is noticed.
    seen       jsonb NOT NULL,
    charts     jsonb NOT NULL,
    watched_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT stream_state_pkey PRIMARY KEY (stream, hour)
);

-- Hours in which something was judged since the last watch: written with the verdicts themselves, taken away with the
-- states that count them. So a watch costs what is new, and misses nothing that arrived late. Not yet watched hours
-- of one line stand here more than once; nobody waits for a row.
CREATE TABLE stream_change (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream    text NOT NULL,
    hour      timestamptz NOT NULL
);

-- Runs with its owner's rights, so that a writer of verdicts need not be allowed to touch what the watch keeps.
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

CREATE TABLE alert (
    alert_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind           text NOT NULL,
    severity       text NOT NULL,
    state          text NOT NULL DEFAULT 'open',
    -- '' where it is about the whole plant, or about many lines at once.
    stream         text NOT NULL,
    line           text NOT NULL,
    opened_at      timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    resolved_at    timestamptz,
    -- 'watch' where it resolved by itself.
    resolved_by    text,
    -- Which signal of the chart it tells of: one that a person has resolved is not told again.
    signal         text NOT NULL,
    since_low      timestamptz,
    since          timestamptz,
    since_high     timestamptz,
    parts          bigint,
    observed_rate  double precision,
    corrected_rate double precision,
    corrected_low  double precision,
    corrected_high double precision,
    baseline_rate  double precision,
    evidence       jsonb NOT NULL DEFAULT '{}',
    examples       text[] NOT NULL DEFAULT '{}',
    -- The alert about many lines at once that tells of this one too.
    part_of        bigint REFERENCES alert (alert_id),
    CONSTRAINT alert_kind_check CHECK (kind IN (
        'defect_rate_climb', 'quarantine_rate_climb', 'review_rate_climb', 'score_drift', 'no_images',
        'scoring_stalled')),
    CONSTRAINT alert_severity_check CHECK (severity IN ('warning', 'critical')),
    CONSTRAINT alert_state_check CHECK (state IN ('open', 'acknowledged', 'resolved')),
    -- One that is resolved says when and by whom; one that is not has not been.
    CONSTRAINT alert_resolved_check CHECK (
        (state = 'resolved') = (resolved_at IS NOT NULL) AND (state = 'resolved') = (resolved_by IS NOT NULL)),
    -- A change-point's interval holds its estimate; all three are there or none.
    CONSTRAINT alert_since_check CHECK (
        (since_low <= since AND since <= since_high) IS TRUE OR num_nonnulls(since_low, since, since_high) = 0),
    CONSTRAINT alert_part_of_check CHECK (part_of <> alert_id)
);
-- It is updated, not repeated: one unresolved alert a stream and kind, however many watchers there are.
CREATE UNIQUE INDEX alert_unresolved_key ON alert (stream, kind) WHERE state <> 'resolved';
-- The newest of a stream and kind, which says what was told already.
CREATE INDEX alert_stream_idx ON alert (stream, kind, alert_id);
CREATE INDEX alert_opened_idx ON alert (opened_at);

CREATE TABLE alert_event (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alert (alert_id),
    at       timestamptz NOT NULL,
    event    text NOT NULL,
    who      text NOT NULL,
    why      text NOT NULL,
    details  jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT alert_event_event_check CHECK (event IN (
        'opened', 'updated', 'acknowledged', 'resolved', 'reopened', 'snoozed')),
    -- An event that nobody can account for explains nothing afterwards.
    CONSTRAINT alert_event_who_check CHECK (who <> '' AND why <> '')
);
CREATE INDEX alert_event_alert_idx ON alert_event (alert_id, event_id);
-- What happened to an alert has happened.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON alert_event FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON alert_event FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The outbox: a message to one channel, written in the transaction that changes the alert.
CREATE TABLE delivery (
    delivery_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alert_id        bigint NOT NULL REFERENCES alert (alert_id),
    event_id        bigint NOT NULL REFERENCES alert_event (event_id),
    channel         text NOT NULL,
    -- Stands in the message, so that a receiver can drop repeats.
    idempotency_key text NOT NULL,
    payload         jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    delivered_at    timestamptz,
    last_error      text,
    -- One key, one message: writing the same message twice is an error here, not a second mail.
    CONSTRAINT delivery_idempotency_key UNIQUE (idempotency_key),
    CONSTRAINT delivery_attempts_check CHECK (attempts >= 0)
);
-- What the deliverer looks for; hardly ever more than a few.
CREATE INDEX delivery_due_idx ON delivery (next_attempt_at) WHERE delivered_at IS NULL;
CREATE INDEX delivery_alert_idx ON delivery (alert_id);

-- A line whose alerts nobody wants to hear of for a while; they go on living. '' is all lines.
CREATE TABLE snooze (
    snooze_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line      text NOT NULL,
    since     timestamptz NOT NULL DEFAULT now(),
    until     timestamptz NOT NULL,
    who       text NOT NULL,
    why       text NOT NULL,
    CONSTRAINT snooze_window_check CHECK (since < until)
);
CREATE INDEX snooze_until_idx ON snooze (until);

-- Hours in which a line is set up or repaired: its parts say nothing of the process, and it need not send any.
CREATE TABLE maintenance_window (
    window_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    line      text NOT NULL,
    since     timestamptz NOT NULL,
    until     timestamptz NOT NULL,
    who       text NOT NULL,
    why       text NOT NULL,
    CONSTRAINT maintenance_window_check CHECK (since < until)
);
CREATE INDEX maintenance_window_until_idx ON maintenance_window (until);
