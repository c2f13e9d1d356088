-- Hourly roll-ups of verdicts.
SELECT;
