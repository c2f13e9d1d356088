-- Where the time of scoring runs goes: seconds of work by stage, added with each chunk in the transaction that writes its
-- verdicts, so that they survive the process and fit the counts of the run beside them.
CREATE TABLE run_stage (
    run_id  uuid NOT NULL REFERENCES scoring_run (run_id),
    stage   text NOT NULL,
    seconds double precision NOT NULL,
    -- Chunks of one run add to the same row.
    CONSTRAINT run_stage_pkey PRIMARY KEY (run_id, stage),
    CONSTRAINT run_stage_stage_check CHECK (stage IN ('discover', 'fetch', 'decode', 'forward', 'write')),
    -- Also refuses NaN, which would make every later sum NaN.
    CONSTRAINT run_stage_seconds_check CHECK (seconds >= 0 AND seconds < 'Infinity')
);
