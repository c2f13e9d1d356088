-- Of images as they are labelled now, those that no completed retraining was given, or was given with another label.
WITH given AS (
    SELECT * FROM unnest(CAST(:uris AS text[]), CAST(:labels AS text[])) AS given (uri, label)
), before AS (
    SELECT DISTINCT ON (snapshot_label.uri) snapshot_label.uri, snapshot_label.label
    FROM snapshot_label
    JOIN retrain_run USING (retrain_id)
    WHERE snapshot_label.uri = ANY (:uris)
    ORDER BY snapshot_label.uri, retrain_run.started_at DESC
)
SELECT given.uri, given.label
FROM given
LEFT JOIN before USING (uri)
WHERE before.label IS DISTINCT FROM given.label
ORDER BY given.uri
