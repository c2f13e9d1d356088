-- Known images of a window that have no outcome at all, by whatever model: how many, of which lines, captured from when to
-- when, and when the one became known that has waited longest.
SELECT
    count(*) AS images,
    array_agg(DISTINCT image.line) AS lines,
    min(image.captured_at) AS captured_from,
    max(image.captured_at) AS captured_to,
    min(image.discovered_at) AS waiting_since
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
