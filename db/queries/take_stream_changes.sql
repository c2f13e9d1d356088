-- Takes away the marks of what was judged since the last watch, and gives the hours they stand for, oldest first.
-- Hours that lie ahead are left for their time: a camera whose clock runs fast must not hide what comes after it.
WITH taken AS (DELETE FROM stream_change WHERE hour <= :latest RETURNING stream, hour)
SELECT DISTINCT stream, hour FROM taken ORDER BY hour, stream
