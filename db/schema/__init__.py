"""The tables as SQLAlchemy sees them; the migrations make them, and a test holds both equal.

Reasons for constraints and indexes stand in `migrations/versions/*.sql`.
"""

from db.schema.alerts import alert, alert_event, baseline, delivery, maintenance_window, snooze, stream_state
from db.schema.metadata import metadata
from db.schema.scoring import image, model, quarantine, scoring_run, verdict

__all__ = [
    "alert",
    "alert_event",
    "baseline",
    "delivery",
    "image",
    "maintenance_window",
    "metadata",
    "model",
    "quarantine",
    "scoring_run",
    "snooze",
    "stream_state",
    "verdict",
]
