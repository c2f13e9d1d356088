-- Records that a message did not arrive, and when it is tried again: after 5, 10, 20 ... seconds, at most an hour; the
-- waits differ by a fifth, so that many messages do not come back at the same moment.
UPDATE delivery
SET attempts = attempts + 1,
    last_error = :error,
    next_attempt_at = clock_timestamp()
        + least(CAST(:first_seconds AS double precision) * 2 ^ least(attempts, 30), :most_seconds) * (0.9 + 0.2 * random()) * interval '1 second'
WHERE delivery_id = :delivery_id
