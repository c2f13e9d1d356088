-- What each role may do in this database; run after every change of tables or views.
-- Roles are made by 0006_roles.sql. Rights are counted up, never by "all but": a new table is closed until it is here.

-- Nobody may do anything merely by having a connection.
REVOKE ALL ON SCHEMA public, month FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA bi FROM PUBLIC;

-- casting_reader: schema bi, and nothing beside it.
GRANT USAGE ON SCHEMA bi TO casting_reader, casting_reviewer, casting_writer, casting_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA bi TO casting_reader, casting_reviewer, casting_writer, casting_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA bi TO casting_reader, casting_reviewer, casting_writer, casting_owner;
REVOKE EXECUTE ON FUNCTION bi.add_label, bi.acknowledge_alert FROM casting_reader, casting_writer;

-- casting_reviewer: a reader who also labels parts and acknowledges alerts, through the two functions above only.

-- casting_writer: what the flows do. History stays append-only; the schema is not theirs.
GRANT USAGE ON SCHEMA public, month TO casting_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO casting_writer;
GRANT INSERT ON
    image, verdict, quarantine, scoring_run, model, model_event, label, retrain_run, snapshot_label, golden_image,
    baseline, stream_state, stream_change, alert, alert_event, delivery, snooze, maintenance_window, part,
    part_hour, rollup_stale
TO casting_writer;
-- UPDATE of `image` is what a claim's row lock asks for; a trigger refuses changes.
GRANT UPDATE ON
    image, scoring_run, model, retrain_run, stream_state, alert, delivery, snooze, maintenance_window, part, part_hour
TO casting_writer;
GRANT DELETE ON stream_state, stream_change, delivery, rollup_stale, part, snooze, maintenance_window TO casting_writer;
GRANT EXECUTE ON FUNCTION ensure_month TO casting_writer;

-- casting_owner: everything in these schemas. What changes or drops tables (upgrades, archiving) asks for the user who
-- made them: best this very role.
GRANT ALL ON SCHEMA public, bi, month TO casting_owner;
GRANT ALL ON ALL TABLES IN SCHEMA public, bi, month TO casting_owner;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public, bi, month TO casting_owner;
GRANT ALL ON ALL FUNCTIONS IN SCHEMA public, bi TO casting_owner;

-- A table of its own would be a way to write.
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO casting_owner', current_database());
END $$;
