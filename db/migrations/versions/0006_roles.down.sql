-- Takes the rights in this database back, and gives everybody what they had. The roles stay: they are the cluster's.
DO $$
DECLARE
    held text;
    ours record;
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
    FOREACH held IN ARRAY ARRAY['casting_owner', 'casting_writer', 'casting_reviewer', 'casting_reader'] LOOP
        CONTINUE WHEN to_regrole(held) IS NULL OR held = current_user;
        EXECUTE format('REVOKE ALL ON FUNCTION ensure_month FROM %I', held);
        FOR ours IN
            SELECT format('%I.%I', nspname, relname) AS name
            FROM pg_class
            JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE nspname IN ('public', 'bi', 'month') AND relkind IN ('r', 'p') AND pg_has_role(relowner, 'USAGE')
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %I', ours.name, held);
        END LOOP;
        EXECUTE format('REVOKE ALL ON SCHEMA public, bi, month FROM %I', held);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION ensure_month TO PUBLIC;
