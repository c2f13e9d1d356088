"""Labelled data sets, read with the plant's access to S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fsspec

from casting_core.dataset import DEFAULT_CLASSES, parse_classes, read_dataset

if TYPE_CHECKING:
    from casting_core.dataset import LabelledDataset
    from flows.settings import Settings


def open_data_set(settings: Settings, source: str, *, classes: str | None = None) -> LabelledDataset:
    """Read a folder, zip or manifest at a path or URL; `classes` as people write it: def_front=defective,ok_front=ok.

    Raises what `read_dataset` and `parse_classes` raise.
    """
    access = settings.storage_options("s3://")
    if access:
        # Its pictures are read by their URL alone, out of a zip and wherever a manifest points: so access goes with S3.
        fsspec.config.conf["s3"] = fsspec.config.conf.get("s3", {}) | access
    return read_dataset(source, classes=parse_classes(classes) if classes is not None else DEFAULT_CLASSES)
