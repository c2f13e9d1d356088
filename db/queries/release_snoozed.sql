-- Lets go the messages that a snooze has held and no other snooze holds still.
UPDATE delivery
SET next_attempt_at = clock_timestamp()
FROM alert
WHERE alert.alert_id = delivery.alert_id
  AND delivery.delivered_at IS NULL AND delivery.attempts = 0 AND delivery.next_attempt_at > clock_timestamp()
  AND NOT delivery.payload ? 'told_by'
  AND (:line = '' OR alert.line = :line)
  AND NOT EXISTS (
      SELECT FROM snooze
      WHERE snooze.line IN (alert.line, '') AND snooze.since <= clock_timestamp() AND snooze.until > clock_timestamp())
