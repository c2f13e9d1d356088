"""Shifts and what else a plant knows of its parts."""

from db.migrations import run_sql_beside

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create shifts and part attributes."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop shifts and part attributes again."""
    run_sql_beside(__file__, suffix=".down.sql")
