-- Takes the messages of a channel that are due and not part of a digest yet, so that many can be told in one.
SELECT delivery_id, alert_id, event_id, channel, idempotency_key, payload, attempts
FROM delivery
WHERE channel = :channel AND delivered_at IS NULL AND next_attempt_at <= clock_timestamp()
  AND NOT payload ?| ARRAY['digest_of', 'told_by']
ORDER BY delivery_id
FOR UPDATE SKIP LOCKED
