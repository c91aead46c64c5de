"""A host of a simulation and its process, over all its lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.sim.loop import SimLoop
from tests.sim.membership import SimMembership


@dataclass(kw_only=True)
class SimSite:
    """What every kind of instance has."""

    NETWORK: ClassVar[str]  # the first three numbers of its address

    number: int
    home: Path
    life: int = 0
    loop: SimLoop | None = None
    membership: SimMembership | None = None

    @property
    def host(self) -> str:
        return f"{self.NETWORK}.{self.number}"

    @property
    def name(self) -> str:
        return f"host{self.number}.instance1"

    @property
    def incarnation(self) -> str:
        return f"{self.name}-{self.life}"

    @property
    def up(self) -> bool:
        return self.loop is not None and not self.loop.dead
