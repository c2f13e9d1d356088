"""${message}."""

from db.migrations import run_sql_beside

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Take it back."""
    run_sql_beside(__file__, suffix=".down.sql")
