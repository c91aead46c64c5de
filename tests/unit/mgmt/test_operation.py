"""The state machine of a long command."""

from __future__ import annotations

import msgspec

from mgmt.ops import operation
from mgmt.ops.operation import (
    Begun,
    CancelAsked,
    Finish,
    Perform,
    Record,
    State,
    Step,
    StepCancelled,
    StepDone,
    StepFailed,
)
from protocol.errors import OperationError

ERROR = OperationError("broken").to_wire()


def record(*attempts: int) -> Record:
    steps = tuple(Step(f"step {n}", "work", {}, tries) for n, tries in enumerate(attempts))
    return Record(id=1, kind="test", subject="x", steps=steps)


def test_steps_are_done_in_order_and_then_it_ends() -> None:
    state = record(1, 1)
    performed = []
    state, actions = operation.handle(state, Begun())
    while isinstance(actions[0], Perform):
        performed.append(actions[0].index)
        state, actions = operation.handle(state, StepDone("OK"))
    assert performed == [0, 1]
    assert actions == [Finish(State.DONE)]
    assert (state.state, state.results) == (State.DONE, ("OK", "OK"))


def test_a_failed_step_is_tried_again_as_often_as_it_may() -> None:
    state, actions = operation.handle(record(2), Begun())
    state, actions = operation.handle(state, StepFailed(ERROR))
    assert actions == [Perform(0, state.steps[0], 2)]
    state, actions = operation.handle(state, StepFailed(ERROR))
    assert actions == [Finish(State.FAILED)]
    assert state.error == ERROR


def test_a_step_that_was_interrupted_by_a_cancel_makes_the_operation_cancelled() -> None:
    state, _ = operation.handle(record(3), Begun())
    state, _ = operation.handle(state, CancelAsked())
    state, actions = operation.handle(state, StepCancelled(ERROR))
    assert actions == [Finish(State.CANCELLED)]
    assert (state.state, state.error) == (State.CANCELLED, ERROR)


def test_a_success_after_a_failure_leaves_no_error() -> None:
    state, _ = operation.handle(record(2), Begun())
    state, _ = operation.handle(state, StepFailed(ERROR))
    state, actions = operation.handle(state, StepDone("OK"))
    assert actions == [Finish(State.DONE)]
    assert state.error is None


def test_after_a_crash_it_goes_on_with_the_step_in_hand() -> None:
    state, _ = operation.handle(record(1, 1, 1), Begun())
    state, _ = operation.handle(state, StepDone("OK"))
    journal = msgspec.json.decode(msgspec.json.encode(state), type=Record)
    _, actions = operation.handle(journal, Begun())
    assert actions == [Perform(1, state.steps[1], 1)]


def test_cancelling_ends_it_after_the_step_in_hand() -> None:
    state, _ = operation.handle(record(1, 1), Begun())
    state, actions = operation.handle(state, CancelAsked())
    assert actions == []
    state, actions = operation.handle(state, StepDone("OK"))
    assert actions == [Finish(State.CANCELLED)]
    assert operation.handle(state, StepDone("late")) == (state, [])


def test_a_cancelled_step_is_not_tried_again() -> None:
    state, _ = operation.handle(record(5), Begun())
    state, _ = operation.handle(state, CancelAsked())
    _, actions = operation.handle(state, StepFailed(ERROR))
    assert actions == [Finish(State.FAILED)]
