-- Drops labels, golden set and the events of models; what people said is lost.
DROP TABLE golden_image, snapshot_label, retrain_run, model_event, label;
DROP FUNCTION refuse_unknown_image;
