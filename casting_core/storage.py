"""Object storage: what lies in a folder, and the bytes of an object as it was when it was listed.

Any fsspec URL works. `file://` and `s3://` check while reading that the object is still the one that was listed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import fsspec
from fsspec.asyn import sync

from casting_core.errors import BucketMissing, InvalidInput
from casting_core.storage_errors import OVERWRITTEN, answer_of, raise_translated, rejected

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from casting_core.types import Rejection

# What a picture was when it was listed: its uri and etag.
ObjectVersion = tuple[str, str]

REQUESTS_IN_FLIGHT = 32
# A disk of this machine answers sooner than a thread is told to ask: few threads, many files for each. Shares that are
# mounted answer slowly, so one thread would not do.
_DISK_READERS = 8
_FILES_AT_A_TIME = 16
# Several chunks are fetched at a time. botocore opens ten connections, and every further request would wait for one.
_CONNECTIONS = 4 * REQUESTS_IN_FLIGHT


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """One object as a listing shows it. `key` is relative to the store's root."""

    key: str
    etag: str
    size: int
    stored_at: datetime


@dataclass(frozen=True, kw_only=True)
class Folder:
    """What lies directly in a folder; a folder that does not exist is empty."""

    files: tuple[ObjectInfo, ...]
    folders: tuple[str, ...]


