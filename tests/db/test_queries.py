"""Every piece of SQL says what it is for, and none lies about unused."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

import db
from db.queries import load

DB = Path(db.__file__).parent
SQL_FILES = sorted(DB.rglob("*.sql"))
QUERIES = sorted(path.stem for path in (DB / "queries").glob("*.sql"))


@pytest.mark.parametrize("path", SQL_FILES, ids=lambda path: str(path.relative_to(DB)))
def test_an_sql_file_begins_with_what_it_is_for(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert re.match(r"-- \w.{20,}", first), f"{path} begins with {first!r}"


def test_every_query_is_loaded_somewhere_and_every_load_has_its_query():
    sources = [path for package in ("db", "flows") for path in (DB.parent / package).rglob("*.py")]
    loaded = {name for path in sources for name in re.findall(r'\bload\("(\w+)"\)', path.read_text(encoding="utf-8"))}
    assert loaded == set(QUERIES)


def test_every_query_fits_the_schema(engine):
    with engine.connect() as connection:
        for query in map(load, QUERIES):
            unset = dict.fromkeys(query.compile().params)
            assert connection.execute(text(f"EXPLAIN {query.text}"), unset).scalars().all()
