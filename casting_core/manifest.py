"""Tables that people write, CSV or Parquet, and a manifest's rows: image,label[,part_id,line,captured_at]."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from casting_core.errors import InvalidDataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "MANIFEST_SUFFIXES",
    "ManifestRow",
    "read_rows",
    "required_text",
    "table_rows",
    "text_of",
    "time_of",
]

MANIFEST_SUFFIXES = frozenset({".csv", ".parquet"})


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One row as it is written; `number` is where a person finds it. `captured_at` carries a time zone."""

    number: int
    image: str
    label: str
    part_id: str | None
    line: str | None
    captured_at: datetime | None


def read_rows(source: str, content: bytes) -> Iterator[ManifestRow]:
    """Read the rows of a manifest; the end of its name `source` says of which kind it is.

    Raises `InvalidDataset` if it cannot be read, lacks a column, leaves image or label empty, or gives a time without
    its zone. Other columns are ignored.
    """
    for number, row in table_rows(source, content, required=("image", "label")):
        where = f"{source}, row {number}"
        yield ManifestRow(
            number=number,
            image=required_text(row, "image", where),
            label=required_text(row, "label", where),
            part_id=text_of(row, "part_id"),
            line=text_of(row, "line"),
            captured_at=time_of(row, "captured_at", where),
        )


def table_rows(source: str, content: bytes, *, required: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Read a table with a header, CSV or Parquet by the end of its name: each row with the number people find it by.

    Raises `InvalidDataset` if it cannot be read or lacks a required column.
    """
    rows = _parquet_rows if source.lower().endswith(".parquet") else _csv_rows
    return rows(source, content, required)


def _csv_rows(source: str, content: bytes, required: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        _require_columns(source, reader.fieldnames or [], required)
        for row in reader:
            yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidDataset(f"{source} cannot be read as CSV in UTF-8: {error}.") from error


def _parquet_rows(source: str, content: bytes, required: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # Slow to import, and only those who keep Parquet files need it.
    from pyarrow import ArrowException, parquet  # noqa: PLC0415

    try:
        table = parquet.read_table(io.BytesIO(content))
    except ArrowException as error:
        raise InvalidDataset(f"{source} cannot be read as Parquet: {error}.") from error
    _require_columns(source, table.column_names, required)
    yield from enumerate(table.to_pylist(), start=1)


def _require_columns(source: str, columns: Sequence[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in columns]
    if missing:
        raise InvalidDataset(f"{source} has no column {' and no '.join(missing)}; its columns are {list(columns)}.")


def required_text(row: Mapping[str, Any], column: str, where: str) -> str:
    """Give a cell's text. Raises `InvalidDataset` if it is empty."""
    value = text_of(row, column)
    if value is None:
        raise InvalidDataset(f"{where}: the column {column} is empty.")
    return value


def text_of(row: Mapping[str, Any], column: str) -> str | None:
    """Give a cell's text without the blanks around it; None where it is empty or there is no such column."""
    value = row.get(column)
    return None if value is None else str(value).strip() or None


def time_of(row: Mapping[str, Any], column: str, where: str) -> datetime | None:
    """Give a cell's time, which must carry its zone. Raises `InvalidDataset`."""
    value = row.get(column)
    if not isinstance(value, datetime):
        text = text_of(row, column)
        if text is None:
            return None
        try:
            value = datetime.fromisoformat(text)
        except ValueError as error:
            raise InvalidDataset(f"{where}: {column} {text!r} is no ISO 8601 time.") from error
    if value.tzinfo is None:
        raise InvalidDataset(
            f"{where}: {column} {value.isoformat()} has no time zone; write it like 2026-11-23T08:00+00:00."
        )
    return value
