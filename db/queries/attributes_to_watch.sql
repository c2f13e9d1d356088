-- What else is known of the parts of some lines on some days, for the keys asked for: `key=value` with a unit separator
-- after each, a column a value as in verdicts_to_watch.sql. It is joined to the verdicts outside: nothing tells a planner
-- how many parts are known, and where it takes them for few, a join goes through all of them for every picture.
WITH known AS (
    SELECT line, day, part_id, string_agg(key || '=' || value || chr(31), '' ORDER BY key) AS attributes
    FROM part_attribute
    WHERE key = ANY (:keys) AND line = ANY (:lines) AND day BETWEEN :first AND :last
    GROUP BY line, day, part_id
)
SELECT
    string_agg(int2send(CAST(array_position(:lines, line) AS smallint)), '') AS line,
    string_agg(int4send(day - date '1970-01-01'), '') AS day,
    string_agg(convert_to(part_id, 'UTF8'), '\x00') AS part_id,
    string_agg(convert_to(attributes, 'UTF8'), '\x00') AS attributes
FROM known
