-- When people have closed alerts: from the next full hour on the chart begins anew.
SELECT stream, kind, resolved_at
FROM alert
WHERE resolved_at >= :since AND resolved_by <> 'watch'
ORDER BY resolved_at
