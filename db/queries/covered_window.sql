-- Whether some run has judged all of a window by a model and left nothing: it need not be looked at again. The run must
-- have begun after the window's end, since images may have come later than an earlier one looked.
SELECT EXISTS (
    SELECT FROM scoring_run
    WHERE state = 'completed' AND backlog = 0 AND unsettled = 0
      AND model_id = :model_id AND lines = CAST(:lines AS text[])
      AND since <= :since AND until >= :until AND started_at >= :until)
