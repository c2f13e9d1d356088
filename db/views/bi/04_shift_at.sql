-- shift_at: the shift of a line at a moment, and the day on which that shift began; no row between shifts.
-- Wall-clock times decide, so that a shift keeps its place when clocks change. A line with shifts of its own has no others.
CREATE FUNCTION bi.shift_at(of_line text, moment timestamptz) RETURNS TABLE (shift text, shift_day date)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT name, day
FROM (
    SELECT name, weekdays,
        CASE WHEN starts < ends OR clock.now::time >= starts THEN clock.now::date ELSE clock.now::date - 1 END AS day,
        CASE WHEN starts < ends THEN clock.now::time >= starts AND clock.now::time < ends
             ELSE clock.now::time >= starts OR clock.now::time < ends END AS is_on
    FROM bi.shift_plan AS plan
    CROSS JOIN LATERAL (SELECT moment AT TIME ZONE time_zone AS now) AS clock
    WHERE plan.line IS NOT DISTINCT FROM (SELECT min(own.line) FROM bi.shift_plan AS own WHERE own.line = of_line)
) AS turn
WHERE is_on AND extract(isodow FROM day) = ANY (weekdays)
$$;
COMMENT ON FUNCTION bi.shift_at IS 'The shift of a line at a moment, and the day on which that shift began.';
