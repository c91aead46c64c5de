"""Exceptions: the numbers that handlers and EXCEPTION_INIT go by."""

from __future__ import annotations

import pytest

from data.plsql.errors import error_text, of_grid_error, text_of_code
from protocol.errors import (
    DeadlockError,
    GridError,
    LockTimeoutError,
    NotServingError,
    PeerUnreachableError,
    ReplicaSetDownError,
    SerializationError,
    TransientError,
    UniqueViolationError,
    UnknownTableError,
    WorkspaceLostError,
)


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (TransientError("its lead is away"), -57005, ""),
        (UniqueViolationError("twice"), -1, "DUP_VAL_ON_INDEX"),
        (UnknownTableError("none"), -942, ""),
        (LockTimeoutError("busy"), -54, ""),
        (DeadlockError("round"), -6002, ""),
        (SerializationError("changed"), -57005, ""),
        (WorkspaceLostError("lost"), -57005, ""),
        (NotServingError("away"), -57006, ""),
        (PeerUnreachableError("gone"), -57007, ""),
        (ReplicaSetDownError("down"), -57008, ""),
    ],
)
def test_errors_of_sql_have_oracles_numbers(error: GridError, code: int, name: str) -> None:
    made = of_grid_error(error)
    assert (made.code, made.name) == (code, name)
    assert made.cause is error


def test_what_can_be_tried_again_can_be_told() -> None:
    for error in (TransientError("x"), DeadlockError("y")):
        assert error.retriable
        assert of_grid_error(error).code < 0


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ORA-0000: normal, successful completion"),
        (1, "User-Defined Exception"),
        (100, "ORA-01403: no data found"),
        (7, "-7: non-ORACLE exception"),
        (-6511, "ORA-06511: PL/SQL: cursor already open"),
        (-60000, "ORA-60000: Message 60000 not found; product=RDBMS; facility=ORA"),
    ],
)
def test_texts_of_numbers(code: int, text: str) -> None:
    assert text_of_code(code) == text


def test_a_users_exception_has_its_text() -> None:
    assert error_text(-20001, "mine") == "ORA-20001: mine"
