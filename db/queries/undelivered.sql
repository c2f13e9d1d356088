-- What has not been delivered, by channel: how many messages wait and were given up, since when, and why.
SELECT
    channel,
    count(*) FILTER (WHERE next_attempt_at < :never OR payload ? 'told_by') AS waiting,
    count(*) FILTER (WHERE next_attempt_at >= :never AND NOT payload ? 'told_by') AS given_up,
    max(attempts) AS attempts,
    min(created_at) AS oldest,
    (array_agg(last_error ORDER BY delivery_id DESC) FILTER (WHERE last_error IS NOT NULL))[1] AS last_error
FROM delivery
WHERE delivered_at IS NULL AND created_at >= :since
  -- What a snooze holds back is no failure.
  AND (attempts > 0 OR next_attempt_at <= clock_timestamp() OR next_attempt_at >= :never)
GROUP BY channel
ORDER BY channel
