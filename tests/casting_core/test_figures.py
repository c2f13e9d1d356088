"""Contact sheets hold every tile, in its verdict's colour, in the order given."""

import io

import pytest
from PIL import Image

from casting_core.errors import InvalidInput
from casting_core.figures import Tile, contact_sheet


def tile(grey, verdict):
    target = io.BytesIO()
    Image.new("L", (50, 40), grey).save(target, format="PNG")
    return Tile(content=target.getvalue(), verdict=verdict, p_defective=0.5, caption="line-a P1")


def test_tiles_stand_in_order_with_the_colour_of_their_verdict():
    sheet = contact_sheet([tile(10, "defective"), tile(200, "ok"), tile(100, "review")], title="T", columns=2, side=100)
    with Image.open(io.BytesIO(sheet)) as image:
        rows = [image.getpixel((28 + column * 114 + 50, 90 + row * 164 + 50)) for row in (0, 1) for column in (0, 1)]
        assert rows[:3] == [(10, 10, 10), (200, 200, 200), (100, 100, 100)]
        assert rows[3] == image.getpixel((2, 2))
        bands = [
            image.getpixel((28 + column * 114 + 50, 90 + row * 164 + 102)) for row, column in ((0, 0), (0, 1), (1, 0))
        ]
        assert bands == [(0xC8, 0x44, 0x2B), (0x2F, 0x7D, 0x78), (0xD9, 0x9A, 0x1C)]


def test_a_sheet_without_pictures_is_refused():
    with pytest.raises(InvalidInput, match="at least one"):
        contact_sheet([], title="T")
