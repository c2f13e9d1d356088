-- Every verdict and quarantined picture of some lines in a stretch of time, a column a value: a million of them are a
-- few strings of bytes this way, and numpy reads those as they are. Which verdict of a picture counts, which picture
-- of a part, and in which order parts were made, is decided in casting_core/production.py by `key`, `image_id` and
-- `rank` (the champion's verdict, else the newest).
-- Times are in microseconds since 2000, everything in network byte order.
WITH seen AS (
    SELECT
        image.line, image.captured_at, image.part_id, image.uri, image.image_id, verdict.p_defective, verdict.model_id,
        CASE verdict.verdict WHEN 'ok' THEN '\x00'::bytea WHEN 'review' THEN '\x01' ELSE '\x02' END AS outcome,
        CASE WHEN model.state = 'champion' THEN 'infinity' ELSE verdict.judged_at END AS rank
    FROM image
    JOIN verdict USING (image_id, captured_at)
    JOIN model USING (model_id)
    WHERE image.captured_at >= :since AND image.captured_at < :until AND image.line = ANY (:lines)
      AND verdict.captured_at >= :since AND verdict.captured_at < :until
    UNION ALL
    SELECT
        image.line, image.captured_at, image.part_id, image.uri, image.image_id, 0, 0, '\x03', quarantine.quarantined_at
    FROM image
    JOIN quarantine USING (image_id, captured_at)
    WHERE image.captured_at >= :since AND image.captured_at < :until AND image.line = ANY (:lines)
      AND quarantine.captured_at >= :since AND quarantine.captured_at < :until
)
SELECT
    string_agg(int2send(CAST(array_position(:lines, line) AS smallint)), '') AS line,
    string_agg(timestamptz_send(captured_at), '') AS captured_at,
    string_agg(outcome, '') AS outcome,
    string_agg(float8send(p_defective), '') AS p_defective,
    -- No text holds a zero byte.
    string_agg(convert_to(part_id, 'UTF8'), '\x00') AS part_id,
    string_agg(int8send(model_id), '') AS model_id,
    string_agg(int8send(hashtextextended(uri, 0)), '') AS key,
    string_agg(int8send(image_id), '') AS image_id,
    string_agg(timestamptz_send(rank), '') AS rank
FROM seen
