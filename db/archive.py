"""Whole months out of the database and back: their rows as Arrow tables, and the partitions they leave.

Rows come out sorted by their key and typed as the columns are, so that two reads of the same rows are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from sqlalchemy import BigInteger, Double, LargeBinary, Text, Uuid, select, text
from sqlalchemy.types import DateTime

from db import months, schema
from db.errors import MonthChanged, NotArchived, NothingToArchive
from db.queries import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from sqlalchemy import Column, Connection, Table
    from sqlalchemy.types import TypeEngine

# What is written out.
TABLES = ("image", "verdict", "quarantine", "label")
# What leaves: a label stays where its image went.
MOVED = ("image", "verdict", "quarantine")
_PARTITIONED = (*MOVED, "part")
_ROWS = 50_000
_ARROW: dict[type[TypeEngine[Any]], pa.DataType] = {
    BigInteger: pa.int64(),
    Text: pa.string(),
    Double: pa.float64(),
    DateTime: pa.timestamp("us", tz="UTC"),
    LargeBinary: pa.binary(),
    Uuid: pa.string(),
}


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """How many rows of a table a month has, and a sum over the hashes of all of them."""

    rows: int
    hash: str


def months_before(connection: Connection, first_kept: date) -> list[date]:
    """The months before `first_kept` that hold images and are not archived. Raises NothingToArchive."""
    rows = connection.execute(load("months_with_images")).scalars()
    found = [month for month in rows if month < first_kept]
    if not found:
        raise NothingToArchive(f"No month before {first_kept:%Y-%m} has images in the database; nothing was archived.")
    return found


def fingerprint(connection: Connection, table: str, month: date) -> Fingerprint:
    """Hash the rows that a month of a table has now, in any order."""
    rows = f"FROM {_known(table)} AS each WHERE captured_at >= :since AND captured_at < :until"
    query = f"SELECT count(*), coalesce(sum(hashtextextended(each::text, 0)), 0)::text {rows}"
    count, total = connection.execute(text(query), _bounds(month)).one()
    return Fingerprint(rows=count, hash=total)


def read_rows(connection: Connection, table: str, month: date) -> Iterator[pa.Table]:
    """Read a month's rows of a table, sorted by key, in pieces."""
    source = _table(table)
    bounds = _bounds(month)
    query = (
        select(source)
        .where(source.c.captured_at >= bounds["since"], source.c.captured_at < bounds["until"])
        .order_by(*source.primary_key.columns)
    )
    result = connection.execute(query.execution_options(yield_per=_ROWS))
    for rows in result.partitions():
        values = zip(*rows, strict=True)
        arrays = [_array(column, list(cells)) for column, cells in zip(source.columns, values, strict=True)]
        yield pa.Table.from_arrays(arrays, schema=arrow_schema(table))


def arrow_schema(table: str) -> pa.Schema:
    """The columns of a table as Parquet holds them."""
    return pa.schema([pa.field(column.name, _arrow_type(column)) for column in _table(table).columns])


def detach(connection: Connection, month: date, *, url: str, expected: dict[str, Fingerprint]) -> None:
    """Drop a month's partitions and record where its rows lie, in the caller's transaction.

    Raises MonthChanged where a row was added since `expected` was taken, and NothingToArchive where another session
    was quicker.
    """
    # A plant does not stand still for an archive: whoever holds a lock for longer goes first.
    connection.execute(text("SET LOCAL lock_timeout = '20s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('casting.ensure_month'))"))
    if month not in months_before(connection, months.following(month)):
        raise NothingToArchive(f"The month {month:%Y-%m} was archived meanwhile by somebody else.")
    # Against writers first, for the time of the hashing; readers are only shut out for the moment of the detaching.
    for table in _PARTITIONED:
        connection.execute(text(f"LOCK TABLE month.{_partition(table, month)} IN SHARE ROW EXCLUSIVE MODE"))
    for table, before in expected.items():
        if table != "label" and fingerprint(connection, table, month) != before:
            raise MonthChanged(f"Rows of {month:%Y-%m} came into {table} while it was archived. Run it once more.")
    _refuse_stale(connection, month)
    for table in _PARTITIONED:
        connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION month.{_partition(table, month)}"))
        connection.execute(text(f"DROP TABLE month.{_partition(table, month)}"))
    connection.execute(
        load("record_archive"),
        {
            "month": month,
            "url": url,
            "images": expected["image"].rows,
            "verdicts": expected["verdict"].rows,
            "quarantined": expected["quarantine"].rows,
            "labels": expected["label"].rows,
            **_bounds(month),
        },
    )


def archived_at(connection: Connection, month: date) -> str:
    """The URL where a month's rows lie. Raises NotArchived."""
    query = select(schema.archived_month.c.url).where(schema.archived_month.c.month == month)
    url = connection.execute(query).scalar_one_or_none()
    if url is None:
        raise NotArchived(f"The month {month:%Y-%m} is not archived; its rows are in the database, or it had none.")
    return str(url)


def begin_restore(connection: Connection, month: date) -> None:
    """Make an archived month's partitions again, in the caller's transaction."""
    connection.execute(schema.archived_month.delete().where(schema.archived_month.c.month == month))
    connection.execute(text("SELECT ensure_month(:since)"), _bounds(month))


def restore_rows(connection: Connection, table: str, rows: pa.Table) -> None:
    """Copy rows back into their table."""
    names = ", ".join(rows.column_names)
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {_known(table)} ({names}) FROM STDIN") as copy:
        for batch in rows.to_batches(max_chunksize=_ROWS):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)


def _refuse_stale(connection: Connection, month: date) -> None:
    query = text(
        "SELECT count(*) FROM stale_line_day "
        "WHERE day >= CAST(:month AS date) AND day < CAST(:month AS date) + interval '1 month'"
    )
    if connection.execute(query, {"month": month}).scalar_one():
        raise MonthChanged(f"The roll-ups of {month:%Y-%m} are not up to date, and would stay so. Run it once more.")


def _partition(table: str, month: date) -> str:
    return f"{_known(table)}_{month:%Y_%m}"


def _bounds(month: date) -> dict[str, Any]:
    return {"since": months.starts_at(month), "until": months.starts_at(months.following(month))}


def _known(table: str) -> str:
    return _table(table).name


def _table(table: str) -> Table:
    return schema.metadata.tables[table]


def _arrow_type(column: Column[Any]) -> pa.DataType:
    return next(arrow for kind, arrow in _ARROW.items() if isinstance(column.type, kind))


def _array(column: Column[Any], cells: list[Any]) -> pa.Array:
    if isinstance(column.type, Uuid):
        cells = [str(cell) for cell in cells]
    return pa.array(cells, _arrow_type(column))
