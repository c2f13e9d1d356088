"""A file of labels as people write it, CSV or Parquet: image,label[,who,at,why]."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from casting_core.errors import InvalidDataset
from casting_core.manifest import required_text, table_rows, text_of, time_of
from casting_core.registry_types import GivenLabel
from casting_core.types import Label

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from casting_core.registry_types import CurrentLabel

__all__ = ["LabelRow", "read_labels", "write_labels"]

COLUMNS = ("image", "label", "who", "at", "why", "line", "part_id", "captured_at")
_LABELS: Mapping[str, Label] = {label: label for label in get_args(Label)}
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class LabelRow:
    """A row of the file; `number` is where a person finds it."""

    number: int
    given: GivenLabel


def read_labels(source: str, content: bytes, *, root: str, who: str, now: datetime) -> list[LabelRow]:
    """Read the labels of a file; the end of its name `source` says of which kind it is.

    `image` is a uri, or the key below `root`, the URL of the bucket. `who` labelled where the file does not say.
    Rows that say the same of an image count once. Raises `InvalidDataset`, naming the rows: for a file that cannot be
    read, a label that is none, rows that disagree about an image, and a time without a zone or after `now`.
    """
    rows = [
        LabelRow(number=number, given=_given(row, f"{source}, row {number}", root=root, who=who))
        for number, row in table_rows(source, content, required=("image", "label"))
    ]
    if not rows:
        raise InvalidDataset(f"{source} holds no label.")
    _refuse(
        source, [row for row in rows if row.given.label not in _LABELS], "have a label that is neither ok nor defective"
    )
    late = [row for row in rows if row.given.labelled_at is not None and row.given.labelled_at > now]
    _refuse(source, late, "were labelled in the future; a label from the future would outweigh every correction")
    by_image = defaultdict(list)
    for row in rows:
        by_image[row.given.uri].append(row)
    disagreeing = [same for same in by_image.values() if len({row.given.label for row in same}) > 1]
    _refuse(source, [row for same in disagreeing for row in same], "disagree about an image; keep the right ones")
    return [same[0] for same in by_image.values()]


def write_labels(name: str, labels: Sequence[CurrentLabel]) -> bytes:
    """Write labels as a file of the kind that the end of its name says; it can be read again as it is."""
    rows = [_row(label) for label in labels]
    if name.lower().endswith(".parquet"):
        # Slow to import, and only those who keep Parquet files need it.
        from pyarrow import BufferOutputStream, Table, parquet  # noqa: PLC0415

        sink = BufferOutputStream()
        parquet.write_table(Table.from_pydict({column: [row[column] for row in rows] for column in COLUMNS}), sink)
        content: bytes = sink.getvalue().to_pybytes()
        return content
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _given(row: Mapping[str, Any], where: str, *, root: str, who: str) -> GivenLabel:
    image, label = required_text(row, "image", where), required_text(row, "label", where)
    return GivenLabel(
        uri=image if "://" in image else f"{root}/{image.lstrip('/')}",
        # What it is not is refused together with all others, so that a person corrects the file once.
        label=_LABELS.get(label.lower(), label),  # type: ignore[arg-type]
        who=text_of(row, "who") or who,
        why=text_of(row, "why") or "",
        labelled_at=time_of(row, "at", where),
    )


def _row(label: CurrentLabel) -> dict[str, Any]:
    return {
        "image": label.uri,
        "label": label.label,
        "who": label.who,
        "at": label.labelled_at.isoformat(),
        "why": label.why,
        "line": label.line,
        "part_id": label.part_id,
        "captured_at": label.captured_at.isoformat(),
    }


def _refuse(source: str, rows: Iterable[LabelRow], what: str) -> None:
    """Raise `InvalidDataset` if there are such rows, naming the first of them."""
    named = [f"row {row.number} ({row.given.uri.rsplit('/', 1)[-1]}: {row.given.label})" for row in rows]
    if named:
        more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
        raise InvalidDataset(f"{source}: {', '.join(named[:_SHOWN])}{more} {what}. Nothing was recorded.")
