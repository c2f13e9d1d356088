-- The backlog of a window: known images with neither a verdict by this model nor a quarantine, oldest first.
SELECT image_id, captured_at
FROM image
WHERE captured_at >= :since AND captured_at < :until
  AND (cardinality(CAST(:lines AS text[])) = 0 OR line = ANY (:lines))
  AND NOT EXISTS (
      SELECT FROM verdict
      WHERE verdict.image_id = image.image_id AND verdict.captured_at = image.captured_at
        AND verdict.model_id = :model_id AND verdict.captured_at >= :since AND verdict.captured_at < :until)
  AND NOT EXISTS (
      SELECT FROM quarantine
      WHERE quarantine.image_id = image.image_id AND quarantine.captured_at = image.captured_at
        AND quarantine.captured_at >= :since AND quarantine.captured_at < :until)
ORDER BY captured_at, image_id
