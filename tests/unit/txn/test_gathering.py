"""Whether a lead leaves a batch open for a moment: data/txn/gathering.py."""

from __future__ import annotations

from data.txn.gathering import TURNS, Gathering


def asked(gathering: Gathering, *gathered: int) -> list[bool]:
    return [gathering.must_wait(number) for number in gathered]


def test_a_single_client_is_never_kept_waiting() -> None:
    gathering = Gathering()
    assert asked(gathering, 1) == [False]
    gathering.batch_ended(answered=1, waiting=0)
    assert asked(gathering, 1) == [False]


def test_it_waits_while_fewer_are_there_than_came_lately() -> None:
    gathering = Gathering()
    gathering.batch_ended(answered=6, waiting=2)
    assert asked(gathering, 2, 7) == [True, False]
    gathering.batch_ended(answered=7, waiting=1)
    assert asked(gathering, 7) == [False]


def test_only_for_a_few_turns() -> None:
    gathering = Gathering()
    gathering.batch_ended(answered=6, waiting=2)
    assert asked(gathering, *[2] * (TURNS + 1)) == [True] * TURNS + [False]
    assert asked(gathering, 1) == [False]  # until a batch has ended again
