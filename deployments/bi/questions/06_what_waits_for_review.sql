-- Which parts of the last 7 days does a person still have to look at? The likeliest defective ones first.
SELECT line_name, part_id, captured_at, p_defective, worst_view, picture
FROM bi.part
WHERE captured_at >= now() - interval '7 days' AND verdict = 'review' AND label IS NULL
ORDER BY p_defective DESC, captured_at;
