"""A long command as a journaled state machine: events in, actions out. No I/O, no clock.

An operation is a list of steps, done in order. Each is written to the journal before it starts
and after it ended, so a crash loses at most the knowledge whether the step at hand was finished:
steps are therefore repeatable, and a resumed operation begins with the step it was at.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

STEPS_MAX = 1000


class State(StrEnum):
    """Of a whole operation."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Step(msgspec.Struct, frozen=True):
    """One unit of work; `action` names the performer, `body` is its JSON-able argument."""

    title: str  # what the user sees while it runs
    action: str
    body: dict[str, object] = {}
    attempts: int = 1  # times it is tried before the operation fails


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """An operation as the journal keeps it."""

    id: int
    kind: str  # the command, e.g. "modelApply"
    subject: str  # what it works on, e.g. a database; two on one subject exclude each other
    steps: tuple[Step, ...]
    state: State = State.RUNNING
    at: int = 0  # index of the step in hand
    results: tuple[str, ...] = ()  # one per finished step
    failures: int = 0  # of the step in hand
    cancel_asked: bool = False
    error: tuple[str, str, str, str, int] | None = None  # GridError.to_wire()
    started_us: int = 0
    ended_us: int = 0
    by: str = ""  # on whose behalf; see mgmt/ops/caller.py


# -- events
class Begun(msgspec.Struct, frozen=True):
    """Start, or start again after a crash."""


class StepDone(msgspec.Struct, frozen=True):
    """The step in hand succeeded."""

    result: str


class StepFailed(msgspec.Struct, frozen=True):
    """The step in hand failed."""

    error: tuple[str, str, str, str, int]


class StepCancelled(msgspec.Struct, frozen=True):
    """The step in hand was interrupted because somebody cancelled the operation."""

    error: tuple[str, str, str, str, int]


class CancelAsked(msgspec.Struct, frozen=True):
    """Somebody wants it to end after the step in hand."""


Event = Begun | StepDone | StepFailed | StepCancelled | CancelAsked


# -- actions
class Perform(msgspec.Struct, frozen=True):
    """Do this step now (the record has been journaled)."""

    index: int
    step: Step
    attempt: int


class Finish(msgspec.Struct, frozen=True):
    """Nothing more is to be done."""

    state: State


Action = Perform | Finish


def handle(record: Record, event: Event) -> tuple[Record, list[Action]]:
    """The next record, to be journaled first, and then what to do."""
    if record.state is not State.RUNNING:
        return record, []  # late news about an ended operation changes nothing
    replace = msgspec.structs.replace
    match event:
        case Begun():
            return _next(record)
        case StepDone(result):
            assert record.at < len(record.steps)
            done = replace(record, at=record.at + 1, results=(*record.results, result), failures=0)
            return _next(done)
        case StepFailed(error):
            step = record.steps[record.at]
            failed = replace(record, failures=record.failures + 1, error=error)
            if failed.failures < step.attempts and not record.cancel_asked:
                return _next(failed)
            return replace(failed, state=State.FAILED), [Finish(State.FAILED)]
        case StepCancelled(error):
            ended = replace(record, error=error, state=State.CANCELLED)
            return ended, [Finish(State.CANCELLED)]
        case CancelAsked():
            return replace(record, cancel_asked=True), []


def _next(record: Record) -> tuple[Record, list[Action]]:
    assert len(record.steps) <= STEPS_MAX
    if record.at == len(record.steps):
        ended = msgspec.structs.replace(record, state=State.DONE, error=None)
        return ended, [Finish(State.DONE)]
    if record.cancel_asked:
        return msgspec.structs.replace(record, state=State.CANCELLED), [Finish(State.CANCELLED)]
    return record, [Perform(record.at, record.steps[record.at], record.failures + 1)]
