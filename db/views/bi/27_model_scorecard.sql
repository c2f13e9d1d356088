-- bi.model_scorecard: each model before the eyes of the reviewers: how often they agree with it, and what it missed.
-- Counted over images that people have labelled. They label what they were shown, mostly review and alarms, so that the
-- rates compare models on like work, and do not say how many escapes there are among all parts.
CREATE VIEW bi.model_scorecard AS
SELECT
    model.version AS model,
    model.state,
    model.registered_at,
    model.promoted_at,
    coalesce(judged.judged, 0) AS judged,
    coalesce(said.reviewed, 0) AS reviewed,
    coalesce(said.reviewed_defective, 0) AS reviewed_defective,
    coalesce(said.reviewed_ok, 0) AS reviewed_ok,
    coalesce(said.escapes, 0) AS escapes,
    said.escapes::double precision / nullif(said.reviewed_defective, 0) AS escape_rate,
    CASE WHEN said.reviewed_defective > 0 THEN bi.exact_low(said.escapes, said.reviewed_defective) END AS escape_rate_low,
    CASE WHEN said.reviewed_defective > 0 THEN bi.exact_high(said.escapes, said.reviewed_defective) END AS escape_rate_high,
    coalesce(said.false_rejects, 0) AS false_rejects,
    said.false_rejects::double precision / nullif(said.reviewed_ok, 0) AS false_reject_rate,
    CASE WHEN said.reviewed_ok > 0 THEN bi.exact_low(said.false_rejects, said.reviewed_ok) END AS false_reject_rate_low,
    CASE WHEN said.reviewed_ok > 0 THEN bi.exact_high(said.false_rejects, said.reviewed_ok) END AS false_reject_rate_high,
    coalesce(said.left_to_review, 0) AS left_to_review,
    kappa.agreement,
    (kappa.agreement - kappa.by_chance) / nullif(1 - kappa.by_chance, 0) AS cohens_kappa
FROM model
LEFT JOIN (
    SELECT model_id, sum(scored)::bigint AS judged FROM scoring_run GROUP BY model_id
) AS judged USING (model_id)
LEFT JOIN (
    SELECT
        verdict.model_id,
        count(*) AS reviewed,
        count(*) FILTER (WHERE label.label = 'defective') AS reviewed_defective,
        count(*) FILTER (WHERE label.label = 'ok') AS reviewed_ok,
        count(*) FILTER (WHERE label.label = 'defective' AND verdict.verdict = 'ok') AS escapes,
        count(*) FILTER (WHERE label.label = 'ok' AND verdict.verdict = 'defective') AS false_rejects,
        count(*) FILTER (WHERE label.label = 'defective' AND verdict.verdict = 'defective') AS both_defective,
        count(*) FILTER (WHERE label.label = 'ok' AND verdict.verdict = 'ok') AS both_ok,
        count(*) FILTER (WHERE verdict.verdict = 'review') AS left_to_review
    FROM (
        SELECT DISTINCT ON (image_id, captured_at) image_id, captured_at, label
        FROM label
        ORDER BY image_id, captured_at, labelled_at DESC, label_id DESC
    ) AS label
    CROSS JOIN LATERAL (
        SELECT verdict.model_id, verdict.verdict
        FROM verdict
        WHERE verdict.image_id = label.image_id AND verdict.captured_at = label.captured_at
        -- Labels are few: their verdicts are looked up, not found among all there are.
        OFFSET 0
    ) AS verdict
    GROUP BY verdict.model_id
) AS said USING (model_id)
LEFT JOIN LATERAL (
    SELECT
        (said.both_defective + said.both_ok) / nullif(decided, 0) AS agreement,
        ((said.both_defective + said.false_rejects) * (said.both_defective + said.escapes)
            + (said.both_ok + said.escapes) * (said.both_ok + said.false_rejects)) / nullif(decided ^ 2, 0) AS by_chance
    FROM (
        SELECT (said.reviewed - said.left_to_review)::double precision AS decided
    ) AS total
) AS kappa ON true;

COMMENT ON VIEW bi.model_scorecard IS 'One row a model: what it judged, and how reviewers saw it.';
COMMENT ON COLUMN bi.model_scorecard.model IS 'Version of the model.';
COMMENT ON COLUMN bi.model_scorecard.state IS 'candidate, champion (it judges) or retired.';
COMMENT ON COLUMN bi.model_scorecard.registered_at IS 'When it was registered.';
COMMENT ON COLUMN bi.model_scorecard.promoted_at IS 'When it became the champion the last time; NULL if it never did.';
COMMENT ON COLUMN bi.model_scorecard.judged IS 'Images that it has judged.';
COMMENT ON COLUMN bi.model_scorecard.reviewed IS 'Images among them that people have labelled; the newest label counts.';
COMMENT ON COLUMN bi.model_scorecard.reviewed_defective IS 'Images among the reviewed that people call defective.';
COMMENT ON COLUMN bi.model_scorecard.reviewed_ok IS 'Images among the reviewed that people call ok.';
COMMENT ON COLUMN bi.model_scorecard.escapes IS 'Images that it passed as ok and people call defective.';
COMMENT ON COLUMN bi.model_scorecard.escape_rate IS 'Escapes per image that people call defective.';
COMMENT ON COLUMN bi.model_scorecard.escape_rate_low IS 'Lower limit of the exact 95 % confidence interval of the escape rate.';
COMMENT ON COLUMN bi.model_scorecard.escape_rate_high IS 'Upper limit of the exact 95 % confidence interval of the escape rate.';
COMMENT ON COLUMN bi.model_scorecard.false_rejects IS 'Images that it called defective and people call ok.';
COMMENT ON COLUMN bi.model_scorecard.false_reject_rate IS 'False rejects per image that people call ok.';
COMMENT ON COLUMN bi.model_scorecard.false_reject_rate_low IS
    'Lower limit of the exact 95 % confidence interval of the false reject rate.';
COMMENT ON COLUMN bi.model_scorecard.false_reject_rate_high IS
    'Upper limit of the exact 95 % confidence interval of the false reject rate.';
COMMENT ON COLUMN bi.model_scorecard.left_to_review IS 'Reviewed images that it left for people to decide.';
COMMENT ON COLUMN bi.model_scorecard.agreement IS
    'Share of the reviewed images on which it agrees with people, without those it left to them.';
COMMENT ON COLUMN bi.model_scorecard.cohens_kappa IS
    'Agreement beyond chance: 1 is perfect, 0 is chance (Cohen 1960, Educational and Psychological Measurement 20, 37-46).';
