-- Parts and pictures of a stretch of time, of one line or (line NULL) of all.
SELECT
    coalesce(sum(inspected), 0)::bigint AS inspected,
    coalesce(sum(ok), 0)::bigint AS ok,
    coalesce(sum(defective), 0)::bigint AS defective,
    coalesce(sum(review), 0)::bigint AS review,
    coalesce(sum(quarantined), 0)::bigint AS quarantined,
    coalesce(sum(backlog), 0)::bigint AS backlog
FROM line_hour
WHERE hour >= :since AND hour < :until AND (CAST(:line AS text) IS NULL OR line = :line)
