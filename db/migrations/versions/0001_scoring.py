"""Images, verdicts, quarantine, models and scoring runs."""

from db.migrations import run_sql_beside

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything that hourly scoring writes."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop it again, data included."""
    run_sql_beside(__file__, suffix=".down.sql")
