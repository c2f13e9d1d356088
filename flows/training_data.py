"""Labelled pictures from where people keep them: the table `label` with the bucket, and a data set beside it."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from casting_core.dataset import LabelledImage
from casting_core.golden import read_golden_picture, store_golden_pictures
from casting_core.registry_types import GoldenImage
from casting_core.snapshot import SnapshotImage
from db.golden import golden_images
from db.labels import current_labels
from flows.data_sets import open_data_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from casting_core.registry_types import CurrentLabel
    from casting_core.snapshot import Snapshot
    from casting_core.types import Rejection
    from flows.resources import Resources

# Undecoded pictures in memory at a time.
_AT_A_TIME = 256


def labelled_pictures(resources: Resources, source: str | None) -> Iterator[tuple[LabelledImage, bytes | Rejection]]:
    """Every labelled picture once: those of the database, then those of the data set `source`.

    Where both name an image, the database's label counts. Raises what storage and a data set raise.
    """
    with resources.engine.connect() as connection:
        labels = current_labels(connection)
    for start in range(0, len(labels), _AT_A_TIME):
        some = labels[start : start + _AT_A_TIME]
        contents = resources.store.fetch([(label.uri, label.etag) for label in some])
        for label in some:
            yield _image(label), contents[label.uri, label.etag]
    if source is not None:
        known = {label.uri for label in labels}
        dataset = open_data_set(resources.settings, source)
        for image in dataset.images:
            if image.uri not in known:
                yield image, dataset.read(image)


def with_golden_set(resources: Resources, snapshot: Snapshot) -> tuple[list[SnapshotImage], list[GoldenImage]]:
    """The snapshot's images, behind them the golden ones that it lacks, and the golden set.

    A golden picture that is labelled today has today's label; else the one that it was frozen with.
    """
    settings = resources.settings
    with resources.engine.connect() as connection:
        golden = golden_images(connection)
    images, held = list(snapshot.images), {each.sha256 for each in snapshot.images}
    for each in golden:
        if each.sha256 not in held:
            content = read_golden_picture(
                settings.models_root, each.sha256, options=settings.storage_options(settings.models_root)
            )
            (snapshot.folder / each.sha256).write_bytes(content)
            image = LabelledImage(uri=f"golden:{each.sha256}", label=each.label, part_id=each.part_id)
            images.append(SnapshotImage(image=image, sha256=each.sha256))
    return images, golden


def keep_golden_pictures(
    resources: Resources, snapshot: Snapshot, fresh: Sequence[tuple[SnapshotImage, int]], *, above: int
) -> tuple[GoldenImage, ...]:
    """Keep copies of pictures that are to join the golden set, each given with its casting's number in this snapshot.

    Returned is what the set has to record of them, with castings numbered from `above` on. The pictures come first: a
    record without its picture would stop every later comparison.
    """
    if fresh:
        root = resources.settings.models_root
        contents = (snapshot.read(each.sha256) for each, _ in fresh)
        store_golden_pictures(root, contents, options=resources.settings.storage_options(root))
    numbers = {casting: above + place for place, casting in enumerate(sorted({casting for _, casting in fresh}))}
    return tuple(
        GoldenImage(
            sha256=each.sha256,
            uri=each.image.uri,
            label=each.image.label,
            casting=numbers[casting],
            part_id=each.image.part_id,
        )
        for each, casting in fresh
    )


def _image(label: CurrentLabel) -> LabelledImage:
    # A part counts within its line and UTC day: many lines restart their part counter every day.
    day = label.captured_at.astimezone(UTC).date()
    return LabelledImage(
        uri=label.uri,
        label=label.label,
        part_id=f"{label.line}/{day}/{label.part_id}",
        line=label.line,
        captured_at=label.captured_at,
    )
