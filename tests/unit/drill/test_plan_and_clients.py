"""Plans of faults are made by their seed; what an error says about an outcome; the report."""

from __future__ import annotations

from xml.etree import ElementTree

import asyncpg
import pytest

from tests.drill import report
from tests.drill.clients import Recorder, is_allowed, outcome_of, state_of
from tests.drill.faults import HOLD_S, WITHOUT_LINKS, Done, Kind, plan
from tests.drill.history import Operation, Outcome, Verdict
from tests.drill.report import Run


def test_a_seed_gives_the_same_faults_and_every_kind_early() -> None:
    assert plan(7, count=30) == plan(7, count=30)
    assert plan(7, count=30) != plan(8, count=30)
    assert {fault.kind for fault in plan(7, count=len(Kind), kinds=tuple(Kind))} == set(Kind)
    assert {fault.kind for fault in plan(7, count=100)} == set(WITHOUT_LINKS)
    for fault in plan(7, count=200, sets=3):
        low, high = HOLD_S[fault.kind]
        assert low <= fault.hold_s <= high
        assert 0 <= fault.replica_set < 3
    assert {fault.kind for fault in plan(7, count=50, kinds=(Kind.STOP,))} == {Kind.STOP}


def _server_error(state: str) -> asyncpg.PostgresError:
    """As asyncpg makes it of an ErrorResponse."""
    return asyncpg.PostgresError.new({"S": "ERROR", "C": state, "M": "text"})


@pytest.mark.parametrize(
    ("error", "state", "at_commit"),
    [
        (_server_error("40001"), "40001", Outcome.FAILED),
        (_server_error("57P01"), "57P01", Outcome.FAILED),
        (_server_error("23505"), "23505", Outcome.FAILED),
        (_server_error("08007"), "08007", Outcome.UNKNOWN),
        (_server_error("08006"), "08006", Outcome.UNKNOWN),
        (_server_error("XX000"), "XX000", Outcome.UNKNOWN),
        (asyncpg.ConnectionDoesNotExistError("connection was closed"), "lost", Outcome.UNKNOWN),
        (asyncpg.InterfaceError("the connection is closed"), "lost", Outcome.UNKNOWN),
        (ConnectionResetError(104, "reset"), "lost", Outcome.UNKNOWN),
        (asyncpg.InternalClientError("cannot switch to state"), "lost", Outcome.UNKNOWN),
        (TimeoutError(), "silent", Outcome.UNKNOWN),
        (asyncpg.InterfaceError("something else"), "InterfaceError", Outcome.UNKNOWN),
    ],
)
def test_what_an_error_says(error: Exception, state: str, at_commit: Outcome) -> None:
    assert state_of(error) == state
    assert outcome_of(state, may_have_committed=True) is at_commit
    assert outcome_of(state, may_have_committed=False) is Outcome.FAILED


def test_errors_that_clients_can_handle() -> None:
    for state in ("40001", "40P01", "55P03", "57P03", "08007", "lost", "23505"):
        assert is_allowed("bank", state)
    for state in ("XX000", "42P01", "silent", "InterfaceError", "53300", "25P02"):
        assert not is_allowed("bank", state)
    assert is_allowed("connect", "53300")
    assert not is_allowed("connect", "28P01")


def _run(*verdicts: Verdict) -> Run:
    recorder = Recorder()
    for n in range(100):
        outcome = Outcome.FAILED if n == 50 else Outcome.OK
        at = n * 0.1 + (3.0 if n > 50 else 0.0)
        recorder.history.append(Operation(1, "add", 1, 1, None, at, at + 0.05, outcome, "counters"))
    recorder.error("counters", "40001", _server_error("40001"))
    faults = [Done("suspend: <lead>", ("a",), 5.0, 7.5, 8.0), Done("stop", ("b",), 9.0)]
    return Run(1, 13, 2, 4, 0.0, 13.0, "again", ("X",), recorder, faults, verdicts)


def test_the_report() -> None:
    good = Verdict("counters", 3)
    run = _run(good, Verdict("sums", 3, ("wrong",), is_promised=False))
    assert run.is_good
    text = report.text(run)
    assert "| counters add | 99 | 1 | 0 | 50.0 | 50.0 |" in text
    assert "| 5.0 | suspend: <lead> | 2.5 | 3.0 | 3.20 / 3.20 | – |" in text
    assert "| 9.0 | stop | never | never |" in text
    assert "| counters | 40001 | 1 | SerializationError: text |" in text
    assert not _run(good, Verdict("sums", 3, ("wrong",))).is_good
    assert not _run(good, Verdict("sums", 3, undecided=1)).is_good


def test_the_picture_is_well_formed() -> None:
    root = ElementTree.fromstring(report.picture(_run()))
    assert root.tag.endswith("svg")
    assert [t.text for t in root.iter() if t.tag.endswith("title")] == ["suspend: <lead>", "stop"]
