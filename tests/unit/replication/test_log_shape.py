"""Spans of a log, and the common position of two logs, against a model that holds all entries."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.replication.log_shape import LogShape, common_position
from protocol.ids import LogPosition

START = LogPosition(0, 0)


def shape_of(terms: list[int], start: LogPosition = START) -> LogShape:
    shape = LogShape(start)
    for lsn, term in enumerate(terms, start.lsn + 1):
        shape.append(term, lsn, lsn)
    return shape


def test_entries_of_one_term_make_one_span() -> None:
    shape = shape_of([1, 1, 3, 3, 3])
    assert shape.spans() == ((1, 1, 2), (3, 3, 5))
    assert shape.tail == (3, 5)
    assert [shape.term_at(lsn) for lsn in range(7)] == [0, 1, 1, 3, 3, 3, None]


def test_undoing_goes_back_over_terms() -> None:
    shape = shape_of([1, 1, 3, 3])
    shape.undo_to(3)
    assert shape.tail == (3, 3)
    shape.undo_to(1)
    assert shape.spans() == ((1, 1, 1),)
    shape.undo_to(0)
    assert (shape.spans(), shape.tail) == ((), (0, 0))


def test_a_cut_log_knows_the_term_before_its_first_entry() -> None:
    shape = shape_of([1, 1, 3, 3])
    shape.cut_to(LogPosition(3, 3))
    assert (shape.spans(), shape.term_at(3), shape.term_at(2)) == (((3, 4, 4),), 3, None)
    shape.undo_to(3)
    assert shape.tail == (3, 3)


def test_a_gap_or_an_older_term_is_a_fault_of_the_caller() -> None:
    shape = shape_of([2])
    with pytest.raises(AssertionError):
        shape.append(2, 3, 3)
    with pytest.raises(AssertionError):
        shape.append(1, 2, 2)


def test_parts_of_spans() -> None:
    shape = shape_of([1, 1, 3, 3, 3, 4])
    assert shape.spans_between(1, 4) == ((1, 2, 2), (3, 3, 4))
    assert shape.spans_between(6, 9) == ()


def test_a_lead_whose_log_was_cut_cannot_continue_an_older_copy() -> None:
    lead = shape_of([1] * 10)
    lead.cut_to(LogPosition(1, 5))
    assert common_position(lead, START, ((1, 1, 4),)) is None
    assert common_position(lead, START, ((1, 1, 5),)) == (1, 5)
    assert common_position(lead, LogPosition(1, 7), ((1, 8, 8),)) == (1, 8)


def test_a_copy_that_cut_what_it_must_undo_needs_a_snapshot() -> None:
    lead = shape_of([1, 1, 1, 4])
    assert common_position(lead, LogPosition(2, 5), ((2, 6, 6),)) is None


@st.composite
def two_logs(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Logs as leads may leave them: a common part, then each its own terms."""
    common = sorted(draw(st.lists(st.integers(1, 3), max_size=8)))
    last = common[-1] if common else 1
    # after the common part a term belongs to one of the two logs only, or one of them ends
    mine = draw(st.lists(st.sampled_from([last + 1, last + 3]), max_size=5))
    theirs = draw(st.lists(st.sampled_from([last + 2, last + 4]), max_size=5))
    return common + sorted(mine), common + sorted(theirs)


@given(two_logs())
@settings(max_examples=300, deadline=None)
def test_the_common_position_is_where_the_logs_part(logs: tuple[list[int], list[int]]) -> None:
    mine, theirs = logs
    expected = 0
    while expected < min(len(mine), len(theirs)) and mine[expected] == theirs[expected]:
        expected += 1
    found = common_position(shape_of(mine), START, shape_of(theirs).spans())
    assert found is not None
    assert found.lsn == expected
