-- Which models judged the parts of a stretch of time, of one line or (line NULL) of all.
SELECT model.version, model.state, model.promoted_at, counted.parts
FROM (
    SELECT model_id, count(*) AS parts
    FROM part_verdict
    WHERE captured_at >= :since AND captured_at < :until AND (CAST(:line AS text) IS NULL OR line = :line)
    GROUP BY model_id
) AS counted
JOIN model USING (model_id)
ORDER BY counted.parts DESC, model.version
