-- What each role may do in this database; run after every change of tables or views.
-- Roles are made by 0006_roles.sql. Rights are counted up, never by "all but": a new table is closed until it is here.
-- Only what belongs to the user that runs this is touched: others may have tables of their own beside ours.

-- Nobody may do anything merely by having a connection. A table of one's own, be it temporary, would be a way to write.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION ensure_month, bi.add_label, bi.acknowledge_alert FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO casting_owner', current_database());
END $$;

-- casting_reader: schema bi, and nothing beside it.
-- casting_reviewer: a reader who also labels parts and acknowledges alerts, through two functions only.
GRANT USAGE ON SCHEMA bi TO casting_reader, casting_reviewer, casting_writer, casting_owner;
GRANT EXECUTE ON FUNCTION bi.add_label, bi.acknowledge_alert TO casting_reviewer, casting_owner;

-- casting_writer: what the flows do. History stays append-only; the schema is not theirs.
GRANT USAGE ON SCHEMA public, month TO casting_writer;
GRANT INSERT ON
    image, verdict, quarantine, scoring_run, run_stage, model, model_event, label, retrain_run, snapshot_label, golden_image,
    baseline, stream_state, stream_change, alert, alert_event, delivery, snooze, maintenance_window, part,
    part_hour, attribute_hour, rollup_stale
TO casting_writer;
-- UPDATE of `image` is what a claim's row lock asks for; a trigger refuses changes.
GRANT UPDATE ON
    image, scoring_run, run_stage, model, retrain_run, stream_state, alert, delivery, snooze, maintenance_window, part,
    part_hour, attribute_hour
TO casting_writer;
GRANT DELETE ON
    stream_state, stream_change, delivery, rollup_stale, part, attribute_hour, snooze, maintenance_window
TO casting_writer;
GRANT EXECUTE ON FUNCTION ensure_month TO casting_writer, casting_owner;

-- casting_owner: everything in these schemas. What changes or drops tables (upgrades, archiving) asks for the user who
-- made them: best this very role.
GRANT ALL ON SCHEMA public, bi, month TO casting_owner;
DO $$
DECLARE
    ours record;
BEGIN
    FOR ours IN
        SELECT nspname AS inside, format('%I.%I', nspname, relname) AS name
        FROM pg_class
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname IN ('public', 'bi', 'month') AND relkind IN ('r', 'p', 'v') AND pg_has_role(relowner, 'USAGE')
    LOOP
        EXECUTE format('GRANT ALL ON %s TO casting_owner', ours.name);
        IF ours.inside = 'bi' THEN
            EXECUTE format('GRANT SELECT ON %s TO casting_reader, casting_reviewer, casting_writer', ours.name);
        ELSIF ours.inside = 'public' THEN
            EXECUTE format('GRANT SELECT ON %s TO casting_writer', ours.name);
        END IF;
    END LOOP;
END $$;
