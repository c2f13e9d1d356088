"""Held-out predictions as an artifact keeps them: a CSV file from which thresholds can be chosen again.

image,label,casting,fold,p_defective
file:///data/P0001.jpg,defective,17,0,0.9731
"""

from __future__ import annotations

import csv
import io

import numpy as np

from casting_core.card import CLASSES
from casting_core.errors import InvalidInput
from casting_core.held_out import HeldOut

__all__ = ["PREDICTIONS", "read_predictions", "write_predictions"]

# The file's name in an artifact's folder.
PREDICTIONS = "predictions.csv"

_COLUMNS = ("image", "label", "casting", "fold", "p_defective")


def write_predictions(held_out: HeldOut) -> bytes:
    """Give held-out predictions as a CSV file in UTF-8, probabilities to the last bit."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(
        zip(
            held_out.names,
            (CLASSES[label] for label in held_out.labels),
            held_out.castings.tolist(),
            held_out.folds.tolist(),
            map(repr, held_out.p_defective.tolist()),
            strict=True,
        )
    )
    return text.getvalue().encode()


def read_predictions(content: bytes, *, where: str = PREDICTIONS) -> HeldOut:
    """Read what `write_predictions` wrote; people may have added columns or changed the order of rows.

    Raises `InvalidInput`, naming `where` and the row, for another kind of file, missing columns, a label that is
    neither ok nor defective, or values that no predictions can have.
    """
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{where} is no CSV file of predictions: {error}.") from error
    if missing:
        raise InvalidInput(f"{where} lacks the columns {', '.join(missing)}; take the file that training wrote.")
    images = [_parse(row, where=f"{where}, row {number}") for number, row in enumerate(rows, start=2)]
    try:
        return HeldOut(
            names=tuple(image[0] for image in images),
            labels=np.array([image[1] for image in images], dtype=np.int64),
            castings=np.array([image[2] for image in images], dtype=np.int64),
            folds=np.array([image[3] for image in images], dtype=np.int64),
            p_defective=np.array([image[4] for image in images], dtype=np.float64),
        )
    except InvalidInput as error:
        raise InvalidInput(f"{where} holds no predictions that can be used: {error}") from error


def _parse(row: dict[str, str], *, where: str) -> tuple[str, int, int, int, float]:
    if row["label"] not in CLASSES:
        raise InvalidInput(f"{where}: the label {row['label']!r} is none of {', '.join(CLASSES)}.")
    try:
        label = CLASSES.index(row["label"])
        return row["image"], label, int(row["casting"]), int(row["fold"]), float(row["p_defective"])
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{where}: {error}. Take the file that training wrote.") from error
