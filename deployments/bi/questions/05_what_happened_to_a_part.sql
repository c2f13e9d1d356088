-- What did every model ever say of one part? Put the part's number in place of 'P0042'.
SELECT line, captured_at, view, verdict, p_defective, model, judged_at
FROM bi.verdict_history
WHERE part_id = 'P0042'
ORDER BY captured_at, line, view, judged_at;
