"""What is measured of processes again and again, and whether any of it grows."""

from dataclasses import dataclass, field

import numpy as np

from tests.soak.flatness import risen, slope

# The first third is warm-up: caches fill, and allocators find their size.
WARM_UP = 1 / 3
# Memory may grow by so many MiB an hour, which is half a gigabyte a day.
MOST_MIB_PER_HOUR = 20.0
_MIB = 2**20


@dataclass(kw_only=True)
class Samples:
    """What was measured: for each thing its values, all taken at `seconds`."""

    seconds: list = field(default_factory=list)
    memory: dict = field(default_factory=dict)
    counts: dict = field(default_factory=dict)

    def take(self, seconds, processes, **counts):
        """Sample processes by role; memory is their own (USS), so that shared pages count for nobody."""
        self.seconds.append(seconds)
        for role, process in processes.items():
            self.memory.setdefault(role, []).append(process.memory_full_info().uss / _MIB)
            self.counts.setdefault(f"{role}: open files", []).append(process.num_fds())
        for name, count in counts.items():
            self.counts.setdefault(name, []).append(count)

    def rows(self):
        """For each thing: what it is, at the end of warm-up, at the end, growth, and the verdict."""
        seconds = np.array(self.seconds)
        warm = seconds >= seconds[0] + WARM_UP * (seconds[-1] - seconds[0])
        for name, values in self.memory.items():
            kept = np.array(values)[warm]
            fit = slope(seconds[warm], kept)
            growth = f"{fit.per_hour:+.1f} ± {fit.noise:.1f} MiB/h"
            yield f"{name}: memory", f"{kept[0]:.0f} MiB", f"{kept[-1]:.0f} MiB", growth, fit.verdict(MOST_MIB_PER_HOUR)
        for name, values in self.counts.items():
            kept = np.array(values)[warm]
            rise = risen(kept)
            yield name, str(kept[0]), str(kept[-1]), f"{rise:+d} at least", "grows" if rise > 0 else "flat"
