"""How busy the graphics cards of this machine are, as nvidia-smi tells it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

_ASKED = "index,utilization.gpu,memory.used,memory.total"
_MIB = 1024 * 1024
# A driver that hangs must not hang whoever asks for figures.
_PATIENCE_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class CardUse:
    """One card at this moment. `busy` is the share of the last second or less in which it computed, 0 to 1."""

    index: str
    busy: float
    memory_used: int
    memory_total: int


def read_cards() -> list[CardUse]:
    """Ask the driver; nothing where there is no card, or it does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - found on the path above
            [program, f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_cards(done.stdout)


def parse_cards(answer: str) -> list[CardUse]:
    """Read nvidia-smi's lines, one a card. A card that does not tell a figure ([N/A]) is left out."""
    cards = []
    for line in answer.splitlines():
        index, *figures = (field.strip() for field in line.split(","))
        try:
            busy, used, total = map(float, figures)
        except ValueError:
            continue
        cards.append(
            CardUse(index=index, busy=busy / 100, memory_used=int(used * _MIB), memory_total=int(total * _MIB))
        )
    return cards
