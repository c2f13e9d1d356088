"""A labelled data set as people have it: a folder per class, a zip of such folders, or a manifest.

    folder/def_front/*.jpeg, folder/ok_front/*.jpeg      at any fsspec URL
    archive.zip                                          with the same folders inside, never unpacked
    labels.csv, labels.parquet                           image,label[,part_id,line,captured_at]

Only names are read here; the pictures themselves are opened when somebody asks for their bytes.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_args

import fsspec
from fsspec.implementations.zip import ZipFileSystem

from casting_core.errors import InvalidDataset, StorageDenied, StorageUnavailable
from casting_core.manifest import MANIFEST_SUFFIXES, read_rows
from casting_core.types import Label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

__all__ = [
    "DEFAULT_CLASSES",
    "Label",
    "LabelledDataset",
    "LabelledFile",
    "LabelledImage",
    "parse_classes",
    "read_dataset",
]

LABELS: tuple[Label, ...] = get_args(Label)

DEFAULT_CLASSES: Mapping[str, Label] = MappingProxyType(
    {"def_front": "defective", "ok_front": "ok", "defective": "defective", "ok": "ok"}
)
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})


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
            unknown["/".join(folders)] += 1
            continue
        uri = f"zip://{inside}::{archive}" if archive else filesystem.unstrip_protocol(path)
        images.append(LabelledImage(uri=uri, label=label))
        paths[uri] = path
    if unknown:
        folder, count = unknown.most_common(1)[0]
        remedy = f"Name it (--classes {folder.rsplit('/', 1)[-1]}=ok,...) or move it away." if folder else "Sort them."
        raise InvalidDataset(
            f"{source} has {count} pictures in {folder or 'its top folder'}, which is the folder of no class; known "
            f"are {', '.join(sorted(classes))}. {remedy}"
        )
    return LabelledDataset(source=source, images=tuple(images), _filesystem=filesystem, _paths=paths)


def _is_hidden(path: str) -> bool:
    """Whether a file manager or an archiver put this there (.thumbnails, ._name, __MACOSX)."""
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def _read_manifest(source: str, filesystem: Any, path: str, classes: Mapping[str, Label]) -> LabelledDataset:
    base = filesystem.unstrip_protocol(posixpath.dirname(path))
    labels = {label: label for label in LABELS} | dict(classes)
    seen: dict[str, tuple[LabelledImage, int]] = {}
    for row in read_rows(source, filesystem.cat_file(path)):
        if row.label not in labels:
            known = ", ".join(sorted(labels))
            raise InvalidDataset(f"{source}, row {row.number}: label {row.label!r} of {row.image} is none of {known}.")
        image = LabelledImage(
            uri=_resolve(row.image, base),
            label=labels[row.label],
            part_id=row.part_id,
            line=row.line,
            captured_at=row.captured_at,
        )
        earlier, earlier_number = seen.setdefault(image.uri, (image, row.number))
        if earlier != image:
            raise InvalidDataset(
                f"{source}: rows {earlier_number} and {row.number} disagree about {row.image}; keep the right one."
            )
    images = tuple(image for image, _ in seen.values())
    _require_files(source, [image.uri for image in images])
    return LabelledDataset(source=source, images=images)


def _resolve(name: str, base: str) -> str:
    """Give the uri of an image that a manifest names: a URL, an absolute path, or relative to the manifest."""
    if "://" in name:
        return name
    protocol, _, folder = base.partition("://")
    return f"{protocol}://{posixpath.normpath(posixpath.join(folder, name))}"


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
