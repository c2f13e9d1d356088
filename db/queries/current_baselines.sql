-- The baselines that charts may stand on: of each kind and stream the newest from before the look-back, and all since.
SELECT *
FROM baseline
WHERE valid_from >= :since OR baseline_id IN (
    SELECT DISTINCT ON (kind, stream) baseline_id
    FROM baseline
    WHERE valid_from < :since
    ORDER BY kind, stream, valid_from DESC, baseline_id DESC)
ORDER BY valid_from, baseline_id
