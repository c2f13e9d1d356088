-- Takes the rights in this database back. The roles stay: they are the whole cluster's.
DO $$
DECLARE
    held   text;
    inside text;
BEGIN
    FOREACH held IN ARRAY ARRAY['casting_owner', 'casting_writer', 'casting_reviewer', 'casting_reader'] LOOP
        CONTINUE WHEN to_regrole(held) IS NULL OR held = current_user;
        FOREACH inside IN ARRAY ARRAY['public', 'bi', 'month'] LOOP
            EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', inside, held);
            EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA %I FROM %I', inside, held);
            EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %I FROM %I', inside, held);
            EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', inside, held);
        END LOOP;
    END LOOP;
END $$;
