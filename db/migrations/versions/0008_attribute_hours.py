"""Roll-ups of part attributes, so that a Pareto of moulds does not read every part."""

from db.migrations import run_sql_beside

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the hours by part attribute and their marks."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop the hours by part attribute again."""
    run_sql_beside(__file__, suffix=".down.sql")
