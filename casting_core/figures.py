"""Pictures for people: contact sheets of judged parts."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, ImageOps

from casting_core.errors import InvalidInput
from casting_core.palette import INK, PAPER, QUIET, VERDICT_COLORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from casting_core.types import VerdictName

_MARGIN, _GAP, _CAPTION, _BAND = 28, 14, 44, 6


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture of a contact sheet: the file's bytes, and what is written below it.

    `verdict` is what was said of it, with its probability, or what people labelled it, without.
    """

    content: bytes
    verdict: VerdictName
    p_defective: float | None
    caption: str


def contact_sheet(tiles: Sequence[Tile], *, title: str, subtitle: str = "", columns: int = 6, side: int = 190) -> bytes:
    """Lay judged pictures out in the order given, and return the sheet as PNG.

    Each tile is `side` pixels wide. Raises InvalidInput without tiles.
    """
    if not tiles:
        raise InvalidInput("A contact sheet needs at least one picture.")
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    head = _MARGIN + 62
    width = 2 * _MARGIN + columns * side + (columns - 1) * _GAP
    height = head + rows * (side + _BAND + _CAPTION + _GAP) + _MARGIN - _GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 6), title, fill=INK, font=_font(24))
    draw.text((_MARGIN, _MARGIN + 28), subtitle, fill=QUIET, font=_font(15))
    for index, tile in enumerate(tiles):
        left = _MARGIN + (index % columns) * (side + _GAP)
        top = head + (index // columns) * (side + _BAND + _CAPTION + _GAP)
        _draw_tile(sheet, draw, tile, left=left, top=top, side=side)
    target = io.BytesIO()
    sheet.save(target, format="PNG", optimize=True)
    return target.getvalue()


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, *, left: int, top: int, side: int) -> None:
    with Image.open(io.BytesIO(tile.content)) as picture:
        picture.draft("RGB", (side, side))
        sheet.paste(ImageOps.pad(picture.convert("RGB"), (side, side), color=PAPER), (left, top))
    color = VERDICT_COLORS[tile.verdict]
    draw.rectangle((left, top + side, left + side - 1, top + side + _BAND - 1), fill=color)
    draw.text((left, top + side + _BAND + 5), tile.verdict, fill=color, font=_font(16))
    if tile.p_defective is not None:
        p_defective = f"p {tile.p_defective:.2f}"
        draw.text((left + side, top + side + _BAND + 5), p_defective, fill=INK, font=_font(16), anchor="ra")
    draw.text((left, top + side + _BAND + 25), tile.caption, fill=QUIET, font=_font(12))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
