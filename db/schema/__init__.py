"""The tables as SQLAlchemy sees them; the migrations make them, and a test holds both equal.

Reasons for constraints and indexes stand in `migrations/versions/*.sql`.
"""

from db.schema.alerts import (
    alert,
    alert_event,
    baseline,
    delivery,
    maintenance_window,
    snooze,
    stream_change,
    stream_state,
)
from db.schema.history import archived_month, attribute_hour, part, part_hour, rollup_stale
from db.schema.metadata import metadata
from db.schema.plant import line_name, part_attribute, shift
from db.schema.registry import golden_image, label, model_event, retrain_run, snapshot_label
from db.schema.scoring import image, model, quarantine, run_stage, scoring_run, verdict

__all__ = [
    "alert",
    "alert_event",
    "archived_month",
    "attribute_hour",
    "baseline",
    "delivery",
    "golden_image",
    "image",
    "label",
    "line_name",
    "maintenance_window",
    "metadata",
    "model",
    "model_event",
    "part",
    "part_attribute",
    "part_hour",
    "quarantine",
    "retrain_run",
    "rollup_stale",
    "run_stage",
    "scoring_run",
    "shift",
    "snapshot_label",
    "snooze",
    "stream_change",
    "stream_state",
    "verdict",
]
