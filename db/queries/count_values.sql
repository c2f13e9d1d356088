-- How many streams an attribute makes in a stretch of time: its values, line by line.
SELECT count(*)
FROM (SELECT DISTINCT line, value FROM attribute_hour WHERE key = :key AND hour >= :since AND hour < :until) AS stream
