-- The tables that runs fill and that have changed so much since they were last analysed that plans for them go wrong:
-- by about as much as autovacuum waits for. Counts of changes come late, so size alone tells of what never was analysed.
-- Only the owner may analyse: where the flows are casting_writer, autovacuum does it, within a minute.
SELECT relid::regclass::text AS name
FROM pg_stat_user_tables JOIN pg_class ON pg_class.oid = relid
WHERE relid IN (
    SELECT inhrelid FROM pg_inherits
    WHERE inhparent IN ('image'::regclass, 'verdict'::regclass, 'quarantine'::regclass, 'part'::regclass))
  AND pg_has_role(relowner, 'USAGE')
  AND (n_mod_since_analyze > 500 + 0.1 * n_live_tup OR (reltuples < 0 AND pg_relation_size(relid) > 65536))
ORDER BY name
