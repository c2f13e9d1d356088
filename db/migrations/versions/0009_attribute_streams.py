"""Streams of parts that share an attribute, such as a mould, beside the lines."""

from db.migrations import run_sql_beside

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Name the line of each state, and have a line watched again where the attributes of its parts change."""
    run_sql_beside(__file__)


def downgrade() -> None:
    """Drop the states of moulds, and no longer watch for changed attributes."""
    run_sql_beside(__file__, suffix=".down.sql")
