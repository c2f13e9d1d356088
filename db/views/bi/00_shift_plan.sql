-- bi.shift_plan: the plant's shifts, as people edit them in the table `shift`. The functions of this schema read it in
-- the table's place: whoever may read schema bi may call them.
CREATE VIEW bi.shift_plan AS
SELECT line, name, starts, ends, weekdays, time_zone FROM public.shift;

COMMENT ON VIEW bi.shift_plan IS 'The plant''s shifts.';
COMMENT ON COLUMN bi.shift_plan.line IS 'The line; NULL: every line that has no shifts of its own.';
COMMENT ON COLUMN bi.shift_plan.name IS 'What the shift is called.';
COMMENT ON COLUMN bi.shift_plan.starts IS 'Wall-clock time at which it begins.';
COMMENT ON COLUMN bi.shift_plan.ends IS 'Wall-clock time at which it ends; not after starts: on the next day.';
COMMENT ON COLUMN bi.shift_plan.weekdays IS 'Days on which it begins, 1 (Monday) to 7 (Sunday).';
COMMENT ON COLUMN bi.shift_plan.time_zone IS 'The time zone of its wall clock.';
