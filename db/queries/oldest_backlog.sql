-- When the picture became known that has waited longest for an outcome; asked only where the last run left some.
SELECT min(image.discovered_at)
FROM image
WHERE image.captured_at >= :since AND image.captured_at < :until
  AND NOT EXISTS (
      SELECT FROM verdict
      WHERE verdict.image_id = image.image_id AND verdict.captured_at = image.captured_at
        AND verdict.captured_at >= :since AND verdict.captured_at < :until)
  AND NOT EXISTS (
      SELECT FROM quarantine
      WHERE quarantine.image_id = image.image_id AND quarantine.captured_at = image.captured_at
        AND quarantine.captured_at >= :since AND quarantine.captured_at < :until)
