"""Held-out predictions, drawn by hypothesis or made to a plan."""

import numpy as np
from hypothesis import strategies as st

from casting_core.held_out import HeldOut


def held_out_of(labels, p_defective, castings=None, folds=None):
    labels = np.asarray(labels, dtype=np.int64)
    return HeldOut(
        names=tuple(f"file:///line/{index}.jpg" for index in range(len(labels))),
        labels=labels,
        castings=np.arange(len(labels)) if castings is None else np.asarray(castings, dtype=np.int64),
        p_defective=np.asarray(p_defective, dtype=np.float64),
        folds=np.zeros(len(labels), dtype=np.int64) if folds is None else np.asarray(folds, dtype=np.int64),
    )


# Few different values, so that ties are common; the ends, which saturate.
_values = st.one_of(st.sampled_from([0.0, 1e-12, 0.1, 0.5, 0.9, 1.0]), st.floats(0, 1))
_image = st.tuples(st.integers(0, 1), _values, st.integers(0, 6))


@st.composite
def held_out_sets(draw):
    """Both classes, castings of one class as well as mixed ones."""
    images = draw(st.lists(_image, max_size=14))
    images += [(0, draw(_values), draw(st.integers(0, 6))), (1, draw(_values), draw(st.integers(0, 6)))]
    labels, p_defective, castings = zip(*images, strict=True)
    return held_out_of(labels, p_defective, castings)
