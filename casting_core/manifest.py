"""The rows of a manifest, CSV or Parquet: image,label[,part_id,line,captured_at]."""

from __future__ import annotations

import csv
import importlib.util
import io
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from casting_core.errors import InvalidDataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["MANIFEST_SUFFIXES", "ManifestRow", "read_rows"]

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
    its zone; and for Parquet if the package pyarrow is not installed. Other columns are ignored.
    """
    rows = _parquet_rows if source.lower().endswith(".parquet") else _csv_rows
    for number, row in rows(source, content):
        where = f"{source}, row {number}"
        yield ManifestRow(
            number=number,
            image=_required(row, "image", where),
            label=_required(row, "label", where),
            part_id=_text(row, "part_id"),
            line=_text(row, "line"),
            captured_at=_captured_at(row, where),
        )


def _csv_rows(source: str, content: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        _require_columns(source, reader.fieldnames or [])
        for row in reader:
            yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidDataset(f"{source} cannot be read as CSV in UTF-8: {error}.") from error


def _parquet_rows(source: str, content: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if importlib.util.find_spec("pyarrow") is None:
        raise InvalidDataset(
            f"{source} is a Parquet file, which needs the package pyarrow. Install it, or write the manifest as CSV."
        )
    # Only those who keep Parquet manifests have it.
    from pyarrow import ArrowException, parquet  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    try:
        table = parquet.read_table(io.BytesIO(content))
    except ArrowException as error:
        raise InvalidDataset(f"{source} cannot be read as Parquet: {error}.") from error
    _require_columns(source, table.column_names)
    yield from enumerate(table.to_pylist(), start=1)


def _require_columns(source: str, columns: Sequence[str]) -> None:
    missing = [name for name in ("image", "label") if name not in columns]
    if missing:
        raise InvalidDataset(f"{source} has no column {' and no '.join(missing)}; its columns are {list(columns)}.")


def _required(row: Mapping[str, Any], column: str, where: str) -> str:
    value = _text(row, column)
    if value is None:
        raise InvalidDataset(f"{where}: the column {column} is empty.")
    return value


def _text(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    return None if value is None else str(value).strip() or None


def _captured_at(row: Mapping[str, Any], where: str) -> datetime | None:
    value = row.get("captured_at")
    if not isinstance(value, datetime):
        text = _text(row, "captured_at")
        if text is None:
            return None
        try:
            value = datetime.fromisoformat(text)
        except ValueError as error:
            raise InvalidDataset(f"{where}: captured_at {text!r} is no ISO 8601 time.") from error
    if value.tzinfo is None:
        raise InvalidDataset(
            f"{where}: captured_at {value.isoformat()} has no time zone; write it like 2026-11-23T08:00+00:00."
        )
    return value
