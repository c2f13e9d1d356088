"""Where the time of scoring runs goes."""

from db.migrations import run_sql_beside

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the seconds by stage."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop the seconds by stage again."""
    run_sql_beside(__file__, suffix=".down.sql")
