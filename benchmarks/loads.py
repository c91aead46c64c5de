"""What is run: tables, rows, loads, and the cells that `make bench` measures. Pure."""

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
CITUS, GALERA, SQLITE = "Citus, 2 workers", "Galera, 3 nodes", "SQLite, one thread"

CLIENT, COPY, SCAN = "client", "copy", "scan"  # kinds of loads


@dataclass(frozen=True)
class Load:
    """One load: weighted pgbench scripts, a bulk load or a scan."""

    title: str
    scripts: tuple[tuple[str, int], ...] = ()  # (file without .sql, weight)
    where: str = ANY
    protocol: str = "prepared"
    kind: str = CLIENT


MIX = Load("TPTBM 80 % read, 20 % update", (("tptbm_read", 80), ("tptbm_update", 20)))
READ = Load("TPTBM read", (("tptbm_read", 1),))
UPDATE = Load("TPTBM update", (("tptbm_update", 1),))
READ_SIMPLE = Load("TPTBM read, simple protocol", (("tptbm_read", 1),), protocol="simple")
MIX_SIMPLE = Load("TPTBM 80/20, simple protocol", MIX.scripts, protocol="simple")
READ_LEAD = Load("read, client at the lead", (("branch_read", 1),), LEAD)
READ_OTHER = Load("read, client elsewhere", (("branch_read", 1),), OTHER)
UPDATE_LEAD = Load("update, client at the lead", (("branch_update", 1),), LEAD)
UPDATE_OTHER = Load("update, client elsewhere", (("branch_update", 1),), OTHER)
TRANSFER = Load("bank transfer over two replica sets", (("transfer", 1),), CROSS)
TRANSFER_SAME = Load("bank transfer in one replica set", (("transfer", 1),), SAME)
BULK = Load("bulk load by COPY, customers", kind=COPY)
AGGREGATE = Load("scan aggregate, customers", kind=SCAN)
LOADS = (
    *(MIX, READ, UPDATE, READ_SIMPLE, MIX_SIMPLE, READ_LEAD, READ_OTHER, UPDATE_LEAD),
    *(UPDATE_OTHER, TRANSFER, TRANSFER_SAME, BULK, AGGREGATE),
)
CURVES = (MIX, READ, UPDATE)  # throughput against clients
CURVE_CLIENTS = (1, 4, 16, 64)
STREAMS = 4  # of a bulk load, one per data instance


@dataclass(frozen=True)
class Cell:
    """One measurement that is repeated: a load with so many clients at one target."""

    load: Load
    clients: int
    target: str
    forced: bool = False  # every commit is flushed to disk before it is acknowledged


def goal_cells() -> list[Cell]:
    """What the table of goals needs, and PostgreSQL alone beside it."""
    return [
        *_cells(MIX, 16, GRID, PAIR, SINGLE, forced=True),
        *_cells(MIX, 16, GRID, PAIR, CITUS, SINGLE),
        *_cells(MIX, 64, GRID, SINGLE, PAIR),
        *_cells(READ, 16, GRID, SINGLE),
        *_cells(READ, 64, GRID, SINGLE),
        *_cells(READ_LEAD, 16, GRID, SINGLE),
        *_cells(READ_SIMPLE, 16, GRID, SINGLE),
        *_cells(UPDATE, 16, GRID, PAIR, SINGLE, forced=True),
        *_cells(UPDATE, 16, GRID, GALERA, PAIR, SINGLE),
        *_cells(TRANSFER, 16, GRID, PAIR, CITUS, SINGLE),
        *_cells(READ_LEAD, 1, GRID, SINGLE),
        *_cells(UPDATE, 1, GRID, PAIR, SINGLE),
        *_cells(UPDATE, 1, GRID, PAIR, forced=True),
        *_cells(BULK, STREAMS, GRID, PAIR),
        *_cells(AGGREGATE, 1, GRID, SQLITE),
    ]


def more_cells() -> list[Cell]:
    """Curves against clients, and what explains the rest; the grid alone where a peer says nothing.

    None of them is in goal_cells().
    """
    cells = [
        cell
        for n in CURVE_CLIENTS
        for load in CURVES
        for cell in _cells(load, n, GRID, SINGLE, PAIR)
    ]
    cells += _cells(TRANSFER, 16, GRID, PAIR, SINGLE, forced=True)
    for load in (READ_OTHER, UPDATE_LEAD, UPDATE_OTHER, TRANSFER_SAME, MIX_SIMPLE):
        cells += _cells(load, 16, GRID)
    known = set(goal_cells())
    return [cell for cell in cells if cell not in known and not _pointless(cell)]


def _pointless(cell: Cell) -> bool:
    return cell.load == READ and cell.target == PAIR  # a read needs no standby


def _cells(load: Load, clients: int, *targets: str, forced: bool = False) -> list[Cell]:
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
