"""Old months go to object storage as Parquet, and come back.

    rows -> Parquet files -> read back and compared -> manifest -> partitions dropped, in one transaction

Until that transaction commits, the database has everything: whatever fails before it leaves files that the next try
writes anew. The manifest is written last; a folder without one is no archive.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import contextmanager
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow.parquet as pq

from casting_core.storage_errors import raise_translated
from db import archive, rollups
from flows.errors import ArchiveDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date

    import pyarrow as pa
    from sqlalchemy import Connection, Engine

MANIFEST = "manifest.json"


def archive_month(engine: Engine, month: date, *, url: str, options: Mapping[str, Any]) -> dict[str, int]:
    """Move a month's rows below `url` and return how many of each table; labels are copied, and stay.

    Raises MonthChanged when rows came in meanwhile, ArchiveDamaged when storage gives back something else than it was
    given, and what storage raises. In each case nothing was taken from the database.
    """
    rollups.refresh(engine)
    filesystem, root = fsspec.core.url_to_fs(url, **options)
    folder = f"{root.rstrip('/')}/{month:%Y-%m}"
    with _storage(folder):
        filesystem.makedirs(folder, exist_ok=True)
    # One snapshot for all tables, so that no verdict is without its image.
    with engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
        expected = {table: archive.fingerprint(connection, table, month) for table in archive.TABLES}
        files = {table: _write(connection, filesystem, folder, table, month) for table in archive.TABLES}
        for table in archive.TABLES:
            _compare(connection, filesystem, folder, table, month, sha256=files[table])
    rows = {table: asdict(print_) for table, print_ in expected.items()}
    manifest = {"month": f"{month:%Y-%m}", "sha256": files, "rows": rows}
    with _storage(folder):
        filesystem.pipe_file(f"{folder}/{MANIFEST}", json.dumps(manifest, indent=1).encode())
    with engine.begin() as connection:
        archive.detach(connection, month, url=str(filesystem.unstrip_protocol(folder)), expected=expected)
    return {table: print_.rows for table, print_ in expected.items()}


def unarchive_month(engine: Engine, month: date, *, options_for: Callable[[str], Mapping[str, Any]]) -> dict[str, int]:
    """Bring a month's rows back from where they lie, and return how many of each table; the files stay.

    `options_for` gives the options that fsspec takes for a URL. All of it is one transaction.
    Raises NotArchived, ArchiveDamaged, and what storage raises.
    """
    with engine.begin() as connection:
        url = archive.archived_at(connection, month)
        filesystem, folder = fsspec.core.url_to_fs(url, **options_for(url))
        with _storage(folder):
            manifest = json.loads(filesystem.cat_file(f"{folder}/{MANIFEST}"))
        archive.begin_restore(connection, month)
        for table in archive.MOVED:
            with _fetched(filesystem, folder, table, sha256=manifest["sha256"][table]) as path:
                for rows in _row_groups(path):
                    archive.restore_rows(connection, table, rows)
            if asdict(archive.fingerprint(connection, table, month)) != manifest["rows"][table]:
                raise ArchiveDamaged(
                    f"{folder}/{table}.parquet holds other rows than were archived; nothing was changed."
                )
    rollups.refresh(engine)
    return {table: manifest["rows"][table]["rows"] for table in archive.MOVED}


def _write(connection: Connection, filesystem: Any, folder: str, table: str, month: date) -> str:
    """Write a table's rows of a month as one Parquet file and return its sha256."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{table}.parquet"
        with pq.ParquetWriter(path, archive.arrow_schema(table), compression="zstd") as writer:
            for rows in archive.read_rows(connection, table, month):
                writer.write_table(rows)
        sha256 = _sha256(path)
        with _storage(folder):
            filesystem.put_file(str(path), f"{folder}/{table}.parquet")
    return sha256


def _compare(connection: Connection, filesystem: Any, folder: str, table: str, month: date, *, sha256: str) -> None:
    """Read a file back from storage and hold its rows against those of the database."""
    with _fetched(filesystem, folder, table, sha256=sha256) as path:
        pairs = zip_longest(_row_groups(path), archive.read_rows(connection, table, month))
        if any(stored is None or kept is None or not stored.equals(kept) for stored, kept in pairs):
            raise ArchiveDamaged(
                f"{folder}/{table}.parquet does not hold the rows of the database; nothing was changed."
            )


@contextmanager
def _fetched(filesystem: Any, folder: str, table: str, *, sha256: str) -> Iterator[Path]:
    """Copy an archived file to this machine. Raises ArchiveDamaged where its bytes are not those that were written."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{table}.parquet"
        with _storage(folder):
            filesystem.get_file(f"{folder}/{table}.parquet", str(path))
        if _sha256(path) != sha256:
            raise ArchiveDamaged(f"{folder}/{table}.parquet has other bytes than were written.")
        yield path


def _row_groups(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _storage(what: str) -> Iterator[None]:
    """Turn what storage says into an error of ours."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - each kind is told apart there
        raise_translated(error, what)
