-- Every view and function outside Postgres' own schemas, with its comment: by that it is known which ones are ours.
SELECT
    'VIEW' AS kind,
    nspname || '.' || relname AS name,
    format('%I.%I', nspname, relname) AS signature,
    coalesce(obj_description(pg_class.oid, 'pg_class'), '') AS comment
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'v' AND nspname NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT
    'FUNCTION',
    nspname || '.' || proname,
    format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)),
    coalesce(obj_description(pg_proc.oid, 'pg_proc'), '')
FROM pg_proc
JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE prokind = 'f' AND nspname NOT IN ('pg_catalog', 'information_schema')
