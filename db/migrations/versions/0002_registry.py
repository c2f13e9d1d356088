"""Labels by people, and the events of models."""

from db.migrations import run_sql_beside

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create labels and model events."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop labels and model events again."""
    run_sql_beside(__file__, suffix=".down.sql")
