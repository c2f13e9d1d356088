-- Hours of a stretch of time in which what the views show differs from a recount, with both.
-- Written another way than the views on purpose, set by set instead of line-day by line-day: a check that shared their
-- definition would prove nothing. One statement, hence one moment: writers and refreshes may go on meanwhile.
WITH newest AS (
    SELECT DISTINCT ON (judged.captured_at, judged.uri)
        judged.line, judged.part_id, judged.captured_at, judged.verdict, judged.p_defective, said.label
    FROM current_verdict AS judged
    LEFT JOIN current_label AS said ON said.image_id = judged.image_id AND said.captured_at = judged.captured_at
    WHERE judged.captured_at >= :since AND judged.captured_at < :until
    ORDER BY judged.captured_at, judged.uri, judged.image_id DESC
), parts AS MATERIALIZED (
    SELECT
        line,
        part_id,
        (captured_at AT TIME ZONE 'UTC')::date AS day,
        min(captured_at) AS captured_at,
        -- Of the three words the worst comes first, once ok is put last.
        min(CASE verdict WHEN 'ok' THEN 'unharmed' ELSE verdict END) AS worst,
        max(p_defective) AS p_defective,
        count(*) AS views,
        min(label) AS label
    FROM newest
    GROUP BY line, part_id, day
), part_hours AS (
    SELECT
        line,
        date_trunc('hour', captured_at, 'UTC') AS hour,
        count(*) AS inspected,
        sum((worst = 'unharmed')::int) AS ok,
        sum((worst = 'defective')::int) AS defective,
        sum((worst = 'review')::int) AS review,
        sum(p_defective)::numeric(20, 6) AS p_sum,
        sum((label IS NOT NULL)::int) AS labelled,
        sum((label IS NOT DISTINCT FROM 'defective')::int) AS labelled_defective,
        sum((label IS NOT DISTINCT FROM 'defective' AND worst = 'unharmed')::int) AS escapes,
        sum((label IS NOT DISTINCT FROM 'ok' AND worst = 'defective')::int) AS false_rejects
    FROM parts
    GROUP BY line, hour
), other_parts AS (
    -- Hours whose sums may agree while their parts do not.
    SELECT
        line,
        date_trunc('hour', coalesce(parts.captured_at, shown.captured_at), 'UTC') AS hour,
        count(*) AS other_parts
    FROM parts
    FULL JOIN (
        SELECT * FROM part_verdict WHERE captured_at >= :since AND captured_at < :until
    ) AS shown USING (line, part_id, day)
    WHERE (parts.captured_at, replace(parts.worst, 'unharmed', 'ok'), parts.p_defective, parts.views, parts.label)
        IS DISTINCT FROM (shown.captured_at, shown.verdict, shown.p_defective, shown.views, shown.label)
    GROUP BY line, hour
), attribute_hours AS (
    SELECT line, hour, jsonb_object_agg(key || ' ' || value, to_jsonb(ARRAY[inspected, defective])) AS attributes
    FROM (
        SELECT
            line, date_trunc('hour', parts.captured_at, 'UTC') AS hour, key, value, count(*) AS inspected,
            sum((worst = 'defective')::int) AS defective
        FROM parts
        JOIN part_attribute USING (line, part_id, day)
        GROUP BY line, hour, key, value
    ) AS by_value
    GROUP BY line, hour
), image_hours AS (
    SELECT
        line,
        date_trunc('hour', captured_at, 'UTC') AS hour,
        count(*) AS images,
        count(judged.image_id) AS scored,
        count(set_aside.image_id) AS quarantined,
        sum((judged.image_id IS NULL AND set_aside.image_id IS NULL)::int) AS backlog,
        extract(epoch FROM max(judged.first - captured_at))::numeric(20, 3) AS lag_max_seconds
    FROM image
    LEFT JOIN (
        SELECT image_id, captured_at, min(judged_at) AS first
        FROM verdict
        WHERE captured_at >= :since AND captured_at < :until
        GROUP BY image_id, captured_at
    ) AS judged USING (image_id, captured_at)
    LEFT JOIN (
        SELECT image_id, captured_at FROM quarantine WHERE captured_at >= :since AND captured_at < :until
    ) AS set_aside USING (image_id, captured_at)
    WHERE captured_at >= :since AND captured_at < :until
    GROUP BY line, hour
), counted AS (
    SELECT
        line, hour, coalesce(inspected, 0) AS inspected, coalesce(ok, 0) AS ok, coalesce(defective, 0) AS defective,
        coalesce(review, 0) AS review, coalesce(p_sum, 0)::numeric(20, 6) AS p_sum, coalesce(labelled, 0) AS labelled,
        coalesce(labelled_defective, 0) AS labelled_defective, coalesce(escapes, 0) AS escapes,
        coalesce(false_rejects, 0) AS false_rejects, images, scored, quarantined, backlog, lag_max_seconds,
        coalesce(other_parts, 0) AS other_parts, attributes
    FROM image_hours
    LEFT JOIN part_hours USING (line, hour)
    LEFT JOIN other_parts USING (line, hour)
    LEFT JOIN attribute_hours USING (line, hour)
), shown AS (
    SELECT
        line, hour, inspected, ok, defective, review, p_sum::numeric(20, 6) AS p_sum, labelled, labelled_defective,
        escapes, false_rejects, images, scored, quarantined, backlog,
        lag_max_seconds::numeric(20, 3) AS lag_max_seconds, 0::bigint AS other_parts, attributes
    FROM (SELECT * FROM line_hour WHERE hour >= :since AND hour < :until) AS hours
    FULL JOIN (
        SELECT line, hour, jsonb_object_agg(key || ' ' || value, to_jsonb(ARRAY[inspected, defective])) AS attributes
        FROM line_attribute_hour
        WHERE hour >= :since AND hour < :until
        GROUP BY line, hour
    ) AS attribute_hours USING (line, hour)
)
SELECT line, hour, to_jsonb(counted) AS counted, to_jsonb(shown) AS shown
FROM counted
FULL JOIN shown USING (line, hour)
WHERE to_jsonb(counted) IS DISTINCT FROM to_jsonb(shown)
ORDER BY hour, line
