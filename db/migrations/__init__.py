"""Alembic migrations. Each version is a revision with the SQL it runs beside it, under the same name."""

from pathlib import Path

from alembic import op


def run_sql_beside(revision_file: str, *, suffix: str = ".sql") -> None:
    """Run the SQL file that lies beside a revision, in the migration's transaction."""
    sql = Path(revision_file).with_suffix(suffix).read_text(encoding="utf-8")
    # On the driver's own connection: SQLAlchemy would read each % of a format() as a parameter.
    op.get_bind().connection.cursor().execute(sql)
