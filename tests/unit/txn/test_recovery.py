"""Which replica sets go back to which epoch after a loss of power."""

from __future__ import annotations

from data.txn.recovery import Answers, Nothing, Return, SetFacts, Wait, decide, half_there
from protocol.ids import TxnId
from protocol.messages.recovery import Crossing, ElementTold, PreparedBefore


def told(
    element: int, rs: int, *epochs: int, lsn: int = 100, damaged: bool = True, serving: bool = False
) -> ElementTold:
    newest_first = tuple(sorted(epochs, reverse=True))
    return ElementTold(element, rs, damaged, serving, max(epochs), (1, lsn), newest_first, True)


def replica_set(rs: int, *elements: ElementTold, away: int = 0, led_by: int = 0) -> SetFacts:
    in_sync = tuple(e.element for e in elements) + ((away,) if away else ())
    return SetFacts(rs, in_sync, {e.element: e for e in elements}, led_by)


def test_nothing_is_lost_while_somebody_has_everything() -> None:
    whole = told(2, 1, 5, damaged=False)
    assert decide([replica_set(1, told(1, 1, 5), whole)]) == Nothing()


def test_all_lost_sets_go_back_to_the_newest_epoch_that_each_has() -> None:
    """On any of its elements; the numbers in the logs are never given again."""
    first = replica_set(1, told(1, 1, 5, 6), told(2, 1, 5, 6, 7, lsn=90))
    second = replica_set(2, told(3, 2, 5, 6, 8), told(4, 2, 5))
    assert decide([first, second]) == Return(6, 9, {1: 2, 2: 3})


def test_who_led_last_leads_again_if_it_can() -> None:
    one = replica_set(1, told(1, 1, 5, lsn=300), told(2, 1, 5, lsn=200), led_by=1)
    other = replica_set(2, told(3, 2, 5, lsn=300), told(4, 2, 4, 5, lsn=200), led_by=7)
    assert decide([one, other]) == Return(5, 6, {1: 1, 2: 4})


def test_every_in_sync_element_is_waited_for() -> None:
    """One that is away may have everything."""
    lost = replica_set(1, told(1, 1, 5), told(2, 1, 5))
    assert decide([replica_set(1, told(1, 1, 5), away=2)]) == Nothing()
    plan = decide([lost, replica_set(2, told(3, 2, 5), away=4)])
    assert plan == Wait("waiting for element 4 of replica set 2")


def test_no_common_epoch_is_no_reason_to_lose_everything() -> None:
    plan = decide([replica_set(1, told(1, 1, 5)), replica_set(2, told(3, 2, 6))])
    assert isinstance(plan, Wait)


def test_sets_that_serve_are_asked_first() -> None:
    serving = replica_set(2, told(3, 2, 5, 6, 7, damaged=False, serving=True))
    plan = decide([replica_set(1, told(1, 1, 5, 6), told(2, 1, 5)), serving])
    assert plan == Return(6, 8, {1: 1}, compare=(2,))


def test_what_is_half_there() -> None:
    """A lost set must have prepared it before; a lost anchor must have committed it."""
    a, b, c, d = (TxnId(1, "x", n) for n in range(4))
    crossing = Crossing(True, ((a, (1, 2)), (b, (2, 1)), (c, (1, 2)), (d, (2, 3))))
    answers = Answers([crossing], {1: PreparedBefore((a, b), (a,))})
    assert half_there(answers) == [c]
    answers = Answers([crossing], {1: PreparedBefore((a, b, c), ())})
    assert half_there(answers) == [a, c]
    answers = Answers([crossing], {1: PreparedBefore((a, c), (a, c))})
    assert half_there(answers) == [b]
