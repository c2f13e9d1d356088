"""Hourly roll-ups of verdicts."""

from db.migrations import run_sql_beside

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create roll-ups."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop roll-ups again."""
    run_sql_beside(__file__, suffix=".down.sql")
