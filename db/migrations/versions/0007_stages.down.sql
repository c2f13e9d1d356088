-- Drops the seconds by stage; runs keep their durations.
DROP TABLE run_stage;
