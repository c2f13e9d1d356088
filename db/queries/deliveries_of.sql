-- What channels have been sent of an alert, oldest first.
SELECT
    delivery.channel, alert_event.event, delivery.created_at, delivery.attempts, delivery.delivered_at,
    delivery.last_error, delivery.payload ? 'told_by' OR delivery.payload ? 'digest_of' AS in_digest
FROM delivery
JOIN alert_event USING (event_id)
WHERE delivery.alert_id = :alert_id
ORDER BY delivery.delivery_id
