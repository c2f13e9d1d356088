-- The images at some addresses. A picture that was overwritten is several images; the newest one is meant.
SELECT DISTINCT ON (uri) uri, image_id, captured_at
FROM image
WHERE uri = ANY (:uris)
ORDER BY uri, image_id DESC
