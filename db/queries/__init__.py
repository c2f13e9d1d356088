"""The SQL that reads and writes images, verdicts and labels: one query a file, described at its top."""

from functools import cache
from importlib import resources

from sqlalchemy import TextClause, text


@cache
def load(name: str) -> TextClause:
    """Return the query in `<name>.sql`."""
    return text(resources.files("db.queries").joinpath(f"{name}.sql").read_text(encoding="utf-8"))
