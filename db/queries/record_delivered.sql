-- Records that a message arrived, and with a digest all messages that it tells of.
UPDATE delivery
SET delivered_at = clock_timestamp(), attempts = attempts + CAST(delivery_id = :delivery_id AS integer), last_error = NULL
WHERE delivered_at IS NULL
  AND (delivery_id = :delivery_id OR (channel = :channel AND payload @> jsonb_build_object('told_by', CAST(:delivery_id AS bigint))))
