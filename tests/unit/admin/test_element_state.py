"""The life of one element."""

from __future__ import annotations

import itertools

import pytest

from data.admin.element_state import (
    DONE,
    IN_BETWEEN,
    STARTS,
    State,
    Verb,
    after,
    begins,
    during,
    shown,
)
from protocol.errors import ElementStateError


def walk(*verbs: Verb) -> State:
    state = State.UNCREATED
    for verb in verbs:
        assert begins(state, verb)
        assert during(verb) in IN_BETWEEN
        state = after(verb, ok=True)
    return state


def test_the_documented_ladder_up_and_down() -> None:
    up = (Verb.CREATE, Verb.LOAD, Verb.OPEN)
    assert walk(*up) is State.OPENED
    assert walk(*up, Verb.CLOSE) is State.LOADED
    assert walk(*up, Verb.CLOSE, Verb.UNLOAD) is State.UNLOADED
    assert walk(*up, Verb.CLOSE, Verb.UNLOAD, Verb.LOAD) is State.LOADED
    assert walk(*up, Verb.CLOSE, Verb.UNLOAD, Verb.DESTROY) is State.DESTROYED


@pytest.mark.parametrize("verb", Verb)
def test_a_repeated_command_does_nothing(verb: Verb) -> None:
    assert not begins(after(verb, ok=True), verb)


@pytest.mark.parametrize("verb", Verb)
def test_a_failed_command_can_be_repeated(verb: Verb) -> None:
    assert begins(after(verb, ok=False), verb)


@pytest.mark.parametrize(
    ("state", "verb"),
    [
        (State.UNCREATED, Verb.LOAD),
        (State.CREATED, Verb.OPEN),
        (State.OPENED, Verb.UNLOAD),
        (State.LOADED, Verb.DESTROY),
        (State.OPENED, Verb.DESTROY),
        (State.DESTROYED, Verb.OPEN),
    ],
)
def test_commands_out_of_order_are_refused_with_a_hint(state: State, verb: Verb) -> None:
    with pytest.raises(ElementStateError, match=f"{state} cannot {verb}") as refused:
        begins(state, verb)
    assert "ttGridAdmin" in refused.value.hint


def test_no_state_both_starts_and_ends_the_same_command() -> None:
    for verb in Verb:
        assert not STARTS[verb] & DONE[verb]


def test_no_command_begins_in_the_middle_of_another() -> None:
    for state, verb in itertools.product(IN_BETWEEN, Verb):
        with pytest.raises(ElementStateError):
            begins(state, verb)


def test_a_loaded_element_that_lags_is_shown_as_loading() -> None:
    assert shown(State.OPENED, "lead") == "opened"
    assert shown(State.OPENED, "catching-up") == "loading"
    assert shown(State.LOADED, "waiting-for-seed") == "waiting for seed"
    assert shown(State.UNLOADED, "catching-up") == "unloaded"
