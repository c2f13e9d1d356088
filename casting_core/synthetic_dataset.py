"""Labelled files of synthetic castings, rendered by all cores: sound ones, faulty ones, and sound ones made faulty.

Imports no network library, so that the worker processes are there at once.
"""

from __future__ import annotations

import io
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from casting_core.dataset import LabelledFile
from casting_core.synthetic import SyntheticCasting, defect_mask, make_casting, render

if TYPE_CHECKING:
    from pathlib import Path

_SEEDS_APART = 100_000


def render_castings(
    folder: Path, *, seeded: int = 0, ok: int = 0, defective: int = 0, first: int = 0, seed: int = 0, size: int = 300
) -> list[LabelledFile]:
    """Render castings as JPEG files, keep them in `folder` to look at, and return them.

    The `seeded` ones come twice: sound, and with a defect put into the same casting, as seeded-defect trials do.
    Castings are numbered, and drawn, from `first` on; `size` is the pictures' side in pixels. Faulty ones are marked
    where the defect is.
    """
    forms = [(False, True)] * seeded + [(False,)] * ok + [(True,)] * defective
    numbers = range(first, first + len(forms))
    render_one = partial(_render_casting, seed=seed, size=size)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        files = [file for some in pool.map(render_one, numbers, forms, chunksize=8) for file in some]
    for file in files:
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    return files


def _render_casting(number: int, forms: tuple[bool, ...], *, seed: int, size: int) -> list[LabelledFile]:
    castings = (make_casting(seed * _SEEDS_APART + number, defective=form) for form in forms)
    return [_render_form(casting, number, size) for casting in castings]


def _render_form(casting: SyntheticCasting, number: int, size: int) -> LabelledFile:
    encoded = io.BytesIO()
    Image.fromarray(render(casting, size=size)).save(encoded, format="JPEG", quality=90)
    kind = "def" if casting.defects else "ok"
    return LabelledFile(
        name=f"{kind}_front/cast_{kind}_{number:05d}.jpeg",
        content=encoded.getvalue(),
        label=casting.label,
        group=number,
        mark=_mark(casting, size) if casting.defects else None,
    )


def _mark(casting: SyntheticCasting, size: int) -> tuple[float, float]:
    """Where somebody would point to, as (x, y) in 0..1 of the picture."""
    rows, columns = np.nonzero(defect_mask(casting, size=size))
    place = np.random.default_rng(casting.seed).integers(len(rows))
    return (float(columns[place]) / size, float(rows[place]) / size)
