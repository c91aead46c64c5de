"""The log of an element: prepared transactions, decisions, undo, cutting, look-ups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from data.catalog.catalog import (
    CatalogChange,
    CreateIndex,
    CreateTable,
    DropTable,
    RebuildTable,
    TruncateTable,
)
from data.catalog.objects import Column, Index, Table
from data.storage import log as log_module
from data.storage import past
from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.entry import (
    EntryKind,
    LogEntry,
    encode_epoch,
)
from data.storage.settings import StorageSettings
from protocol.errors import CorruptElementError, LogGapError, UniqueViolationError
from protocol.ids import LogPosition, TxnId
from protocol.sqltypes import VARCHAR
from tests.support.elements import (
    CUSTOMERS,
    apply,
    apply_ddl,
    commit_entry,
    contents,
    customer,
    ddl_change,
    decision_entry,
    forget_entry,
    new_element,
    prepare_entry,
    reopen,
    txn,
    undo,
    write,
)

T = Table(21000, "TERRY", "T", (Column("A", VARCHAR),), CUSTOMERS.distribution, row_key=True)
INSERTED = [RowChange("TERRY.CUSTOMERS", None, customer(1))]


@pytest.fixture
def element(tmp_path: Path) -> Iterator[Element]:
    element = new_element(tmp_path / "element")
    yield element
    element.close(clean=False)


def test_a_prepared_transaction_has_no_effect_until_its_commit(element: Element) -> None:
    prepare = prepare_entry(element, INSERTED, 7, locks=b"locks")
    apply(element, prepare)
    assert contents(element)["TERRY.CUSTOMERS"] == []
    assert element.outcome(txn(7)) == "prepared"
    (open_one,) = element.prepared()
    assert (open_one.txn, open_one.entry) == (txn(7), prepare)
    assert open_one.payload.locks == b"locks"
    apply(element, decision_entry(element, EntryKind.COMMIT, 7))
    assert contents(element)["TERRY.CUSTOMERS"] == [customer(1)]
    assert (element.outcome(txn(7)), element.prepared()) == ("committed", [])
    assert element.changes_of(txn(7)) == 1


def test_prepared_transactions_and_decisions_survive_a_restart(tmp_path: Path) -> None:
    element = new_element(tmp_path / "element")
    prepares = [
        prepare_entry(element, [RowChange("TERRY.CUSTOMERS", None, customer(1))], 1),
    ]
    apply(element, prepares[0])
    prepares.append(prepare_entry(element, [RowChange("TERRY.CUSTOMERS", None, customer(2))], 2))
    apply(element, prepares[1])
    apply(element, decision_entry(element, EntryKind.ABORT, 1))
    element = reopen(element)
    assert [p.entry for p in element.prepared()] == prepares[1:]
    assert element.outcome(txn(1)) == "aborted"
    apply(element, decision_entry(element, EntryKind.COMMIT, 2))
    element = reopen(element)
    assert contents(element)["TERRY.CUSTOMERS"] == [customer(2)]
    assert [(d.txn, d.committed, d.participants) for d in element.decisions()] == [
        (txn(1), False, (1, 2)),
        (txn(2), True, (1, 2)),
    ]
    element.close(clean=True)


def test_what_contradicts_a_decision_is_refused(element: Element) -> None:
    apply(element, decision_entry(element, EntryKind.ABORT, 1))
    apply(element, prepare_entry(element, INSERTED, 2))
    for entry in (
        decision_entry(element, EntryKind.COMMIT, 1),
        prepare_entry(element, INSERTED, 1),
        prepare_entry(element, INSERTED, 2),
    ):
        element.begin()
        with pytest.raises(CorruptElementError):
            element.apply_entry(entry)
        element.rollback()
    assert element.outcome(txn(2)) == "prepared"


def test_undo_takes_back_every_kind_of_entry(element: Element) -> None:
    write(element, "TERRY.CUSTOMERS", [customer(9)])
    states: list[tuple[object, ...]] = []
    entries: list[LogEntry] = []

    def state() -> tuple[object, ...]:
        return (
            contents(element),
            element.tail,
            element.prepared(),
            element.decisions(),
            element.schema_version,
            element.epochs(),
            element.log_bytes,
        )

    def steps() -> Iterator[LogEntry]:
        def lsn() -> int:
            return element.tail.lsn + 1

        yield commit_entry(element, INSERTED)
        yield prepare_entry(element, [RowChange("TERRY.CUSTOMERS", customer(1), customer(2))], 70)
        yield prepare_entry(element, [RowChange("TERRY.CUSTOMERS", None, customer(3))], 71)
        yield LogEntry(1, lsn(), EntryKind.EPOCH, None, encode_epoch(5))
        yield decision_entry(element, EntryKind.COMMIT, 70)
        yield decision_entry(element, EntryKind.ABORT, 71)
        yield decision_entry(element, EntryKind.ABORT, 72)
        yield forget_entry(element, 71, 70)
        yield commit_entry(element, [], ddl=ddl_change(element, CreateTable(T), tables=(T,)))
        yield commit_entry(element, [RowChange("TERRY.T", None, (1, "x", 5))])
        yield commit_entry(
            element, [], ddl=ddl_change(element, TruncateTable(T, 21001), tables=(T,))
        )
        yield commit_entry(
            element, [], ddl=ddl_change(element, DropTable(CUSTOMERS, 21002), tables=())
        )

    for entry in steps():
        states.append(state())
        entries.append(entry)
        apply(element, entry)
        assert state() != states[-1], EntryKind(entry.kind).name
    end = state()
    for entry, before in zip(reversed(entries), reversed(states), strict=True):
        undo(element, entry)
        assert state() == before, EntryKind(entry.kind).name
    apply(element, *entries)
    assert state() == end
    undo(element, *reversed(entries))
    assert state() == states[0]


def test_only_the_tail_can_be_undone(element: Element) -> None:
    first = write(element, "TERRY.CUSTOMERS", [customer(1)])
    write(element, "TERRY.CUSTOMERS", [customer(2)])
    element.begin()
    with pytest.raises(LogGapError):
        element.undo_entry(first)
    element.rollback()
    assert len(contents(element)["TERRY.CUSTOMERS"]) == 2


def test_a_rolled_back_batch_leaves_no_trace_in_memory(element: Element) -> None:
    before = (element.tail, element.log_bytes, element.catalog, element.decisions())
    apply(element, prepare_entry(element, INSERTED, 5))
    element.begin()
    element.apply_entry(decision_entry(element, EntryKind.COMMIT, 5))
    element.savepoint("s")
    element.apply_entry(decision_entry(element, EntryKind.ABORT, 6))
    element.rollback_to("s")
    assert (element.outcome(txn(5)), element.outcome(txn(6))) == ("committed", None)
    entry = commit_entry(element, [], ddl=ddl_change(element, CreateTable(T), tables=(T,)))
    element.apply_entry(entry)
    element.insert_rows("TERRY.T", [(1, "x", 3)])
    element.rollback()
    assert element.outcome(txn(5)) == "prepared"
    assert element.entry_at(entry.lsn) is None
    assert element.outcome(entry.txn or txn(0)) is None
    undo(element, element.prepared()[0].entry)
    assert (element.tail, element.log_bytes, element.catalog, element.decisions()) == before


def test_entries_are_given_in_pieces_and_gaps_are_said(element: Element) -> None:
    start = element.tail.lsn
    for number in range(10):
        write(element, "TERRY.CUSTOMERS", [customer(number)])
    one = element.entries(start, 1)
    assert [entry.lsn for entry in one] == [start + 1]
    assert [e.lsn for e in element.entries(start + 1, 10**6)] == list(range(start + 2, start + 11))
    assert element.entries(start + 10, 10**6) == []
    assert not element.cut_log(start + 4)
    assert element.log_start == LogPosition(1, start + 3)
    assert element.entry_at(start + 3) is None
    with pytest.raises(LogGapError):
        element.entries(start + 2, 1)
    assert element.entries(start + 3, 1)[0].lsn == start + 4


def test_cutting_goes_in_pieces_and_can_empty_the_log(tmp_path: Path) -> None:
    element = new_element(tmp_path / "element")
    for number in range(10):
        write(element, "TERRY.CUSTOMERS", [customer(number)])
    tail = element.tail
    assert element.cut_log(10**9, entries_max=4)
    assert element.cut_log(10**9, entries_max=4)
    assert not element.cut_log(10**9, entries_max=100)
    assert (element.tail, element.log_start, element.log_bytes) == (tail, tail, 0)
    element = reopen(element)
    assert (element.tail, element.log_start) == (tail, tail)
    entry = write(element, "TERRY.CUSTOMERS", [customer(11)])
    assert entry.lsn == tail.lsn + 1
    undo(element, entry)
    assert element.tail == tail
    element.close(clean=True)


def test_cutting_keeps_what_prepared_transactions_need(element: Element) -> None:
    prepare = prepare_entry(element, INSERTED, 7)
    apply(element, prepare)
    write(element, "TERRY.CUSTOMERS", [customer(2)])
    assert not element.cut_log(10**9)
    assert element.log_start.lsn == prepare.lsn - 1
    decision = decision_entry(element, EntryKind.COMMIT, 7)
    apply(element, decision)
    element.cut_log(decision.lsn)
    assert element.log_start.lsn == prepare.lsn - 1, "undoing the decision needs the PREPARE"
    undo(element, decision)
    assert [p.entry for p in element.prepared()] == [prepare]
    apply(element, decision)
    element.cut_log(decision.lsn + 1)
    assert element.log_start.lsn == decision.lsn
    assert element.outcome(txn(7)) == "committed", "the anchor keeps its decision"
    apply(element, forget_entry(element, 7))
    assert element.decisions() == []
    element.cut_log(10**9)
    assert txn(7) not in element._log.txns
    assert element.outcome(txn(7)) == "committed", "it is remembered for late questions"


def test_overlapping_transactions_do_not_keep_the_log_for_ever(element: Element) -> None:
    first = prepare_entry(element, INSERTED, 7)
    apply(element, first)
    for number in range(8, 12):  # always one in doubt
        apply(element, prepare_entry(element, [], number))
        apply(element, decision_entry(element, EntryKind.COMMIT, number - 1))
    tail = element.tail.lsn
    element.cut_log(tail)
    assert element.log_start.lsn == first.lsn - 1, "any of them might be undone"
    undone_never = tail - 2  # the decisions of 7, 8 and 9 are final, that of 10 is not
    element.cut_log(undone_never, undo_after=undone_never)
    kept = [element.entry_at(lsn) for lsn in range(element.log_start.lsn + 1, tail + 1)]
    prepares = [entry.txn for entry in kept if entry and entry.kind == EntryKind.PREPARE]
    assert prepares == [txn(10), txn(11)]
    assert element.outcome(txn(7)) == "committed"


def test_participants_that_are_not_the_anchor_drop_decisions_with_the_log(element: Element) -> None:
    apply(element, prepare_entry(element, INSERTED, 7, participants=(2, 1)))
    apply(element, decision_entry(element, EntryKind.COMMIT, 7))
    apply(element, decision_entry(element, EntryKind.ABORT, 8))
    element.cut_log(10**9)
    assert (list(element._log.txns), element.outcome(txn(7))) == ([txn(8)], "committed")
    assert element.outcome(txn(8)) == "aborted", "it refuses a late PREPARE"
    apply(element, forget_entry(element, 8))
    assert element.decisions() == []


def test_dropped_objects_are_removed_when_the_log_is_cut(element: Element) -> None:
    write(element, "TERRY.CUSTOMERS", [customer(1)])
    catalogs = []
    element.on_catalog(catalogs.append)
    change = CatalogChange(
        element.schema_version + 1, (), (("table", CUSTOMERS.id),), (DropTable(CUSTOMERS, 30000),)
    )
    entry = commit_entry(element, [], ddl=change.encode())
    apply(element, entry)
    assert [c.version for c in catalogs] == [change.version] == [element.schema_version]
    count = "SELECT COUNT(*) FROM sqlite_schema WHERE name LIKE '%CUSTOMERS'"
    assert element.read(count) == [(1,)]
    undo(element, entry)
    assert contents(element)["TERRY.CUSTOMERS"] == [customer(1)]
    apply(element, entry)
    element.cut_log(entry.lsn + 1)
    assert element.read(count) == [(0,)]


def test_ddl_that_fails_changes_nothing(element: Element) -> None:
    write(element, "TERRY.CUSTOMERS", [customer(1), replace_name(customer(2), "name 1")])
    index = Index(22000, "NAME_UK", ("NAME",), unique=True)
    after = replace(CUSTOMERS, indexes=(*CUSTOMERS.indexes, index))
    element.begin()
    tail, version = element.tail, element.schema_version
    entry = commit_entry(
        element, [], ddl=ddl_change(element, CreateIndex(after, index), tables=(after,))
    )
    with pytest.raises(UniqueViolationError):
        element.apply_entry(entry)
    element.insert_rows("TERRY.CUSTOMERS", [customer(3)])
    element.commit()
    assert (element.tail, element.schema_version) == (tail, version)


def replace_name(row: tuple[object, ...], name: str) -> tuple[object, ...]:
    return (row[0], name, *row[2:])


def test_a_rebuilt_table_takes_new_rows_and_can_be_undone(element: Element) -> None:
    write(element, "TERRY.CUSTOMERS", [customer(1)])
    after = replace(CUSTOMERS, columns=(*CUSTOMERS.columns, Column("CITY", VARCHAR)))
    values = ('"ID"', '"NAME"', '"EMAIL"', '"CREDIT"', "'Rome'", '"_BUCKET"')
    entry = apply_ddl(element, RebuildTable(CUSTOMERS, after, values, 23000), tables=(after,))
    full = (*customer(1)[:4], "Rome", 1)
    assert contents(element)["TERRY.CUSTOMERS"] == [full]
    assert element.column_names("TERRY.CUSTOMERS")[-2:] == ("CITY", "_BUCKET")
    second = write(element, "TERRY.CUSTOMERS", [(2, "n", None, 1, "Oslo", 2)])
    undo(element, second, entry)
    assert contents(element)["TERRY.CUSTOMERS"] == [customer(1)]


def test_outcomes_are_found_beyond_the_recent_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "RECENT_MAX", 3)
    element = new_element(tmp_path / "element")
    for number in range(1, 11):
        write(element, "TERRY.CUSTOMERS", [customer(number)], number=1000 + number)
    for _ in range(2):
        assert [element.outcome(txn(1000 + n)) for n in range(1, 11)] == ["committed"] * 10
        assert element.outcome(txn(999)) is None
        assert element.changes_of(txn(1001)) == 1
        element = reopen(element)
    element.close(clean=True)


def test_the_commit_point_is_kept_with_the_next_entry(tmp_path: Path) -> None:
    element = new_element(tmp_path / "element", settings=StorageSettings())
    element.set_commit_point(element.tail.lsn)
    point = element.commit_point
    write(element, "TERRY.CUSTOMERS", [customer(1)])
    element = reopen(element)
    assert element.commit_point == point > 0
    element.close(clean=True)


def test_outcomes_outlive_the_log_and_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An anchor asked after its log was cut: never "nothing known" about what was committed."""
    monkeypatch.setattr(past, "PAST_MAX", 4)
    element = new_element(tmp_path / "element")
    for number in range(1, 11):
        write(element, "TERRY.CUSTOMERS", [customer(number)], number=1000 + number)
    element.cut_log(10**9, entries_max=3)
    while element.cut_log(10**9, entries_max=3):
        pass
    assert element.log_bytes == 0
    for _ in range(3):
        outcomes = [element.outcome(txn(1000 + n)) for n in range(1, 11)]
        assert outcomes == ["forgotten"] * 6 + ["committed"] * 4
        assert [element.changes_of(txn(1000 + n)) for n in (6, 7, 10)] == [-1, 1, 1]
        assert element.outcome(txn(1011)) is None, "never heard of, and never forgotten"
        assert element.outcome(txn(999)) == "forgotten"
        assert element.outcome(TxnId(1, "another life", 5)) is None
        element = reopen(element)
    element.begin()  # a cut that is rolled back is none
    write_in_batch = LogEntry(1, element.tail.lsn + 1, EntryKind.ABORT, txn(1011), b"")
    element.apply_entry(write_in_batch)
    element.cut_log(10**9)
    element.rollback()
    assert (element.outcome(txn(1007)), element.outcome(txn(1011))) == ("committed", None)
    element.close(clean=True)


def test_a_rollback_restores_what_is_known_of_transactions(element: Element) -> None:
    apply(element, prepare_entry(element, INSERTED, 1))
    apply(element, decision_entry(element, EntryKind.ABORT, 2))
    log = element._log
    reloads = []
    load, log.load_txns = log.load_txns, lambda: reloads.append(1)  # type: ignore[method-assign]

    def known() -> tuple[object, ...]:
        return dict(log.txns), dict(log._prepare_bytes), list(element.decisions())

    before = known()
    element.begin()
    element.apply_entry(prepare_entry(element, [], 3))
    middle = known()
    element.savepoint("statement")
    element.apply_entry(decision_entry(element, EntryKind.COMMIT, 1))
    element.apply_entry(decision_entry(element, EntryKind.ABORT, 3))
    element.apply_entry(forget_entry(element, 2, 1))
    assert element.decisions() != before[2]
    element.rollback_to("statement")
    assert known() == middle
    element.rollback()
    assert known() == before
    assert not reloads, "and without reading the table again"
    load()
    assert known() == before
