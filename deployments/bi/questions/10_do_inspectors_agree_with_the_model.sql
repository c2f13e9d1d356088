-- How often do inspectors agree with each model, and what did it miss?
SELECT model, state, judged, reviewed, escapes, escape_rate_high, false_rejects, agreement, cohens_kappa
FROM bi.model_scorecard
WHERE reviewed > 0
ORDER BY promoted_at DESC NULLS LAST;
