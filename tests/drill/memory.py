"""How much memory the daemons of a grid take, while a drill runs."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.drill.history import Verdict
from tests.support.real_grid import RealGrid

EVERY_S = 2.0
# A data instance: PermSize (256 MB of the file may be mapped and cached), TempSize (128) and as
# much again for what it works with.
DATA_MAX_MB = 768
OTHER_MAX_MB = 512  # management; the parent of a membership server


@dataclass
class Memory:
    """Samples of resident memory."""

    grid: RealGrid
    samples: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # name -> (monotonic seconds, MB)

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(EVERY_S)  # nothing tells when it changes

    def sample(self) -> None:
        """Once."""
        now_s = time.monotonic()
        for name, pid in self.grid.processes().items():
            if resident := resident_mb(pid):
                self.samples[name].append((now_s, resident))

    def verdict(self) -> Verdict:
        """No daemon takes more than its settings explain."""
        wrong = []
        for name, some in sorted(self.samples.items()):
            is_data = name.startswith("host") and name != "host1"
            allowed = DATA_MAX_MB if is_data else OTHER_MAX_MB
            most = max(mb for _, mb in some)
            if most > allowed:
                wrong.append(f"{name} took {most:.0f} MB, more than {allowed}")
        count = sum(map(len, self.samples.values()))
        return Verdict("memory of the daemons is bounded", count, tuple(wrong))


def resident_mb(pid: int) -> float:
    """0 if there is no such process."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * 4096 / (1 << 20)
