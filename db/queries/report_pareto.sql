-- Where the defective parts of a stretch of time come from, of one line or (line NULL) of all.
SELECT dimension, value, inspected, defective, cumulative_share
FROM bi.pareto_between(:since, :until, CAST(:line AS text))
ORDER BY dimension, rank
