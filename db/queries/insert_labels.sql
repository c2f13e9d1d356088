-- Records labels, but not those that say again what the same person said last of that image (with a time given: what
-- was recorded of that person and time already). Answers, for each row it wrote, whether it changed the label that
-- counted before; NULL is the first label of an image.
WITH given AS (
    SELECT *
    FROM unnest(
        CAST(:image_ids AS bigint[]), CAST(:captured_ats AS timestamptz[]), CAST(:labels AS text[]),
        CAST(:whos AS text[]), CAST(:whys AS text[]), CAST(:labelled_ats AS timestamptz[]))
        AS given (image_id, captured_at, label, who, why, labelled_at)
), fresh AS (
    SELECT given.*, newest.label AS before
    FROM given
    LEFT JOIN LATERAL (
        SELECT label.label, label.who
        FROM label
        WHERE label.image_id = given.image_id AND label.captured_at = given.captured_at
        ORDER BY label.labelled_at DESC, label.label_id DESC
        LIMIT 1) AS newest ON true
    WHERE CASE
        WHEN given.labelled_at IS NULL THEN (newest.label, newest.who) IS DISTINCT FROM (given.label, given.who)
        ELSE NOT EXISTS (
            SELECT FROM label
            WHERE label.image_id = given.image_id AND label.captured_at = given.captured_at
              AND label.label = given.label AND label.who = given.who AND label.labelled_at = given.labelled_at)
        END
), written AS (
    INSERT INTO label (image_id, captured_at, label, who, why, labelled_at)
    SELECT image_id, captured_at, label, who, why, coalesce(labelled_at, now())
    FROM fresh
)
SELECT before IS DISTINCT FROM label AND before IS NOT NULL AS changed
FROM fresh
