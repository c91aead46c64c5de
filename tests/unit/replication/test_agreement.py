"""What a member may believe about ZooKeeper's value while answers are missing."""

from __future__ import annotations

from data.replication.agreement import Agreement
from membership.port import SetState

ME, OTHER = "host1#1", "host2#1"


def value(term: int, in_sync: tuple[int, ...], counter: int, writer: str = ME) -> SetState:
    return SetState(term, 1, writer, in_sync, writer, counter)


def known(in_sync: tuple[int, ...] = (1, 2)) -> Agreement:
    agreement = Agreement(1, ME, 10)
    agreement.observed(value(1, in_sync, 1))
    return agreement


def test_while_a_removal_is_unanswered_the_larger_set_counts() -> None:
    agreement = known()
    smaller = agreement.next_value(1, (1,))
    agreement.attempted(smaller)
    assert agreement.needed == {2}
    assert agreement.alone, "it may be in force already"
    agreement.unanswered(smaller)
    agreement.read()
    agreement.answered(None, value(1, (1, 2), 1))
    assert agreement.needed == {2}
    assert agreement.unsettled == [smaller], "it may still happen"
    agreement.attempted(agreement.next_value(1, (1,)))
    agreement.observed(smaller)
    assert agreement.unsettled == []


def test_while_an_addition_is_unanswered_the_larger_set_counts() -> None:
    agreement = known((1,))
    larger = agreement.next_value(1, (1, 2))
    agreement.attempted(larger)
    assert agreement.needed == {2}
    agreement.answered(larger, larger)
    assert agreement.needed == {2}
    assert not agreement.busy


def test_a_newer_value_settles_every_older_attempt() -> None:
    agreement = known()
    first = agreement.next_value(1, (1,))
    agreement.attempted(first)
    agreement.unanswered(first)
    assert agreement.unsettled == [first]
    agreement.observed(value(2, (1, 2), 1, OTHER))
    assert agreement.unsettled == []
    assert agreement.needed == {2}


def test_a_late_answer_does_not_end_the_next_attempt() -> None:
    agreement = known()
    first = agreement.next_value(1, (1,))
    agreement.attempted(first)
    agreement.observed(first)  # the view was faster than the answer
    second = agreement.next_value(1, (1, 2))
    agreement.attempted(second)
    agreement.answered(first, first)
    assert agreement.attempt == second
    assert agreement.needed == {2}


def test_an_older_view_changes_nothing() -> None:
    agreement = known()
    newer = value(2, (1,), 5)
    assert agreement.observed(newer)
    assert not agreement.observed(value(1, (1, 2), 1))
    assert agreement.state == newer
