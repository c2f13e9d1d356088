"""What lies in object storage for a window of time: only the folders that the window reaches are listed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from casting_core.types import StoredImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from casting_core.layout import KeyLayout, Segment
    from casting_core.storage import Folder, ObjectInfo, ObjectStore
    from casting_core.types import Window

# Moments lie at most this far apart, and keys may say any time between them.
_BETWEEN_MOMENTS = timedelta(hours=1)


class KnownImages(Protocol):
    """Tells which images of a stretch of time are known, as `(uri, etag)`; line None asks for every line."""

    def __call__(
        self, *, captured_from: datetime, captured_until: datetime, line: str | None
    ) -> AbstractSet[tuple[str, str]]:
        """Return the known images with `captured_from <= captured_at < captured_until`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one folder held that is not known yet.

    `unmatched` are keys that do not fit the layout; `unsettled` counts files so young that their writer may not have
    finished.
    """

    images: tuple[StoredImage, ...] = ()
    unmatched: tuple[str, ...] = ()
    unsettled: int = 0


@dataclass(frozen=True, kw_only=True)
class _Branch:
    """A folder on the way down: the times that can still lie in it, and the line where its path tells it."""

    prefix: str
    moments: tuple[datetime, ...]
    line: str | None = None


def discover(
    store: ObjectStore,
    layout: KeyLayout,
    *,
    window: Window,
    known: KnownImages,
    lines: Sequence[str] = (),
    settled_before: datetime | None = None,
) -> Iterator[Found]:
    """Yield, folder by folder, the images of a window that are not known yet. `lines` () means all lines.

    With `settled_before`, files changed later than that are left for the next run. Raises what ObjectStore raises.
    """
    store.check_root()
    branches = [_Branch(prefix="", moments=tuple(layout.moments(window)))]
    for segment in layout.segments[:-1]:
        branches, strays = _descend(store, segment, branches, lines)
        if strays:
            yield Found(unmatched=tuple(strays))
    floor = layout.floor(window.since)
    folders = store.list_folders([branch.prefix for branch in branches])
    for branch, folder in zip(branches, folders, strict=True):
        unknown = _unknown(store, layout, branch, folder, known)
        settled = [info for info in unknown if settled_before is None or info.stored_at <= settled_before]
        images, unmatched = _parse(store, layout, settled)
        yield Found(
            images=tuple(
                image
                for image in images
                if floor <= image.captured_at < window.until and (not lines or image.line in lines)
            ),
            unmatched=(*unmatched, *folder.folders),
            unsettled=len(unknown) - len(settled),
        )


def _descend(
    store: ObjectStore, segment: Segment, branches: list[_Branch], lines: Sequence[str]
) -> tuple[list[_Branch], list[str]]:
    """Go one folder level down; also return the keys that lie where only folders belong."""
    if segment.only_time:
        return [deeper for branch in branches for deeper in _by_time(segment, branch)], []
    if segment.is_line and lines:
        return [_child(branch, line, line=line) for branch in branches for line in lines], []
    deeper, strays = [], []
    for branch, folder in zip(branches, store.list_folders([b.prefix for b in branches]), strict=True):
        strays += [info.key for info in folder.files]
        for path in folder.folders:
            name = path.rsplit("/", 1)[-1]
            moments = tuple(moment for moment in branch.moments if segment.fits(name, moment))
            if moments:
                child = _child(branch, name, line=name if segment.is_line else None)
                deeper.append(replace(child, moments=moments))
            elif segment.regex.fullmatch(name) is None:
                strays.append(f"{path}/")
    return deeper, strays


def _by_time(segment: Segment, branch: _Branch) -> Iterator[_Branch]:
    by_name: dict[str, list[datetime]] = {}
    for moment in branch.moments:
        by_name.setdefault(segment.name_at(moment), []).append(moment)
    for name, moments in by_name.items():
        yield replace(_child(branch, name), moments=tuple(moments))


def _child(branch: _Branch, name: str, *, line: str | None = None) -> _Branch:
    prefix = f"{branch.prefix}/{name}" if branch.prefix else name
    return _Branch(prefix=prefix, moments=branch.moments, line=line or branch.line)


def _unknown(
    store: ObjectStore, layout: KeyLayout, branch: _Branch, folder: Folder, known: KnownImages
) -> list[ObjectInfo]:
    if not folder.files:
        return []
    seen = known(
        captured_from=layout.floor(min(branch.moments) - _BETWEEN_MOMENTS),
        captured_until=max(branch.moments) + _BETWEEN_MOMENTS,
        line=branch.line,
    )
    if not seen:
        return list(folder.files)
    root = store.url
    return [info for info in folder.files if (f"{root}/{info.key}", info.etag) not in seen]


def _parse(store: ObjectStore, layout: KeyLayout, objects: Sequence[ObjectInfo]) -> tuple[list[StoredImage], list[str]]:
    images, unmatched = [], []
    for info in objects:
        fields = layout.parse(info.key)
        if fields is None:
            unmatched.append(info.key)
            continue
        images.append(
            StoredImage(
                uri=store.uri(info.key),
                etag=info.etag,
                size=info.size,
                line=fields.line,
                part_id=fields.part_id,
                view=fields.view,
                captured_at=fields.captured_at,
                stored_at=info.stored_at,
            )
        )
    return images, unmatched
