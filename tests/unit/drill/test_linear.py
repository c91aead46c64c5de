"""The linearizability checker against planted violations, and against trying all orders."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drill import linear
from tests.drill.history import Operation, Outcome
from tests.drill.linear import Undecided, check_register, step

OK, FAILED, UNKNOWN = Outcome.OK, Outcome.FAILED, Outcome.UNKNOWN


def op(
    action: str, value: Any, start_s: float, end_s: float, outcome: Outcome = OK, result: Any = None
) -> Operation:
    """`read` has its result as the value."""
    if action == "read":
        value, result = None, value
    return Operation(0, action, "x", value, result, start_s, end_s, outcome)


def test_a_history_one_after_the_other() -> None:
    history = [op("write", 1, 0, 1), op("read", 1, 2, 3), op("write", 2, 4, 5), op("read", 2, 6, 7)]
    assert check_register(history, 0) is None


def test_a_stale_read_is_found_and_named() -> None:
    history = [op("write", 1, 0, 1), op("read", 0, 2, 3)]
    stuck = check_register(history, 0)
    assert stuck is not None
    assert stuck.explained == 1
    assert stuck.state == 1
    assert [o.action for o in stuck.pending] == ["read"]


def test_a_write_may_take_effect_before_or_after_a_read_it_overlaps() -> None:
    for seen in (0, 1):
        assert check_register([op("write", 1, 0, 10), op("read", seen, 2, 3)], 0) is None


def test_reads_do_not_go_back() -> None:
    history = [op("write", 1, 0, 10), op("read", 1, 2, 3), op("read", 0, 4, 5)]
    assert check_register(history, 0) is not None


def test_a_lost_update_is_found() -> None:
    """Two compare-and-sets from the same value were both told that they did it."""
    history = [
        op("cas", (0, 1), 0, 5, result=True),
        op("cas", (0, 2), 1, 6, result=True),
    ]
    assert check_register(history, 0) is not None
    assert check_register([history[0], op("cas", (1, 2), 1, 6, result=True)], 0) is None


def test_a_compare_and_set_that_should_have_matched() -> None:
    assert check_register([op("cas", (0, 1), 0, 1, result=False)], 0) is not None
    assert check_register([op("cas", (7, 1), 0, 1, result=False)], 0) is None


def test_an_unknown_write_may_happen_late_or_never() -> None:
    lost = op("write", 1, 0, 1, UNKNOWN)
    assert check_register([lost, op("read", 0, 2, 3)], 0) is None
    assert check_register([lost, op("read", 0, 2, 3), op("read", 1, 4, 5)], 0) is None
    assert check_register([lost, op("read", 1, 2, 3)], 0) is None
    assert check_register([op("read", 1, 2, 3), op("write", 1, 4, 5, UNKNOWN)], 0) is not None


def test_an_unknown_write_happens_once() -> None:
    history = [
        op("write", 1, 0, 1, UNKNOWN),
        op("read", 1, 2, 3),
        op("write", 2, 4, 5),
        op("read", 1, 6, 7),
    ]
    assert check_register(history, 0) is not None


def test_a_refused_write_did_not_happen() -> None:
    assert check_register([op("write", 1, 0, 1, FAILED), op("read", 1, 2, 3)], 0) is not None
    assert check_register([op("write", 1, 0, 1, FAILED), op("read", 0, 2, 3)], 0) is None


def test_reads_without_an_answer_say_nothing() -> None:
    assert check_register([op("read", 9, 0, 1, UNKNOWN), op("read", 9, 0, 1, FAILED)], 0) is None


def test_long_histories_are_decided() -> None:
    """What a drill makes of one key: hundreds of operations by four clients."""
    history = []
    for n in range(400):
        at = float(n)
        history.append(op("write", n, at, at + 3.5))
        history.append(op("read", n, at + 0.5, at + 3.5))
    history += [op("write", 10_000 + n, n * 20.0, n * 20.0 + 1, UNKNOWN) for n in range(15)]
    assert check_register(history, -1) is None
    history.append(op("read", 17, 390.0, 391.0))
    assert check_register(history, -1) is not None


def test_a_search_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "CONFIGURATIONS_MAX", 50)
    history = [op("write", n, 0, 100) for n in range(12)] + [op("read", 99, 0, 100)]
    with pytest.raises(Undecided):
        check_register(history, 0)


VALUES = st.integers(0, 2)
TIMES = st.integers(0, 8)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    """Any operation, with a result that need not be right."""
    start = draw(TIMES)
    end = start + 1 + draw(st.integers(0, 4))
    outcome = draw(st.sampled_from([OK, OK, OK, UNKNOWN, FAILED]))
    match draw(st.sampled_from(["read", "write", "cas"])):
        case "read":
            return op("read", draw(VALUES), start, end, outcome)
        case "write":
            return op("write", draw(VALUES), start, end, outcome)
        case _:
            value = (draw(VALUES), draw(VALUES))
            return op("cas", value, start, end, outcome, draw(st.booleans()))


@settings(max_examples=400, deadline=None)
@given(st.lists(operations(), max_size=6))
def test_it_says_the_same_as_trying_all_orders(history: list[Operation]) -> None:
    assert (check_register(history, 0) is None) == _some_order_fits(history)


def _some_order_fits(history: list[Operation]) -> bool:
    known = [o for o in history if o.outcome is OK]
    maybe = [o for o in history if o.outcome is UNKNOWN and o.action != "read"]
    return any(
        _fits(order)
        for count in range(len(maybe) + 1)
        for chosen in itertools.combinations(maybe, count)
        for order in itertools.permutations([*known, *chosen])
    )


def _fits(order: tuple[Operation, ...]) -> bool:
    latest_start = -1.0
    state: Any = 0
    for operation in order:
        if operation.effect_until_s < latest_start:
            return False
        latest_start = max(latest_start, operation.start_s)
        is_legal, state = step(state, operation)
        if not is_legal:
            return False
    return True
