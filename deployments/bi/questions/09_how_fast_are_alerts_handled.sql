-- How long do alerts of the last 30 days take to be found, to be acknowledged and to be ended? Medians by kind.
SELECT
    kind,
    count(*) AS alerts,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY minutes_to_detect) AS minutes_to_detect,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY minutes_to_acknowledge) AS minutes_to_acknowledge,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY minutes_to_resolve) AS minutes_to_resolve
FROM bi.alert_history
WHERE opened_at >= now() - interval '30 days'
GROUP BY kind
ORDER BY kind;
