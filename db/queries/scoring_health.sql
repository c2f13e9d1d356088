-- How scoring does: when it was first begun, when it last completed, how its newest run ended, and what it left waiting.
SELECT
    (SELECT min(started_at) FROM scoring_run) AS first_run,
    (SELECT max(finished_at) FROM scoring_run WHERE state = 'completed') AS last_completed,
    (SELECT max(until) FROM scoring_run WHERE state = 'completed') AS covered_until,
    newest.state AS last_state,
    coalesce((SELECT backlog FROM scoring_run WHERE backlog IS NOT NULL AND state <> 'running'
              ORDER BY started_at DESC LIMIT 1), 0) AS backlog
FROM (SELECT 1) AS one
LEFT JOIN LATERAL (SELECT state FROM scoring_run ORDER BY started_at DESC LIMIT 1) AS newest ON true
