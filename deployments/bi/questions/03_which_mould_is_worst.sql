-- Which moulds made most of the defective parts in the last 30 days? (Needs the table part_attribute.)
SELECT value AS mould, inspected, defective, rate, cumulative_share
FROM bi.pareto_between(now() - interval '30 days', now())
WHERE dimension = 'mould'
ORDER BY rank;
