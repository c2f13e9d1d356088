"""A labelled data set as people have it: a folder per class, a zip of such folders, or a manifest.

    folder/def_front/*.jpeg, folder/ok_front/*.jpeg      at any fsspec URL
    archive.zip                                          with the same folders inside, never unpacked
    labels.csv, labels.parquet                           image,label[,part_id,line,captured_at]

Only names are read here; the pictures themselves are opened when somebody asks for their bytes.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import posixpath
import zipfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

import fsspec
from fsspec.implementations.zip import ZipFileSystem

from casting_core.errors import InvalidDataset, StorageDenied, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "DEFAULT_CLASSES",
    "Label",
    "LabelledDataset",
    "LabelledFile",
    "LabelledImage",
    "parse_classes",
    "read_dataset",
]

Label = Literal["ok", "defective"]
LABELS: tuple[Label, ...] = get_args(Label)

DEFAULT_CLASSES: Mapping[str, Label] = MappingProxyType(
    {"def_front": "defective", "ok_front": "ok", "defective": "defective", "ok": "ok"}
)
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})
MANIFEST_SUFFIXES = frozenset({".csv", ".parquet"})


@dataclass(frozen=True, kw_only=True)
class LabelledImage:
    """One picture and what people say of it. `captured_at` carries a time zone."""

    uri: str
    label: Label
    part_id: str | None = None
    line: str | None = None
    captured_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class LabelledFile:
    """One labelled picture as a file. Pictures of the same casting carry the same `group`.

    `mark` is where a defect was marked, as (x, y) in 0..1 of the picture, where anybody did.
    """

    name: str
    content: bytes
    label: Label
    group: int
    mark: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class LabelledDataset:
    """The pictures of one source, each once. It can be pickled, so that worker processes can read from it."""

    source: str
    images: tuple[LabelledImage, ...]
    # Pictures without an entry are addressed by their uri alone.
    _filesystem: Any = field(repr=False, compare=False, default=None)
    _paths: Mapping[str, str] = field(repr=False, compare=False, default_factory=dict)

    def read(self, image: LabelledImage) -> bytes:
        """Give the bytes of a picture as they are stored.

        Raises `InvalidDataset` if it is gone, `StorageDenied` or `StorageUnavailable` if storage does not give it.
        """
        with _translated(image.uri):
            if image.uri in self._paths:
                content: bytes = self._filesystem.cat_file(self._paths[image.uri])
            else:
                filesystem, path = fsspec.core.url_to_fs(image.uri)
                content = filesystem.cat_file(path)
        return content

    def class_counts(self) -> dict[Label, int]:
        """Count the images of each class; a class without any counts 0."""
        counts = Counter(image.label for image in self.images)
        return {label: counts[label] for label in LABELS}

    def require_both_classes(self) -> None:
        """Raise `InvalidDataset` unless there are images of both classes; nothing can be learnt from one alone."""
        absent = [label for label, count in self.class_counts().items() if not count]
        if absent:
            raise InvalidDataset(
                f"{self.source} holds no image labelled {' or '.join(absent)}; training needs both classes. "
                "Add such images, or correct the mapping of the classes (--classes)."
            )


def parse_classes(text: str) -> dict[str, Label]:
    """Read a mapping written as `def_front=defective,ok_front=ok`.

    Raises `InvalidDataset` for what is not `name=ok` or `name=defective`, and for a name given twice.
    """
    classes: dict[str, Label] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, label = (part.strip() for part in entry.partition("="))
        if not name or name in classes or label not in LABELS:
            raise InvalidDataset(
                f"{entry!r} is no class; write each name once, as NAME=ok or NAME=defective, separated by commas."
            )
        classes[name] = label
    if not classes:
        raise InvalidDataset("The mapping of the classes is empty; write it like def_front=defective,ok_front=ok.")
    return classes


def read_dataset(source: str, *, classes: Mapping[str, Label] = DEFAULT_CLASSES) -> LabelledDataset:
    """Read which pictures a folder, a zip or a manifest holds and how they are labelled.

    `source` is a path or any fsspec URL. `classes` maps the names of folders, or the labels of a manifest, to "ok" and
    "defective"; those two words are always understood in a manifest.

    Raises `InvalidDataset` if there is nothing at `source`, no picture in it, a picture in a folder that `classes`
    does not name, or a manifest that names a missing file, has a label outside the classes, disagrees with itself
    about an image or gives a time without its zone. Raises `StorageDenied` or `StorageUnavailable` if storage fails.
    """
    try:
        filesystem, root = fsspec.core.url_to_fs(source)
    except (ValueError, ImportError) as error:
        raise InvalidDataset(f"{source} is no place that can be read: {error}.") from error
    with _translated(source):
        root = root.rstrip("/")
        suffix = posixpath.splitext(root)[1].lower()
        if suffix in MANIFEST_SUFFIXES:
            dataset = _read_manifest(source, filesystem, root, classes)
        elif filesystem.isdir(root):
            dataset = _read_folders(source, filesystem, root, classes, archive=None)
        else:
            dataset = _read_zip(source, filesystem, root, classes)
    if not dataset.images:
        raise InvalidDataset(f"{source} holds no picture ({', '.join(sorted(PICTURE_SUFFIXES))}).")
    return dataset


def _read_zip(source: str, filesystem: Any, path: str, classes: Mapping[str, Label]) -> LabelledDataset:
    try:
        archive = ZipFileSystem(
            fo=path, target_protocol=_protocol(filesystem), target_options=filesystem.storage_options
        )
    except zipfile.BadZipFile as error:
        raise InvalidDataset(
            f"{source} is neither a folder, a zip archive nor a manifest (.csv or .parquet): {error}."
        ) from error
    return _read_folders(source, archive, "", classes, archive=filesystem.unstrip_protocol(path))


def _read_folders(
    source: str, filesystem: Any, root: str, classes: Mapping[str, Label], *, archive: str | None
) -> LabelledDataset:
    images, paths, unknown = [], {}, Counter[str]()
    for path in sorted(filesystem.find(root)):
        inside = path[len(root) :].lstrip("/")
        folders = inside.split("/")[:-1]
        if posixpath.splitext(inside)[1].lower() not in PICTURE_SUFFIXES or _is_hidden(inside):
            continue
        label = next((classes[name] for name in reversed(folders) if name in classes), None)
        if label is None:
            unknown["/".join(folders) or "(top level)"] += 1
            continue
        uri = f"zip://{inside}::{archive}" if archive else filesystem.unstrip_protocol(path)
        images.append(LabelledImage(uri=uri, label=label))
        paths[uri] = path
    if unknown:
        folder, count = unknown.most_common(1)[0]
        raise InvalidDataset(
            f"{source} has {count} pictures in {folder!r}, which is the folder of no class; known are "
            f"{', '.join(sorted(classes))}. Name it (--classes {folder.rsplit('/', 1)[-1]}=ok,...) or move it away."
        )
    return LabelledDataset(source=source, images=tuple(images), _filesystem=filesystem, _paths=paths)


def _is_hidden(path: str) -> bool:
    """Whether a file manager or an archiver put this there (.thumbnails, ._name, __MACOSX)."""
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def _read_manifest(source: str, filesystem: Any, path: str, classes: Mapping[str, Label]) -> LabelledDataset:
    content: bytes = filesystem.cat_file(path)
    rows = _parquet_rows(source, content) if path.lower().endswith(".parquet") else _csv_rows(source, content)
    base = filesystem.unstrip_protocol(posixpath.dirname(path))
    known = {label: label for label in LABELS} | dict(classes)
    seen: dict[str, tuple[LabelledImage, int]] = {}
    for number, row in rows:
        image = _parse_row(row, f"{source}, row {number}", base, known)
        earlier, earlier_number = seen.setdefault(image.uri, (image, number))
        if earlier != image:
            raise InvalidDataset(
                f"{source}: rows {earlier_number} and {number} disagree about {row['image']}; keep the right one."
            )
    images = tuple(image for image, _ in seen.values())
    _require_files(source, [image.uri for image in images])
    return LabelledDataset(source=source, images=images)


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


def _parse_row(row: Mapping[str, Any], where: str, base: str, labels: Mapping[str, Label]) -> LabelledImage:
    name, label = _text(row, "image"), _text(row, "label")
    if name is None:
        raise InvalidDataset(f"{where}: the image is not named.")
    if label is None or label not in labels:
        raise InvalidDataset(f"{where}: label {label!r} of {name} is none of {', '.join(sorted(labels))}.")
    image = LabelledImage(
        uri=_resolve(name, base), label=labels[label], part_id=_text(row, "part_id"), line=_text(row, "line")
    )
    return replace(image, captured_at=_captured_at(row, where))


def _text(row: Mapping[str, Any], column: str) -> str | None:
    value = row.get(column)
    return None if value is None else str(value).strip() or None


def _resolve(name: str, base: str) -> str:
    """Give the uri of an image that a manifest names: a URL, an absolute path, or relative to the manifest."""
    if "://" in name:
        return name
    protocol, _, folder = base.partition("://")
    return f"{protocol}://{posixpath.normpath(posixpath.join(folder, name))}"


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


def _require_files(source: str, uris: Iterable[str]) -> None:
    """Raise unless every file is there; each folder is listed once, since one request a file takes minutes on S3."""
    listed: dict[str, frozenset[str]] = {}
    missing = []
    for uri in uris:
        filesystem, path = fsspec.core.url_to_fs(uri)
        folder = uri.rsplit("/", 1)[0]
        if folder not in listed:
            try:
                listed[folder] = frozenset(filesystem.ls(posixpath.dirname(path), detail=False))
            except FileNotFoundError:
                listed[folder] = frozenset()
        # Some servers give files but no listing.
        if path not in listed[folder] and not filesystem.isfile(path):
            missing.append(uri)
    if missing:
        raise InvalidDataset(
            f"{source} names {len(missing)} files that do not exist, the first is {missing[0]}. "
            "Names are relative to the manifest's folder, or whole URLs."
        )


def _protocol(filesystem: Any) -> str:
    return filesystem.protocol if isinstance(filesystem.protocol, str) else str(filesystem.protocol[0])


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Raise what a file system says as an error of this package."""
    try:
        yield
    except FileNotFoundError as error:
        raise InvalidDataset(f"{what} does not exist.") from error
    except PermissionError as error:
        raise StorageDenied(f"Access to {what} was refused: {error}. Check the rights to read it.") from error
    except OSError as error:
        raise StorageUnavailable(f"Storage did not answer for {what}: {type(error).__name__}: {error}.") from error
