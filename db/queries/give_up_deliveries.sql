-- Stops trying what could not be delivered for too long; it stays in the table, undelivered, with what went wrong.
-- How old a message is, the clock that wrote it decides: a scoring machine's own may be days off.
UPDATE delivery
SET next_attempt_at = :never,
    last_error = 'Given up. ' || coalesce(last_error, 'The channel is not set any more.')
WHERE delivered_at IS NULL AND created_at < clock_timestamp() - CAST(:after AS interval) AND next_attempt_at < :never
  AND NOT payload ? 'told_by'
  -- What is being sent at this moment may yet arrive.
  AND delivery_id IN (SELECT locked.delivery_id FROM delivery AS locked
                      WHERE locked.delivered_at IS NULL
                        AND locked.created_at < clock_timestamp() - CAST(:after AS interval)
                      FOR UPDATE SKIP LOCKED)
