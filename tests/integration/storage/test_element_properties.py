"""Properties of capture, application and undo, on random tables' contents and random SQL."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.storage.element import Element
from protocol.errors import CorruptElementError, GridError
from protocol.sqltypes import StorageRow
from tests.support.elements import commit_entry, contents, new_element

RUNS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SMALL = st.integers(0, 12)
TEXT = st.sampled_from(["", "a", "b", "ä€", "x" * 5000])
MAYBE = st.none() | TEXT
NUMBERS = st.none() | st.sampled_from(["0", "-1.5", "12345678901234567890.5", "7"])
FLOATS = st.none() | st.floats(allow_nan=False, allow_infinity=True)
TABLES = {
    "TERRY.CUSTOMERS": st.tuples(SMALL, TEXT, MAYBE, st.none() | SMALL, SMALL),
    "TERRY.PARTS": st.tuples(
        MAYBE, st.sampled_from(["C1", "C2", "C3"]), FLOATS, SMALL, NUMBERS, SMALL
    ),
    "TERRY.NOTES": st.tuples(SMALL, MAYBE),
}
INSERTS = st.sampled_from(sorted(TABLES)).flatmap(
    lambda name: st.tuples(st.just(name), st.lists(TABLES[name], min_size=1, max_size=4))
)
# statements that change rows in every way: keys moved, many rows at once, failing half-way
STATEMENTS = st.one_of(
    st.tuples(st.just('UPDATE "TERRY.CUSTOMERS" SET ID = ID + ?1 WHERE ID >= ?2'), SMALL, SMALL),
    st.tuples(st.just('UPDATE "TERRY.CUSTOMERS" SET EMAIL = NAME, CREDIT = ?1'), SMALL),
    st.tuples(st.just('UPDATE "TERRY.CUSTOMERS" SET CREDIT = CREDIT - ?1 WHERE ID > 3'), SMALL),
    st.tuples(st.just('UPDATE "TERRY.CUSTOMERS" SET CREDIT = tg_idiv(?1, CREDIT - 3)'), SMALL),
    st.tuples(st.just('DELETE FROM "TERRY.CUSTOMERS" WHERE ID < ?1'), SMALL),
    st.tuples(st.just('UPDATE "TERRY.PARTS" SET LOT = LOT + 1, NOTE = ?1'), MAYBE),
    st.tuples(st.just("UPDATE \"TERRY.PARTS\" SET CODE = 'C' || ?1 WHERE LOT = ?2"), SMALL, SMALL),
    st.tuples(st.just('UPDATE "TERRY.PARTS" SET WEIGHT = ?1, PRICE = ?2'), FLOATS, NUMBERS),
    st.tuples(st.just('DELETE FROM "TERRY.PARTS"')),
    st.tuples(
        st.just('INSERT INTO "TERRY.NOTES" SELECT ID + ?1, NAME FROM "TERRY.CUSTOMERS"'), SMALL
    ),
    st.tuples(st.just('UPDATE "TERRY.NOTES" SET TEXT = TEXT || ?1'), TEXT),
)
WORK = st.lists(INSERTS | STATEMENTS, min_size=1, max_size=8)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Element, Element]]:
    with tempfile.TemporaryDirectory() as folder:
        lead, copy = new_element(Path(folder) / "1"), new_element(Path(folder) / "2", 2)
        yield lead, copy
        lead.close(clean=False)
        copy.close(clean=False)


def in_batch(element: Element) -> dict[str, list[StorageRow]]:
    return {
        name: sorted(element.read_in_batch(f'SELECT * FROM "{name}"'), key=repr) for name in TABLES
    }


def difference(
    before: dict[str, list[StorageRow]], after: dict[str, list[StorageRow]]
) -> dict[str, tuple[set[StorageRow], set[StorageRow]]]:
    """Rows that went and rows that came, by table."""
    return {t: (set(before[t]) - set(after[t]), set(after[t]) - set(before[t])) for t in before}


def net(changes: list[RowChange]) -> dict[str, tuple[set[StorageRow], set[StorageRow]]]:
    """The same, from row changes."""
    found: dict[str, tuple[set[StorageRow], set[StorageRow]]] = {
        name: (set(), set()) for name in TABLES
    }
    for table, old, new in changes:
        gone, came = found[table]
        if old is not None:
            came.discard(old) if old in came else gone.add(old)
        if new is not None:
            gone.discard(new) if new in gone else came.add(new)
    return found


def do(element: Element, work: Any) -> list[RowChange]:
    """One piece of work; [] if it failed, which must leave nothing behind."""
    before = in_batch(element)
    try:
        if work[0] in TABLES:
            changes = element.insert_rows(work[0], work[1])
        else:
            changes = element.run(work[0], work[1:]).changes
    except GridError as error:
        assert not isinstance(error, CorruptElementError)
        assert in_batch(element) == before
        return []
    assert net(changes) == difference(before, in_batch(element))
    return changes


@RUNS
@given(WORK)
def test_what_is_captured_is_what_changed_and_moves_a_copy_there_and_back(
    pair: tuple[Element, Element], work: list[Any]
) -> None:
    lead, copy = pair
    lead.begin()
    copy.begin()
    try:
        empty = in_batch(lead)
        made: list[RowChange] = []
        for piece in work:
            made += do(lead, piece)
        end = in_batch(lead)
        sent = row_changes.decode(row_changes.encode(made))
        copy.apply_changes(sent)
        assert in_batch(copy) == end
        copy.undo_changes(sent)
        assert in_batch(copy) == empty
        lead.undo_changes(made)
        assert in_batch(lead) == empty
        lead.apply_changes(made)
        assert in_batch(lead) == end
    finally:
        lead.rollback()
        copy.rollback()


@RUNS
@given(st.lists(st.tuples(WORK, st.sampled_from(["keep", "undo", "roll back"])), max_size=4))
def test_a_copy_that_follows_the_log_equals_the_lead(
    pair: tuple[Element, Element], batches: list[tuple[list[Any], str]]
) -> None:
    lead, copy = pair
    start = lead.tail.lsn
    for work, end in batches:
        lead.begin()
        for piece in work:
            lead.savepoint("statement")
            changes = do(lead, piece)
            if end == "undo":
                lead.rollback_to("statement")
            elif changes:
                lead.append(commit_entry(lead, changes))
            lead.release("statement")
        if end == "roll back":
            lead.rollback()
        else:
            lead.commit()
    entries = lead.entries(start, 1 << 30)
    copy.begin()
    for entry in entries:
        copy.apply_entry(entry)
    copy.commit()
    assert contents(copy) == contents(lead)
    assert copy.tail == lead.tail
    assert copy.log_bytes == lead.log_bytes
    for element in pair:  # and back to the start, for the next example
        element.begin()
        for entry in reversed(entries):
            element.undo_entry(entry)
        element.commit()
    assert contents(copy) == contents(lead)
    assert all(not rows for rows in contents(lead).values())
