"""The life of one element on its data instance: commands in, what to do out. No I/O, no clock."""

from __future__ import annotations

from enum import StrEnum

from protocol import trace
from protocol.errors import ElementStateError


class State(StrEnum):
    """As dbStatus shows it."""

    UNCREATED = "uncreated"
    CREATING = "creating"
    CREATED = "created"
    CREATE_FAILED = "create failed"
    LOADING = "loading"
    LOADED = "loaded"
    LOAD_FAILED = "load failed"
    OPENING = "opening"
    OPENED = "opened"
    OPEN_FAILED = "open failed"
    CLOSING = "closing"
    CLOSE_FAILED = "close failed"
    UNLOADING = "unloading"
    UNLOADED = "unloaded"
    UNLOAD_FAILED = "unload failed"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"
    DESTROY_FAILED = "destroy failed"


WAITING_FOR_SEED = "waiting for seed"  # shown for a loaded element; see `shown`


class Verb(StrEnum):
    """What an element is told to do."""

    CREATE = "create"
    LOAD = "load"
    OPEN = "open"
    CLOSE = "close"
    UNLOAD = "unload"
    DESTROY = "destroy"


S = State
DOING = {
    Verb.CREATE: (S.CREATING, S.CREATED, S.CREATE_FAILED),
    Verb.LOAD: (S.LOADING, S.LOADED, S.LOAD_FAILED),
    Verb.OPEN: (S.OPENING, S.OPENED, S.OPEN_FAILED),
    Verb.CLOSE: (S.CLOSING, S.LOADED, S.CLOSE_FAILED),
    Verb.UNLOAD: (S.UNLOADING, S.UNLOADED, S.UNLOAD_FAILED),
    Verb.DESTROY: (S.DESTROYING, S.DESTROYED, S.DESTROY_FAILED),
}
_NOT_THERE = frozenset({S.UNCREATED, S.CREATE_FAILED, S.DESTROYED})
AT_REST = frozenset({S.CREATED, S.UNLOADED, S.LOAD_FAILED})  # made, and nobody has its files open
_RUNNING = frozenset({S.LOADED, S.OPENED, S.OPEN_FAILED, S.CLOSE_FAILED, S.UNLOAD_FAILED})
IN_BETWEEN = frozenset(states[0] for states in DOING.values())
STARTS: dict[Verb, frozenset[State]] = {  # states from which the verb has work to do
    Verb.CREATE: _NOT_THERE,
    Verb.LOAD: AT_REST,
    Verb.OPEN: frozenset({S.LOADED, S.OPEN_FAILED, S.CLOSE_FAILED}),
    Verb.CLOSE: frozenset({S.OPENED, S.OPEN_FAILED, S.CLOSE_FAILED}),
    Verb.UNLOAD: frozenset({S.LOADED, S.OPEN_FAILED, S.UNLOAD_FAILED}),
    Verb.DESTROY: AT_REST | {S.DESTROY_FAILED, S.CREATE_FAILED},
}
DONE: dict[Verb, frozenset[State]] = {  # states in which the verb's work is done already
    Verb.CREATE: AT_REST | _RUNNING,
    Verb.LOAD: _RUNNING,
    Verb.OPEN: frozenset({S.OPENED}),
    Verb.CLOSE: _NOT_THERE | AT_REST | {S.LOADED, S.UNLOAD_FAILED},
    Verb.UNLOAD: _NOT_THERE | AT_REST,
    Verb.DESTROY: frozenset({S.UNCREATED, S.DESTROYED}),
}


def begins(state: State, verb: Verb) -> bool:
    """True: the verb is to be performed; False: its work is done. Raises ElementStateError."""
    if trace.steps.listener is not None:
        trace.step("data/admin/element_state.py")
    if state in STARTS[verb]:
        return True
    if state in DONE[verb]:
        return False
    raise ElementStateError(f"an element that is {state} cannot {verb}", hint=_hint(state, verb))


def during(verb: Verb) -> State:
    """The state while the verb is performed."""
    return DOING[verb][0]


def after(verb: Verb, *, ok: bool) -> State:
    """The state when it has ended."""
    return DOING[verb][1 if ok else 2]


def shown(state: State, role: str) -> str:
    """The word of dbStatus: a loaded element that does not hold the newest rows yet still loads."""
    if state in (S.LOADED, S.OPENED):
        if role == "catching-up":
            return S.LOADING
        if role == "waiting-for-seed":
            return WAITING_FOR_SEED
    return state


def _hint(state: State, verb: Verb) -> str:
    if state in _NOT_THERE:
        return "Create the database first (ttGridAdmin dbCreate)."
    if verb is Verb.OPEN:
        return "Load the database first (ttGridAdmin dbLoad)."
    if verb is Verb.UNLOAD:
        return "Close the database first (ttGridAdmin dbClose)."
    return "Close and unload the database first (ttGridAdmin dbClose, dbUnload)."
