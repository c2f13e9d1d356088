"""Rows of a query as files for other programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.errors import CannotExport

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]], target: str) -> None:
    """Write rows to a file, or to standard output for "-". Times are ISO 8601, NULL is empty, JSON is JSON.

    Raises CannotExport if the file cannot be written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    if target == "-":
        sys.stdout.write(buffer.getvalue())
        return
    try:
        Path(target).write_text(buffer.getvalue(), encoding="utf-8")
    except OSError as error:
        raise CannotExport(f"The rows cannot be written to {target}: {error.strerror}.") from error


def write_parquet(columns: Sequence[str], rows: Sequence[Sequence[Any]], target: Path) -> None:
    """Write rows to a Parquet file; ids and JSON become text.

    Raises CannotExport if the file cannot be written, two columns share a name, or a column mixes types.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if len(set(columns)) < len(columns):
        raise CannotExport(f"Parquet needs a name of its own for each column, got {', '.join(columns)}. Use AS.")
    cells = [[_plain(row[index]) for row in rows] for index in range(len(columns))]
    try:
        pq.write_table(pa.Table.from_arrays([pa.array(column) for column in cells], names=list(columns)), target)
    except pa.ArrowException as error:
        raise CannotExport(f"The rows cannot be written to {target} as Parquet: {error}. Cast the column.") from error
    except OSError as error:
        raise CannotExport(f"The rows cannot be written to {target}: {error.strerror or error}.") from error


def _csv_cell(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value
