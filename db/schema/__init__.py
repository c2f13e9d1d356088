"""The tables as SQLAlchemy sees them; the migrations make them, and a test holds both equal.

Reasons for constraints and indexes stand in `migrations/versions/*.sql`.
"""

from db.schema.metadata import metadata
from db.schema.scoring import image, model, quarantine, scoring_run, verdict

__all__ = ["image", "metadata", "model", "quarantine", "scoring_run", "verdict"]
