-- Who may read and write what: four roles. What each may do stands in db/grants.sql, which is run whenever the views are
-- made anew. Roles belong to the whole cluster, so another database of it may have made them already.
-- They may log in, since Postgres applies the limits below to the role that logs in; but they have no password until the
-- plant gives them one (deployments/DATABASE.md).
DO $$
DECLARE
    wanted text;
    limits text[];
BEGIN
    FOREACH wanted IN ARRAY ARRAY['casting_owner', 'casting_writer', 'casting_reviewer', 'casting_reader'] LOOP
        CONTINUE WHEN to_regrole(wanted) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        EXCEPTION
            -- Made by another database of the cluster in this very moment, limits included.
            WHEN duplicate_object OR unique_violation THEN CONTINUE;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the user % may not create the role %', current_user, wanted
                    USING ERRCODE = 'insufficient_privilege',
                        HINT = 'Let a database administrator run once: CREATE ROLE casting_owner LOGIN; '
                            || 'CREATE ROLE casting_writer LOGIN; CREATE ROLE casting_reviewer LOGIN; '
                            || 'CREATE ROLE casting_reader LOGIN; then run casting db upgrade again. '
                            || 'The limits to set on readers are in deployments/DATABASE.md.';
        END;
        limits := CASE wanted
            -- A question that takes longer is better asked of a copy; and readers cannot write, whatever they run.
            WHEN 'casting_reader' THEN ARRAY['statement_timeout = ''30s''', 'default_transaction_read_only = on',
                'idle_in_transaction_session_timeout = ''5min''']
            WHEN 'casting_reviewer' THEN ARRAY['statement_timeout = ''30s''',
                'idle_in_transaction_session_timeout = ''5min''']
            ELSE '{}'
        END;
        FOR i IN 1 .. cardinality(limits) LOOP
            EXECUTE format('ALTER ROLE %I SET %s', wanted, limits[i]);
        END LOOP;
    END LOOP;
END $$;
