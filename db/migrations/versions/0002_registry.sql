-- Labels by people, the events of models, and what retraining needs: the golden set, its runs, what they learnt from.

-- What a person says an image shows. A correction is another row; the newest counts (view `current_label`).
CREATE TABLE label (
    label_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    image_id    bigint NOT NULL,
    captured_at timestamptz NOT NULL,
    label       text NOT NULL,
    who         text NOT NULL,
    why         text NOT NULL DEFAULT '',
    labelled_at timestamptz NOT NULL DEFAULT now(),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    -- Review is for people to end, so it is no label.
    CONSTRAINT label_label_check CHECK (label IN ('ok', 'defective')),
    -- Somebody stands behind each label.
    CONSTRAINT label_who_check CHECK (who <> ''),
    -- A label from the future would outweigh every later correction.
    CONSTRAINT label_time_check CHECK (labelled_at <= recorded_at)
);
-- The newest label of an image, and the labels of a stretch of time.
CREATE INDEX label_image_idx ON label (image_id, captured_at, labelled_at DESC, label_id DESC);

-- Not a foreign key: a month that is archived takes its images away, and what people said of them stays.
CREATE FUNCTION refuse_unknown_image() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    offender bigint;
BEGIN
    SELECT new_row.image_id INTO offender
    FROM new_row
    LEFT JOIN image USING (image_id, captured_at)
    WHERE image.image_id IS NULL
    LIMIT 1;
    IF offender IS NOT NULL THEN
        RAISE EXCEPTION 'there is no image % captured at that time to label', offender
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'label_image_known',
            HINT = 'Take image_id and captured_at from the table image.';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER image_known AFTER INSERT ON label
    REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION refuse_unknown_image();

-- What happened to each model, and who answers for it. Written in the transaction that changes `model.state`.
CREATE TABLE model_event (
    event_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id    bigint NOT NULL REFERENCES model (model_id),
    event       text NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now(),
    who         text NOT NULL,
    why         text NOT NULL DEFAULT '',
    metrics     jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT model_event_event_check CHECK (event IN ('registered', 'promoted', 'retired', 'rolled_back')),
    CONSTRAINT model_event_who_check CHECK (who <> '')
);
CREATE INDEX model_event_model_idx ON model_event (model_id, event_id);

-- Models from before this table: what their rows say of them.
INSERT INTO model_event (model_id, event, happened_at, who, why)
SELECT model_id, event, happened_at, 'migration', 'from before events were kept'
FROM (
    SELECT model_id, 'registered' AS event, registered_at AS happened_at, 1 AS place FROM model
    UNION ALL
    SELECT model_id, 'promoted', promoted_at, 2 FROM model WHERE promoted_at IS NOT NULL
    UNION ALL
    SELECT model_id, 'retired', promoted_at, 3 FROM model WHERE state = 'retired'
) AS before
ORDER BY happened_at, place;

CREATE TABLE retrain_run (
    retrain_id      uuid PRIMARY KEY,
    flow_run_id     uuid,
    state           text NOT NULL DEFAULT 'running',
    phase           text NOT NULL DEFAULT 'snapshot',
    who             text NOT NULL,
    started_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    -- The hash of what the run was given: each image's uri, label and bytes.
    snapshot_sha256 text,
    images          bigint,
    new_labels      bigint,
    outcome         text,
    why             text,
    challenger_id   bigint REFERENCES model (model_id),
    -- The champion that the challenger was compared with; NULL where there was none.
    champion_id     bigint REFERENCES model (model_id),
    comparison      jsonb,
    CONSTRAINT retrain_run_state_check CHECK (state IN ('running', 'completed', 'failed', 'died')),
    CONSTRAINT retrain_run_outcome_check CHECK (outcome IN ('too_few_labels', 'candidate', 'promoted')),
    -- A run that ended says when; one that runs has not ended.
    CONSTRAINT retrain_run_finished_check CHECK ((state = 'running') = (finished_at IS NULL)),
    -- What a completed run came to, it says; a run that failed came to nothing.
    CONSTRAINT retrain_run_completed_check CHECK ((state = 'completed') = (outcome IS NOT NULL)),
    CONSTRAINT retrain_run_challenger_check CHECK (
        (coalesce(outcome, 'too_few_labels') = 'too_few_labels') = (challenger_id IS NULL))
);
-- Retraining holds one advisory lock, so at most one runs; what else says so has died.
CREATE UNIQUE INDEX retrain_run_running_key ON retrain_run (state) WHERE state = 'running';
CREATE INDEX retrain_run_started_idx ON retrain_run (started_at);

-- Which labels completed retrainings have been given: an image when it first came, and again when its label changed.
-- What is not here is new to the next one.
CREATE TABLE snapshot_label (
    uri        text NOT NULL,
    retrain_id uuid NOT NULL REFERENCES retrain_run (retrain_id),
    label      text NOT NULL,
    CONSTRAINT snapshot_label_pkey PRIMARY KEY (uri, retrain_id),
    CONSTRAINT snapshot_label_label_check CHECK (label IN ('ok', 'defective'))
);

-- Castings on which models are compared and never trained. A copy of each picture lies with the models, under
-- golden/<sha256>, so that the set outlives the bucket's images.
CREATE TABLE golden_image (
    -- The picture itself: the same bytes under two names are one image of the set.
    sha256    bytea PRIMARY KEY,
    uri       text NOT NULL,
    label     text NOT NULL,
    -- Images of one casting carry the same number.
    casting   bigint NOT NULL,
    part_id   text,
    frozen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT golden_image_sha256_check CHECK (octet_length(sha256) = 32),
    CONSTRAINT golden_image_label_check CHECK (label IN ('ok', 'defective'))
);
-- A label that changes is looked up by its image.
CREATE INDEX golden_image_uri_idx ON golden_image (uri);

-- Who said what, and what a model was compared on, is never rewritten.
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON label FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON model_event FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON snapshot_label FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON golden_image FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON label FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON model_event FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON snapshot_label FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON golden_image FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
