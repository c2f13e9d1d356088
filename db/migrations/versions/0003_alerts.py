"""Streams watched for climbs, alerts, their events and deliveries."""

from db.migrations import run_sql_beside

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create alerts."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop alerts again."""
    run_sql_beside(__file__, suffix=".down.sql")
