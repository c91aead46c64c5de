"""Compares the copies of a real grid, row by row, in their SQLite files, by code of its own."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from tests.support.real_grid import RealGrid

Row = tuple[Any, ...]
POLL_S = 0.2


class ElementRows:
    """Everything in one element's file, at one moment."""

    def __init__(self, path: Path, log_records: int | None = None) -> None:
        """log_records: how many of the newest are read; default: all."""
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        try:
            connection.execute("BEGIN")  # one snapshot for all tables
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            self.tables: dict[str, Counter[Row]] = {
                name: Counter(connection.execute(f'SELECT * FROM "{name}"'))
                for (name,) in names.fetchall()
                if not name.startswith(("_", "sqlite_")) or name == "_catalog"
            }
            self.columns = {
                name: [c[1] for c in connection.execute(f'PRAGMA table_info("{name}")')]
                for name in self.tables
            }
            newest = "ORDER BY lsn DESC LIMIT ?"
            rows = connection.execute(
                f"SELECT lsn, term, kind, txn, payload FROM _log {newest}",
                (-1 if log_records is None else log_records,),
            )
            self.log: dict[int, Row] = {row[0]: row for row in rows}
            undecided = (  # the log keeps what is undecided
                "SELECT txn FROM _log WHERE kind = 2 "
                "EXCEPT SELECT txn FROM _log WHERE kind IN (1, 3)"
            )
            self.prepared = [txn for (txn,) in connection.execute(undecided)]
            identity = connection.execute("SELECT value FROM _meta WHERE key = 'identity'")
            self.identity: dict[str, Any] = msgspec.msgpack.decode(identity.fetchone()[0])
        finally:
            connection.close()
        self.replica_set = int(self.identity["replica_set"])
        self.name = str(self.identity["instance"])

    @property
    def tail(self) -> int:
        """LSN of the last log record."""
        return max(self.log, default=0)

    def keys(self, table: str, *columns: str) -> Counter[Row]:
        """Some columns of a table, each combination with its number of rows."""
        at = [self.columns[table].index(column) for column in columns]
        return Counter(tuple(row[i] for i in at) for row in self.tables[table].elements())


def read_elements(grid: RealGrid, log_records: int | None = None) -> list[ElementRows]:
    """All elements of the database; log_records: how many of the newest, default: all."""
    return [ElementRows(grid.element_file(host), log_records) for host in grid.hosts]


def equal_copies(
    grid: RealGrid, timeout_s: float = 20, log_records: int | None = None
) -> list[ElementRows]:
    """Wait until the copies are equal and nothing is in doubt; fails with what differs."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        elements = read_elements(grid, log_records)
        found = differences(elements)
        if not found:
            return elements
        assert time.monotonic() < deadline_s, "\n".join(found)
        time.sleep(POLL_S)  # files of other processes: nothing tells when they changed


def differences(elements: list[ElementRows]) -> list[str]:
    """In words; empty if all copies agree (G5), rows are in one place (G6) and nothing is open."""
    found = []
    sets: dict[int, list[ElementRows]] = {}
    for element in elements:
        sets.setdefault(element.replica_set, []).append(element)
        if element.prepared:
            found.append(f"{element.name} has {len(element.prepared)} transactions in doubt")
    for copies in sets.values():
        for other in copies[1:]:
            found += _different(copies[0], other)
    firsts = [copies[0] for _, copies in sorted(sets.items())]
    return found + _misplaced(firsts) + _index_faults(firsts)


def _different(one: ElementRows, two: ElementRows) -> list[str]:
    found = []
    where = f"{one.name} and {two.name}"
    if one.tail != two.tail:
        found.append(f"{where}: logs end at {one.tail} and {two.tail}")
    unlike = [lsn for lsn in one.log.keys() & two.log.keys() if one.log[lsn] != two.log[lsn]]
    if unlike:
        found.append(f"{where}: {len(unlike)} log records differ, the first at {min(unlike)}")
    for table in sorted(one.tables.keys() | two.tables.keys()):
        ours, theirs = one.tables.get(table, Counter()), two.tables.get(table, Counter())
        if ours != theirs:
            more, less = list((ours - theirs).elements()), list((theirs - ours).elements())
            found.append(
                f"{where}: {table}: {len(more)} rows only in the first, {len(less)} only in the"
                f" second: {more[:3]} {less[:3]}"
            )
    return found


def _misplaced(firsts: list[ElementRows]) -> list[str]:
    """Rows of distributed tables in two replica sets, DUPLICATE tables that differ."""
    found = []
    for table, columns in firsts[0].columns.items():
        if table == "_catalog" or "_BUCKET" not in columns:
            for other in firsts[1:]:
                if firsts[0].tables[table] != other.tables.get(table, Counter()):
                    found.append(f"{table} differs between {firsts[0].name} and {other.name}")
            continue
        seen: set[Row] = set()
        for first in firsts:
            rows = set(first.tables.get(table, Counter()))
            if twice := rows & seen:
                found.append(f"{table}: rows in two replica sets: {list(twice)[:3]}")
            seen |= rows
    return found


def _index_faults(firsts: list[ElementRows]) -> list[str]:
    """Entries of global indexes on accounts that name no row, and rows without entry."""
    accounts: Counter[Row] = Counter()
    entries: Counter[Row] = Counter()
    for first in firsts:
        accounts += first.keys("TERRY.ACCOUNTS", "ACCOUNT_ID", "_BUCKET")
        for table, columns in first.columns.items():
            if table.startswith("GI.") and columns[:2] == ["ACCOUNT_ID", "_TARGET"]:
                entries += first.keys(table, "ACCOUNT_ID", "_TARGET")
    if accounts == entries:
        return []
    return [
        f"global index: {list((accounts - entries).elements())[:3]} are not in it,"
        f" {list((entries - accounts).elements())[:3]} name no row"
    ]
