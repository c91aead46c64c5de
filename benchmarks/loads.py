"""What is run: tables, rows, the loads and where each of them makes sense. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KEYS = 100  # TPTBM's default: KEYS x KEYS rows
BRANCHES = 8
ACCOUNTS = 5_000  # of each branch
START_BALANCE = 1_000_000

# Where a client of the grid connects, and which branch it asks for:
ANY = "any"  # all instances alike; keys at random
LEAD = "lead"  # the instance that leads the replica set of the branch
OTHER = "other"  # an instance that does not lead the replica set of the branch
CROSS = "cross"  # any instance; two branches of two replica sets
SAME = "same"  # any instance; two branches of one replica set

GRID, SINGLE, PAIR = "TenGrid K=2", "PostgreSQL", "PostgreSQL + standby"


@dataclass(frozen=True)
class Load:
    """One load: weighted pgbench scripts."""

    title: str
    scripts: tuple[tuple[str, int], ...]  # (file without .sql, weight)
    where: str = ANY
    protocol: str = "prepared"
    writes: bool = True

    @property
    def key(self) -> str:
        """Short name, of the command line and in JSON."""
        names = "+".join(f"{name}@{weight}" for name, weight in self.scripts)
        return f"{names}/{self.where}/{self.protocol}"


MIX = Load("TPTBM 80 % read, 20 % update", (("tptbm_read", 80), ("tptbm_update", 20)))
READ = Load("TPTBM read", (("tptbm_read", 1),), writes=False)
UPDATE = Load("TPTBM update", (("tptbm_update", 1),))
READ_SIMPLE = Load(
    "TPTBM read, simple protocol", (("tptbm_read", 1),), protocol="simple", writes=False
)
MIX_SIMPLE = Load(
    "TPTBM 80/20, simple protocol",
    (("tptbm_read", 80), ("tptbm_update", 20)),
    protocol="simple",
)
READ_LEAD = Load("read, client at the lead", (("branch_read", 1),), LEAD, writes=False)
READ_OTHER = Load("read, client elsewhere", (("branch_read", 1),), OTHER, writes=False)
UPDATE_LEAD = Load("update, client at the lead", (("branch_update", 1),), LEAD)
UPDATE_OTHER = Load("update, client elsewhere", (("branch_update", 1),), OTHER)
TRANSFER = Load("bank transfer over two replica sets", (("transfer", 1),), CROSS)
TRANSFER_SAME = Load("bank transfer in one replica set", (("transfer", 1),), SAME)


@dataclass(frozen=True)
class Cell:
    """One measurement that is repeated: a load with so many clients at one target."""

    load: Load
    clients: int
    target: str
    forced: bool  # every commit is flushed to disk before it is acknowledged


def quick_cells() -> list[Cell]:
    """What `make bench-quick` measures, at 16 clients."""
    cells: list[Cell] = []
    for load in (MIX, READ, UPDATE, TRANSFER, READ_LEAD, READ_SIMPLE):
        cells += cells_of(load, 16, forced=False)
    for load in (MIX, UPDATE, TRANSFER):
        cells += cells_of(load, 16, forced=True)
    return cells


def full_cells() -> list[Cell]:
    """What `make bench` measures."""
    cells: list[Cell] = []
    for clients in (1, 4, 16, 64):
        for load in (MIX, READ, UPDATE):
            cells += cells_of(load, clients, forced=False)
    for load in (READ_LEAD, UPDATE_LEAD):
        cells += cells_of(load, 1, forced=False)
    for load in (READ_LEAD, READ_OTHER, UPDATE_LEAD, UPDATE_OTHER, TRANSFER, TRANSFER_SAME):
        cells += cells_of(load, 16, forced=False)
    for load in (READ_SIMPLE, MIX_SIMPLE):
        cells += cells_of(load, 16, forced=False)
    cells += cells_of(TRANSFER, 4, forced=False)
    for clients in (4, 16):
        for load in (MIX, UPDATE, TRANSFER):
            cells += cells_of(load, clients, forced=True)
    return cells


def cells_of(load: Load, clients: int, *, forced: bool) -> list[Cell]:
    """The same at every target for which it says something: a read needs no standby."""
    targets = (GRID, SINGLE, PAIR) if load.writes else (GRID, SINGLE)
    return [Cell(load, clients, target, forced) for target in targets]


def vpn_rows() -> Iterator[str]:
    """COPY lines of TPTBM's table."""
    for vpn in range(KEYS):
        for number in range(KEYS):
            yield f"{vpn}\t{number}\t55{vpn:04d}{number:04d}\t0000000000\tplace-holder\n"


def bank_rows() -> Iterator[str]:
    """COPY lines of the bank."""
    for branch in range(1, BRANCHES + 1):
        for account in range(1, ACCOUNTS + 1):
            yield f"{branch}\t{account}\t{START_BALANCE}\n"