class ObjectStore:
    """A bucket, or a folder of it, through fsspec.

    Every method raises StorageUnavailable when storage does not answer, StorageDenied when it refuses the
    credentials, and BucketMissing when the root does not exist.
    """

    # Whether an object is there whole or not at all; a file on disk is there while it is still being written.
    writes_are_atomic = True

    def __init__(self, filesystem: Any, root: str) -> None:
        self._fs = filesystem
        self._root = root.rstrip("/")

    @property
    def url(self) -> str:
        """The root as a URL, without credentials."""
        return str(self._fs.unstrip_protocol(self._root))

    def uri(self, key: str) -> str:
        """The full address of a key: half of an image's identity."""
        return f"{self.url}/{key}"

    def check_root(self) -> None:
        """Look at the root once, so that a wrong address is told from an empty hour."""
        try:
            self._entries(self._root)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not self._root_is_just_empty(error):
                raise BucketMissing(
                    f"{self.url} does not exist. Create it, or correct the address (CASTING_IMAGES_URL)."
                ) from error
        except Exception as error:  # noqa: BLE001 - each kind is told apart there
            raise_translated(error, self.url)

    def check_filled(self) -> None:
        """See that there is anything at all below the root. Raises BucketMissing where a share is not mounted."""
        self.check_root()
        root = self.list_folder("")
        if not root.files and not root.folders:
            raise BucketMissing(
                f"{self.url} is empty on {socket.gethostname()}, though its images were listed. Mount the share there, "
                "or give this machine the CASTING_IMAGES_URL of the one that began the run."
            )

    def list_folder(self, prefix: str) -> Folder:
        """List what lies directly below `prefix` ("" for the root), in one pass."""
        path = f"{self._root}/{prefix}".rstrip("/")
        try:
            entries = self._entries(path)
        except (FileNotFoundError, NotADirectoryError):
            return Folder(files=(), folders=())
        except Exception as error:  # noqa: BLE001 - each kind is told apart there
            raise_translated(error, path)
        files, folders = [], []
        for entry in entries:
            key = entry["name"][len(self._root) + 1 :]
            # An object named like the folder itself is the marker that S3 browsers make for "new folder".
            if key.rstrip("/") == prefix.rstrip("/"):
                continue
            if entry["type"] == "directory":
                folders.append(key)
            else:
                files.append(self._info(entry))
        return Folder(files=tuple(files), folders=tuple(folders))

    def list_folders(self, prefixes: Sequence[str]) -> Iterator[Folder]:
        """List many folders, in the order given; over a network many at a time."""
        if not self._fs.async_impl:
            yield from map(self.list_folder, prefixes)
            return
        pool = ThreadPoolExecutor(max_workers=REQUESTS_IN_FLIGHT)
        try:
            yield from pool.map(self.list_folder, prefixes)
        finally:
            # Without waiting: where nobody reads on, after an error of the database, the collector may close this on
            # the very thread that the requests in flight need, and would wait for them for ever.
            pool.shutdown(wait=False, cancel_futures=True)

    def walk(self) -> list[ObjectInfo]:
        """List every object below the root, at any depth."""
        self.check_root()
        try:
            entries = self._entries_below()
        except Exception as error:  # noqa: BLE001 - each kind is told apart there
            raise_translated(error, self.url)
        return [self._info(entry) for entry in entries if entry["type"] != "directory" and entry["name"][-1] != "/"]

    def fetch(self, objects: Sequence[ObjectVersion]) -> dict[ObjectVersion, bytes | Rejection]:
        """Read objects given as (uri, etag): for each its bytes, or why they cannot be had.

        An object that is gone, was overwritten or may not be read is a Rejection; trouble with the storage itself
        raises, since another try may succeed.
        """
        with ThreadPoolExecutor(max_workers=REQUESTS_IN_FLIGHT) as pool:
            return dict(zip(objects, pool.map(self._fetch_one, objects), strict=True))

    def _entries(self, path: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._fs.ls(path, detail=True, refresh=True)
        return entries

    def _entries_below(self) -> list[dict[str, Any]]:
        return list(self._fs.find(self._root, detail=True, refresh=True).values())

    def _info(self, entry: Mapping[str, Any]) -> ObjectInfo:
        key = entry["name"][len(self._root) + 1 :]
        return ObjectInfo(key=key, etag=self._etag(entry), size=entry["size"], stored_at=self._stored_at(entry))

    def _fetch_one(self, wanted: ObjectVersion) -> bytes | Rejection:
        uri, etag = wanted
        path = self._fs._strip_protocol(uri)  # noqa: SLF001 - fsspec has no public name for it
        try:
            return self._read(path, etag)
        except Exception as error:  # noqa: BLE001 - each kind is told apart below
            return rejected(error, uri)

    def _read(self, path: str, etag: str) -> bytes | Rejection:  # noqa: ARG002 - not every store can compare it
        content: bytes = self._fs.cat_file(path)
        return content

    def _etag(self, entry: Mapping[str, Any]) -> str:
        for name in ("ETag", "etag", "md5Hash", "content_md5", "checksum"):
            if entry.get(name):
                return str(entry[name]).strip('"')
        return f"{self._stored_at(entry).timestamp():.6f}-{entry['size']}"

    def _stored_at(self, entry: Mapping[str, Any]) -> datetime:
        for name in ("LastModified", "last_modified", "updated", "mtime", "created"):
            value = entry.get(name)
            if isinstance(value, datetime):
                return value.astimezone(UTC)
            if isinstance(value, int | float):
                return datetime.fromtimestamp(value, tz=UTC)
        return datetime.now(tz=UTC)

    def _root_is_just_empty(self, error: Exception) -> bool:  # noqa: ARG002 - not every store says why
        bucket = self._root.split("/", 1)[0]
        return bool(bucket) and bucket != self._root and bool(self._fs.exists(bucket))


class LocalStore(ObjectStore):
    """A folder of this machine. Its etag is made of change time, size and inode."""

    writes_are_atomic = False

    def _etag(self, entry: Mapping[str, Any]) -> str:
        return _stat_etag(entry["mtime"], entry["size"], entry["ino"])

    def _read(self, path: str, etag: str) -> bytes | Rejection:
        with open(path, "rb") as file:  # noqa: PTH123 - a Path costs as much as the read itself
            content = file.read()
            status = os.fstat(file.fileno())
        return content if _stat_etag(status.st_mtime, status.st_size, status.st_ino) == etag else OVERWRITTEN

    def _root_is_just_empty(self, error: Exception) -> bool:  # noqa: ARG002
        return False

    def fetch(self, objects: Sequence[ObjectVersion]) -> dict[ObjectVersion, bytes | Rejection]:
        """As ObjectStore.fetch, a handful of files at a time."""
        handfuls = [objects[start : start + _FILES_AT_A_TIME] for start in range(0, len(objects), _FILES_AT_A_TIME)]
        with ThreadPoolExecutor(max_workers=_DISK_READERS) as pool:
            read = chain.from_iterable(pool.map(self._fetch_each, handfuls))
            return dict(zip(objects, read, strict=True))

    def _fetch_each(self, objects: Sequence[ObjectVersion]) -> list[bytes | Rejection]:
        return [self._fetch_one(each) for each in objects]

    # fsspec describes a link itself instead of the picture or folder that it leads to.
    def _entries(self, path: str) -> list[dict[str, Any]]:
        with os.scandir(path) as entries:
            return [found for entry in entries if (found := _local_entry(entry.path))]

    def _entries_below(self) -> list[dict[str, Any]]:
        paths = (
            os.path.join(folder, name)  # noqa: PTH118 - a Path for each of many files is slow
            for folder, _, names in os.walk(self._root, onerror=_raise)
            for name in names
        )
        return [found for path in paths if (found := _local_entry(path))]


class S3Store(ObjectStore):
    """A bucket behind the S3 API. One GET an object, refused by the server when the object has changed."""

    def fetch(self, objects: Sequence[ObjectVersion]) -> dict[ObjectVersion, bytes | Rejection]:
        """As ObjectStore.fetch; the requests are in flight together on fsspec's own event loop."""
        return dict(zip(objects, sync(self._fs.loop, self._fetch_all, objects), strict=True))

    async def _fetch_all(self, objects: Sequence[ObjectVersion]) -> list[bytes | Rejection]:
        slots = asyncio.Semaphore(REQUESTS_IN_FLIGHT)
        fetches = [asyncio.ensure_future(fetch) for fetch in map(self._fetch_in_slot, objects, repeat(slots))]
        try:
            return await asyncio.gather(*fetches)
        finally:
            # A storage in trouble is not asked for the rest of the chunk.
            for fetch in fetches:
                fetch.cancel()

    async def _fetch_in_slot(self, wanted: ObjectVersion, slots: asyncio.Semaphore) -> bytes | Rejection:
        uri, etag = wanted
        bucket, key = self._fs._strip_protocol(uri).split("/", 1)  # noqa: SLF001 - fsspec has no public name for it
        async with slots:
            try:
                # Not cat_file: it asks for the size first and cannot say If-Match.
                response = await self._fs._call_s3(  # noqa: SLF001
                    "get_object", Bucket=bucket, Key=key, IfMatch=f'"{etag}"'
                )
                async with response["Body"] as body:
                    content: bytes = await body.read()
            except Exception as error:  # noqa: BLE001 - each kind is told apart there
                answer = answer_of(error).get("ResponseMetadata", {})
                if answer.get("HTTPStatusCode") == HTTPStatus.PRECONDITION_FAILED:
                    return OVERWRITTEN
                return rejected(error, uri)
        return content

    def _root_is_just_empty(self, error: Exception) -> bool:
        # s3fs raises this of its own for a folder without keys, and because of an answer for a missing bucket.
        return not answer_of(error)


def open_store(
    url: str, *, options: Mapping[str, Any] | None = None, s3_client: Literal["s3fs", "obstore"] = "s3fs"
) -> ObjectStore:
    """Open the store at an fsspec URL; nothing is asked of it yet.

    `options` go to the file system (for s3fs: key, secret, endpoint_url, client_kwargs). `s3_client` is what reads the
    objects of an s3:// URL. Raises InvalidInput for a URL whose kind of storage is unknown or not installed.
    """
    # Every listing here is a fresh one; kept ones would only fill the memory.
    given: dict[str, Any] = {"use_listings_cache": False, **(options or {})}
    if url.startswith(("s3://", "s3a://")):
        given["config_kwargs"] = {"max_pool_connections": _CONNECTIONS, **given.get("config_kwargs", {})}
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **given)
    except (ValueError, ImportError) as error:
        raise InvalidInput(
            f"{url!r} cannot be used as object storage: {error}. Give a file:// or s3:// URL."
        ) from error
    protocols = filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)
    if "s3" in protocols and s3_client == "obstore":
        from casting_core.s3_by_obstore import ObstoreS3Store  # noqa: PLC0415 - builds on this module

        return ObstoreS3Store(filesystem, root, options=options or {})
    kind = S3Store if "s3" in protocols else LocalStore if "file" in protocols else ObjectStore
    return kind(filesystem, root)


def _stat_etag(mtime: float, size: int, inode: int) -> str:
    return f"{mtime:.6f}-{size:x}-{inode:x}"


def _local_entry(path: str) -> dict[str, Any] | None:
    """Describe the file or folder that a path leads to; None if it is gone, or neither (a pipe would never end)."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path costs as much as the call itself
    except FileNotFoundError:
        return None
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "file" if stat.S_ISREG(status.st_mode) else None
    entry = {"name": path, "type": kind, "size": status.st_size, "mtime": status.st_mtime, "ino": status.st_ino}
    return entry if kind else None


def _raise(error: OSError) -> NoReturn:
    raise error
