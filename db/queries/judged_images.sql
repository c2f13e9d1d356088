-- Judged images of a stretch of time, the likeliest defective ones first.
SELECT line, part_id, uri, verdict, p_defective
FROM current_verdict
WHERE captured_at >= :since AND captured_at < :until
ORDER BY array_position(ARRAY['defective', 'review', 'ok'], verdict), p_defective DESC, uri
LIMIT :most
