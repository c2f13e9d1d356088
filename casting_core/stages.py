"""Where the time of a scoring run goes: seconds of work, added up by stage over all threads that do it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casting_core.types import Stage


class StageClock:
    """Adds up the seconds that threads spend in each stage. Stages of different chunks overlap, so their sum says work.

    `discover` happens once at a time, so it is at most the run's duration. `forward` counts each stream of the engine:
    over the run's duration and the streams (one in torch, one a core for 8-bit integers) it is how busy the network
    was. `decode` counts each of its threads, at most one a core. `fetch` and `write` count each chunk in flight.
    """

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add what happens inside to a stage, also when it fails."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
