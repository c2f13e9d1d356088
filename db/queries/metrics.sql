-- What a monitoring system asks every few seconds, one row a figure. Reads small tables only, never images or verdicts.
SELECT 'images_judged' AS figure, label, value::double precision
FROM (SELECT sum(ok), sum(defective), sum(review), sum(quarantined) FROM scoring_run) AS total (ok, d, r, q),
     LATERAL (VALUES ('ok', ok), ('defective', d), ('review', r), ('quarantined', q)) AS outcome (label, value)
WHERE value IS NOT NULL
UNION ALL
SELECT 'images_discovered', '', coalesce(sum(discovered), 0) FROM scoring_run
UNION ALL
SELECT 'stage_seconds', stage, sum(seconds) FROM run_stage GROUP BY stage
UNION ALL
SELECT 'last_run_stage_seconds', stage, seconds
FROM run_stage
WHERE run_id = (SELECT run_id FROM scoring_run WHERE state = 'completed' ORDER BY started_at DESC LIMIT 1)
UNION ALL
SELECT 'runs', state, count(*) FROM scoring_run GROUP BY state
UNION ALL
SELECT 'alerts_open', severity, count(*) FROM alert WHERE state <> 'resolved' GROUP BY severity
UNION ALL
SELECT 'deliveries_waiting', '', count(*) FROM delivery WHERE delivered_at IS NULL AND next_attempt_at < :never
UNION ALL
SELECT figure, '', value
FROM (
    SELECT backlog, seconds, extract(epoch FROM finished_at), extract(epoch FROM until),
        (scored + quarantined) / nullif(seconds, 0)
    FROM scoring_run
    WHERE state = 'completed'
    ORDER BY started_at DESC
    LIMIT 1) AS run (backlog, seconds, finished, until, rate),
    LATERAL (VALUES ('backlog', backlog), ('last_run_seconds', seconds), ('last_run_finished', finished),
        ('judged_until', until), ('last_run_rate', rate)) AS newest (figure, value)
WHERE value IS NOT NULL
