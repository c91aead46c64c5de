"""What errors tell a program: one table of every error that says a retry can help, and some more.

The last column is what TimesTen's programs know: ORA-57005 roll back and retry the transaction,
57007 retry the statement, 57008 retry the statement when the element is back.
"""

from __future__ import annotations

import pytest

from protocol.errors import GridError

# code: SQLSTATE, TimesTen's number, what to do
RETRIABLE = {
    "TRANSIENT": ("40001", 57005, "transaction"),
    "STALE_MAP": ("40001", 0, "transaction"),
    "STALE_SCHEMA": ("40001", 0, "transaction"),
    "WORKSPACE_LOST": ("40001", 0, "transaction"),
    "DEADLOCK": ("40P01", 6002, "transaction"),
    "LOCK_TIMEOUT": ("55P03", 6003, "statement"),
    "NOT_LEAD": ("57P03", 3512, "statement"),
    "ELEMENT_UNREACHABLE": ("57P03", 3512, "statement"),
    "REPLICA_SET_DOWN": ("57P04", 3723, "wait"),
    "NOT_SERVING": ("57P03", 0, "another instance"),
    "DATABASE_CLOSED": ("57P03", 0, "wait"),
    "MEMBERSHIP_LOST": ("57P03", 0, "another instance"),
    "SHUTTING_DOWN": ("57P01", 0, "another instance"),
    "TOO_MANY_CONNECTIONS": ("53300", 0, "another instance"),
    "TOO_MANY_STATEMENTS": ("53000", 0, "wait"),
}
# Whose outcome is unknown, or that another try would meet again.
NOT_RETRIABLE = {
    "OUTCOME_UNKNOWN": "08007",
    "PEER_LOST": "08006",
    "FAILED_TRANSACTION": "25P02",
    "IDLE_IN_TRANSACTION": "25P03",
    "IDLE_SESSION": "57P05",
    "QUERY_CANCELLED": "57014",
    "STATEMENT_TIMEOUT": "57014",
    "TOO_LARGE": "54000",
    "TOO_COMPLEX": "54001",
    "PERM_SIZE": "53100",
    "NO_TRANSACTION": "25P01",
    "SAVEPOINT": "3B001",
    "UNIQUE": "23505",
}
# classes that drivers and pools take for "the connection or the server had to stop, try again"
CLASSES_OF_RETRY = ("40", "53", "55", "57", "08", "XX")


@pytest.mark.parametrize("code", RETRIABLE)
def test_errors_that_a_retry_can_help(code: str) -> None:
    kind = GridError.by_code[code]
    sqlstate, number, _ = RETRIABLE[code]
    assert (kind.sqlstate, kind.tt_number, kind.retriable) == (sqlstate, number, True)


@pytest.mark.parametrize("code", NOT_RETRIABLE)
def test_errors_that_stay(code: str) -> None:
    kind = GridError.by_code[code]
    assert (kind.sqlstate, kind.retriable) == (NOT_RETRIABLE[code], False)


def test_no_other_error_promises_a_retry_in_a_class_that_drivers_do_not_know() -> None:
    for kind in GridError.by_code.values():
        if kind.retriable:
            assert kind.sqlstate[:2] in CLASSES_OF_RETRY, kind.code


def test_class_40_means_the_transaction_and_nothing_else() -> None:
    for kind in GridError.by_code.values():
        if kind.sqlstate[:2] == "40":
            assert kind.retriable, kind.code


def test_an_error_survives_the_internal_network() -> None:
    for kind in GridError.by_code.values():
        sent = kind("what", detail="why", hint="then", position=3)
        came = GridError.from_wire(sent.to_wire())
        assert type(came) is kind
        assert came.to_wire() == sent.to_wire()
