"""Results on disk as JSON, so that pages and plots can be written again. Pure but for the files."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.loads import LOADS, Cell
from benchmarks.result import Result, median

FOLDER = Path(__file__).with_name("results")
BENCH, GROWTH = FOLDER / "bench.json", FOLDER / "growth.json"


class Run(msgspec.Struct, kw_only=True):
    """A run of the table and the curves: how it was run, and all single results."""

    kind: str  # "quick" | "full"
    began: datetime.datetime
    machine: list[str]
    customers: int  # of the bulk load and the scan
    took_s: float = 0.0
    idle: dict[str, float] = {}  # cores used without any client, by target
    notices: list[str] = []  # what was skipped, what failed
    rows: list[Row] = []

    def results(self) -> dict[Cell, list[Result]]:
        """By cell."""
        return {row.cell(): row.runs for row in self.rows}

    def medians(self) -> dict[Cell, Result]:
        """Of the cells that were measured."""
        return {row.cell(): median(row.runs) for row in self.rows if row.runs}


class Row(msgspec.Struct, kw_only=True):
    """All results of a cell."""

    load: str  # its title
    clients: int
    target: str
    forced: bool
    runs: list[Result]

    def cell(self) -> Cell:
        """Raises StopIteration for a load that is no longer known."""
        load = next(load for load in LOADS if load.title == self.load)
        return Cell(load, self.clients, self.target, self.forced)


class Growth(msgspec.Struct, kw_only=True):
    """How cost grows with the number of data instances, and what memory is needed."""

    began: datetime.datetime
    machine: list[str]
    clients: int
    points: list[Point] = []
    memory: dict[str, float] = {}  # bytes, by what for
    notices: list[str] = []

    def lines(self) -> dict[str, list[tuple[float, float]]]:
        """(data instances, CPU µs) by operation and K; the median of the runs."""
        found: dict[str, list[tuple[float, float]]] = {}
        for point in self.points:
            if point.runs:
                name = f"{point.operation}, K={point.k}"
                found.setdefault(name, []).append((point.data, median(point.runs).cpu_us))
        return {name: sorted(points) for name, points in found.items()}


class Point(msgspec.Struct, kw_only=True):
    """One operation at a grid of so many data instances with K copies."""

    operation: str
    k: int
    data: int
    runs: list[Result]
    idle_us: float = 0.0  # CPU µs per second and instance without any client


def row(cell: Cell, runs: list[Result]) -> Row:
    """What is kept of a cell."""
    return Row(
        load=cell.load.title,
        clients=cell.clients,
        target=cell.target,
        forced=cell.forced,
        runs=runs,
    )


def read(path: Path, kind: type[Any]) -> Any | None:
    """What is there of that kind; None if nothing is."""
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


def write(path: Path, value: object) -> None:
    """As a whole, so that an interrupted run leaves what was there."""
    path.parent.mkdir(exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_bytes(msgspec.json.encode(value) + b"\n")
    beside.replace(path)
