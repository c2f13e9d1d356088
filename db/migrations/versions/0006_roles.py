"""Who may read and write what."""

from db.migrations import run_sql_beside

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create roles."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop roles again."""
    run_sql_beside(__file__, suffix=".down.sql")
