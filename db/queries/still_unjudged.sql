-- Of images that this transaction has locked, those that have no outcome yet. Nobody can give them one meanwhile.
SELECT image_id, captured_at, uri, etag, size
FROM image
WHERE image_id = ANY (:image_ids) AND captured_at BETWEEN :captured_from AND :captured_to
  AND NOT EXISTS (
      SELECT FROM verdict
      WHERE verdict.image_id = image.image_id AND verdict.captured_at = image.captured_at
        AND verdict.model_id = :model_id AND verdict.captured_at BETWEEN :captured_from AND :captured_to)
  AND NOT EXISTS (
      SELECT FROM quarantine
      WHERE quarantine.image_id = image.image_id AND quarantine.captured_at = image.captured_at
        AND quarantine.captured_at BETWEEN :captured_from AND :captured_to)
ORDER BY image_id
