"""What an element costs, in microseconds: `python -m benchmarks.storage`."""

from __future__ import annotations

import gc
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from data.catalog.catalog import CatalogChange, CreateTable, row_of
from data.catalog.objects import Column, Distribution, Index, Table
from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, TxnPayload, encode_payload
from data.storage.past import PAST_MAX
from data.storage.settings import ElementIdentity, StorageSettings
from protocol.ids import TxnId
from protocol.sqltypes import BIGINT, VARCHAR

ROWS = 100_000
UPDATE = 'UPDATE "TERRY.C" SET BAL = BAL + ?2 WHERE ID = ?1'
READ = 'SELECT * FROM "TERRY.C" WHERE ID = ?1'
TABLE = Table(
    id=20000,
    schema="TERRY",
    name="C",
    columns=(
        Column("ID", BIGINT, nullable=False),
        Column("NAME", VARCHAR),
        Column("BAL", BIGINT),
        Column("A", VARCHAR),
        Column("B", VARCHAR),
    ),
    distribution=Distribution.HASH,
    distribution_key=("ID",),
    indexes=(Index(20001, "C_PK", ("ID",), unique=True, primary=True, constraint=True),),
)


def _entry(element: Element, changes: list[RowChange], ddl: bytes = b"") -> LogEntry:
    lsn = element.tail.lsn + 1
    payload = encode_payload(TxnPayload(row_changes.encode(changes), ddl))
    return LogEntry(1, lsn, EntryKind.COMMIT, TxnId(1, "incarnation", lsn), payload)


def _make(folder: Path) -> Element:
    identity = ElementIdentity(database="b", database_id="b", element=1, instance="h.i")
    element = Element.create(folder / "element", identity, StorageSettings())
    ddl = CatalogChange(2, (row_of(TABLE),), (), (CreateTable(TABLE),)).encode()
    element.begin()
    element.apply_entry(_entry(element, [], ddl))
    rows = [(i, f"name{i}", i, "aaaa", "bbbb", i % 4096) for i in range(ROWS)]
    element.append(_entry(element, element.insert_rows("TERRY.C", rows)))
    element.commit()
    gc.collect()
    gc.freeze()
    return element


def _report(label: str, work: Callable[[int], None], count: int, rounds: int = 7) -> None:
    """`work(count)` does `count` operations; the best round counts."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work(count)
        best = min(best, time.perf_counter() - start)
    print(f"{label:44} {best / count * 1e6:8.2f} µs")


def _in_batch(element: Element, work: Callable[[int], None]) -> Callable[[int], None]:
    def run(count: int) -> None:
        element.begin()
        work(count)
        element.rollback()

    return run


def main() -> None:
    """Print the table of DESIGN.md."""
    with tempfile.TemporaryDirectory() as folder:
        element = _make(Path(folder))
        _statements(element)
        _commits(element)
        _cuts(element)
        element.close(clean=False)


def _statements(element: Element) -> None:
    rng = random.Random(1)
    ids = [rng.randrange(ROWS) for _ in range(20_000)]

    def updates(count: int) -> None:
        for i in range(count):
            element.run(UPDATE, (ids[i], 5))

    def inserts(width: int) -> Callable[[int], None]:
        def work(count: int) -> None:
            for i in range(0, count, width):
                rows = [(ROWS + i + j, "name", 1, "aaaa", "bbbb", 7) for j in range(width)]
                element.insert_rows("TERRY.C", rows)

        return work

    def appends(count: int) -> None:
        payload = encode_payload(TxnPayload(b"x" * 120))
        for _ in range(count):
            lsn = element.tail.lsn + 1
            element.append(LogEntry(1, lsn, EntryKind.COMMIT, TxnId(1, "i", lsn), payload))

    entries: list[LogEntry] = []
    element.begin()
    for i in range(2000):
        entries.append(_entry(element, element.run(UPDATE, (ids[i], 5)).changes))
        element.append(entries[-1])
    element.rollback()

    def applies(count: int) -> None:
        for entry in entries[:count]:
            element.apply_entry(entry)

    def savepoints(count: int) -> None:
        for _ in range(count):
            element.savepoint("statement")
            element.release("statement")

    def reads(count: int) -> None:
        for i in range(count):
            element.read(READ, (ids[i],))

    _report("run: one-row update by key, captured", _in_batch(element, updates), 2000)
    _report("insert_rows, one row", _in_batch(element, inserts(1)), 2000)
    _report("insert_rows, each of 100 rows", _in_batch(element, inserts(100)), 5000)
    _report("append", _in_batch(element, appends), 2000)
    _report("apply_entry: one-row update", _in_batch(element, applies), 2000)
    _report("savepoint + release", _in_batch(element, savepoints), 2000)
    _report("read by key", reads, 20_000)


def _commits(element: Element) -> None:
    rng = random.Random(2)

    def batches(size: int) -> Callable[[int], None]:
        def work(count: int) -> None:
            for _ in range(count // size):
                element.begin()
                for _ in range(size):
                    done = element.run(UPDATE, (rng.randrange(ROWS), 5))
                    element.append(_entry(element, done.changes))
                element.commit()

        return work

    for forced in (False, True):
        element.set_force_sync(forced)
        name = "FULL" if forced else "NORMAL"
        count = 960 if not forced else 320
        _report(f"batch of 1: update, entry, commit, {name}", batches(1), count)
        _report(f"each in a batch of 32, {name}", batches(32), count)


def _cuts(element: Element) -> None:
    """A log of one-row updates is cut, while those cut long before leave `_past`."""
    rng = random.Random(3)
    count = 2000  # as CUT_ENTRIES of data/replication/member.py
    rounds = 4

    def log(entries: int) -> None:
        element.begin()
        for _ in range(entries):
            element.append(_entry(element, element.run(UPDATE, (rng.randrange(ROWS), 5)).changes))
        element.commit()

    def cut(entries: int) -> None:
        element.cut_log(element.log_start.lsn + entries + 1, entries)

    log(PAST_MAX + (rounds + 1) * count)
    while element.tail.lsn - element.log_start.lsn > (rounds + 1) * count:
        cut(count)
    _report("cut_log: each one-row update", cut, count, rounds)


if __name__ == "__main__":
    main()
