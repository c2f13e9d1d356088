-- Takes the oldest message that is due on a channel, unless another deliverer is sending it: then that one goes on with
-- the channel, so that messages arrive in the order in which things happened. The lock ends with the transaction.
SELECT delivery_id, alert_id, event_id, channel, idempotency_key, payload, attempts
FROM delivery
WHERE delivery_id = (
        SELECT min(due.delivery_id)
        FROM delivery AS due
        WHERE due.channel = :channel AND due.delivered_at IS NULL AND due.next_attempt_at <= clock_timestamp())
  -- Asked again of the row as it is once locked: it may have been sent meanwhile.
  AND delivered_at IS NULL AND next_attempt_at <= clock_timestamp()
FOR UPDATE SKIP LOCKED
