-- line_attribute_hour: one row a line, hour (UTC) and value of a part attribute, exact at every moment: from the roll-up
-- `attribute_hour`, and of line-days that changed since, recounted.
CREATE VIEW line_attribute_hour AS
SELECT line, hour, key, value, inspected, defective
FROM attribute_hour
WHERE (line, (hour AT TIME ZONE 'UTC')::date) NOT IN (SELECT line, day FROM stale_line_day)
UNION ALL
SELECT
    part.line,
    date_trunc('hour', part.captured_at, 'UTC'),
    attribute.key,
    attribute.value,
    count(*),
    count(*) FILTER (WHERE part.verdict = 'defective')
FROM recounted_part AS part
JOIN part_attribute AS attribute
    ON attribute.day = part.day AND attribute.line = part.line AND attribute.part_id = part.part_id
GROUP BY 1, 2, 3, 4;

COMMENT ON VIEW line_attribute_hour IS 'Parts by line, hour of capture (UTC) and part attribute.';
COMMENT ON COLUMN line_attribute_hour.inspected IS 'Parts with a verdict. Parts count in the hour of their first image.';
