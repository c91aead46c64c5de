"""What errors tell a program: one table of every error that says a retry can help, and some more.

The third column is what TimesTen's programs know: ORA-57005 roll back and retry the transaction,
57006 when the element is back, 57007 retry the statement, 57008 when the element is back.
"""

from __future__ import annotations

import pytest

from protocol.errors import GridError
from protocol.pgwire.messages import error_response
from protocol.remedies import Remedy

# code: SQLSTATE, TimesTen's number, its class (KS-20), words of the hint
RETRIABLE = {
    "TRANSIENT": ("40001", 57005, 57005, "run the transaction again"),
    "STALE_MAP": ("40001", 0, 57005, "run the transaction again"),
    "STALE_SCHEMA": ("40001", 0, 57005, "run the transaction again"),
    "SERIALIZATION": ("40001", 0, 57005, "run the transaction again"),
    "ROW_CHANGED": ("40001", 0, 57005, "run the transaction again"),
    "SNAPSHOT_TOO_OLD": ("40001", 0, 57005, "run the transaction again"),
    "TOO_MANY_SNAPSHOTS": ("53400", 0, 57008, "Wait"),
    "WORKSPACE_LOST": ("40001", 1207, 57005, "Roll back"),
    "DEADLOCK": ("40P01", 6002, 57005, "Roll back"),
    "LOCK_TIMEOUT": ("55P03", 6003, 57007, "statement again"),
    "SYSTEM_LOCK": ("55P03", 6016, 57007, "statement again"),
    "NOT_LEAD": ("57P03", 3512, 57007, "statement again"),
    "STALE_TERM": ("57P03", 0, 57007, "statement again"),
    "ELEMENT_UNREACHABLE": ("57P03", 3512, 57007, "statement again"),
    "PEER_BUSY": ("57P03", 0, 57008, "Wait"),
    "REPLICA_SET_DOWN": ("57P04", 3723, 57008, "dbStatus"),
    "NOT_IN_MAP": ("57P03", 3502, 57006, "another data instance"),
    "NOT_SERVING": ("57P03", 3516, 57006, "another data instance"),
    "CUT_OFF": ("57P03", 3516, 57006, "another data instance"),
    "DATABASE_CLOSED": ("57P03", 0, 57006, "wait"),
    "MEMBERSHIP_LOST": ("57P03", 3516, 57006, "another data instance"),
    "DISCONNECTED": ("57P01", 0, 57006, "another data instance"),
    "SHUTTING_DOWN": ("57P01", 994, 57006, "another data instance"),
    "TOO_MANY_CONNECTIONS": ("53300", 0, 57006, "another data instance"),
    "TOO_MANY_STATEMENTS": ("53000", 0, 57008, "Wait"),
    "LOG_GAP": ("XX001", 0, 57008, "Wait"),
}
# Whose outcome is unknown, or that another try would meet again.
NOT_RETRIABLE = {
    "OUTCOME_UNKNOWN": "08007",
    "DEADLINE": "08007",
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


def told(error: GridError) -> dict[str, str]:
    """The fields of the ErrorResponse that a SQL client gets."""
    body = error_response(error)[5:].rstrip(b"\0")
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0")}


@pytest.mark.parametrize("code", RETRIABLE)
def test_errors_that_a_retry_can_help(code: str) -> None:
    kind = GridError.by_code[code]
    sqlstate, number, timesten, words = RETRIABLE[code]
    assert (kind.sqlstate, kind.tt_number, kind.retriable) == (sqlstate, number, True)
    assert kind.remedy.number == timesten
    fields = told(kind("what", detail="Why."))
    assert fields["C"] == sqlstate
    assert fields["M"] == (f"TT{number:04d}: what" if number else "what")
    assert words in fields["H"]
    assert fields["D"].startswith("Why.")
    assert (f"ORA-{timesten}" in fields["D"]) is bool(timesten)


def test_the_table_has_every_error_that_a_retry_can_help() -> None:
    assert set(RETRIABLE) == {
        kind.code
        for kind in GridError.by_code.values()
        if kind.retriable and kind.code != "NOT_ACTIVE_MANAGEMENT"  # no SQL client hears it
    }


@pytest.mark.parametrize("code", ["OUTCOME_UNKNOWN", "PEER_LOST"])
def test_whose_outcome_is_unknown_is_not_told_to_repeat(code: str) -> None:
    fields = told(GridError.by_code[code]("what"))
    assert fields["H"].startswith("Look whether the change is there")
    assert "D" not in fields


def test_a_hint_of_its_own_is_the_better_one() -> None:
    assert told(GridError.by_code["DEADLOCK"]("what", hint="Do that."))["H"] == "Do that."


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (57005, "transaction, retry"),
        (57006, "transaction, wait for element"),
        (57007, "statement, retry"),
        (57008, "statement, wait for element"),
    ],
)
def test_the_four_classes_of_timesten(number: int, words: str) -> None:
    (remedy,) = [remedy for remedy in Remedy if remedy.number == number]
    assert remedy.added_to("") == f"(TimesTen ORA-{number}: {words})"
    assert remedy.hint


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
