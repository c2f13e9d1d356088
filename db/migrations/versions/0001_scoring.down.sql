-- Drops all history: only for a database that nobody needs any more.
DROP TABLE verdict, quarantine, image, scoring_run, model;
DROP FUNCTION refuse_two_outcomes, refuse_change, ensure_month;
DROP SCHEMA month;
