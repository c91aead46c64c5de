"""Plans of faults are made by their seed; what an error says about an outcome; the report."""

from __future__ import annotations

import asyncio
import json
import struct
from pathlib import Path

import asyncpg
import pytest

from tests.drill import report
from tests.drill.clients import Recorder, is_allowed, outcome_of, state_of
from tests.drill.faults import Done, Driver
from tests.drill.history import Operation, Outcome, Verdict
from tests.drill.memory import DATA_MAX_MB, Memory
from tests.drill.plan import BESIDE, HOLD_S, LINKS, WITHOUT_ROOT, Kind, plan
from tests.drill.quiet import Gate
from tests.drill.report import Run


def test_a_seed_gives_the_same_faults_and_every_kind_early() -> None:
    assert plan(7, count=30) == plan(7, count=30)
    assert plan(7, count=30) != plan(8, count=30)
    assert {fault.kind for fault in plan(7, count=len(Kind), kinds=tuple(Kind))} == set(Kind)
    assert {fault.kind for fault in plan(7, count=200)} == set(WITHOUT_ROOT)
    for fault in plan(7, count=200, sets=3):
        low, high = HOLD_S[fault.kind]
        assert low <= fault.hold_s <= high
        assert 0 <= fault.replica_set < 3
    assert {fault.kind for fault in plan(7, count=50, kinds=(Kind.STOP,))} == {Kind.STOP}


def test_two_faults_at_a_time_leave_a_copy_to_go_on_from() -> None:
    faults = plan(3, count=500, kinds=tuple(Kind))
    pairs = [(fault.kind, fault.beside.kind) for fault in faults if fault.beside is not None]
    assert len(pairs) > 20
    assert {kind for kind, _ in pairs} <= {*BESIDE, *LINKS}
    assert {beside for _, beside in pairs} == set(BESIDE)
    for kind in (Kind.LOSE_FILE, Kind.DAMAGE_FILE):
        assert kind not in {one for pair in pairs for one in pair}
    assert not any(f.beside for f in plan(3, count=500, kinds=tuple(Kind), is_paired=False))
    assert not any(f.beside for f in faults[: len(Kind)])


def test_every_kind_of_fault_can_be_done() -> None:
    driver = Driver(grid=None, watch=None, tell=print)  # type: ignore[arg-type]
    assert set(driver._actions()) == set(Kind)


async def test_the_gate_lets_no_operation_through_while_it_is_closed() -> None:
    gate = Gate()
    order = []

    async def work(name: str, seconds: float) -> None:
        async with gate.turn():
            order.append(f"{name} begins")
            await asyncio.sleep(seconds)  # work takes time
            order.append(f"{name} ends")

    first = asyncio.create_task(work("one", 0.02))
    await asyncio.sleep(0)
    async with gate.closed(5.0):
        second = asyncio.create_task(work("two", 0.0))
        await asyncio.sleep(0)
        order.append("closed")
    await asyncio.gather(first, second)
    assert order == ["one begins", "one ends", "closed", "two begins", "two ends"]


async def test_the_gate_says_when_an_operation_does_not_end() -> None:
    gate = Gate()
    async with gate.turn():
        with pytest.raises(TimeoutError):
            async with gate.closed(0.01):
                pass
    async with gate.turn():
        pass  # it is open again


def test_too_much_memory_is_found() -> None:
    memory = Memory(grid=None)  # type: ignore[arg-type]
    memory.samples["host3"] += [(0.0, 80.0), (2.0, 90.0)]
    assert memory.verdict().word == "holds"
    memory.samples["host3"].append((4.0, DATA_MAX_MB + 1.0))
    assert memory.verdict().word == "VIOLATED"


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
    assert is_allowed("tables", "42P01")
    assert not is_allowed("bank", "53100")
    assert is_allowed("bank", "53100", is_disk_full=True)


def _run(*verdicts: Verdict) -> Run:
    recorder = Recorder()
    for n in range(100):
        outcome = Outcome.FAILED if n == 50 else Outcome.OK
        at = n * 0.1 + (3.0 if n > 50 else 0.0)
        recorder.history.append(Operation(1, "add", 1, 1, None, at, at + 0.05, outcome, "counters"))
    recorder.error("counters", "40001", _server_error("40001"))
    faults = [Done("suspend: <lead>", ("a",), 5.0, 7.5, 8.0), Done("stop", ("b",), 9.0)]
    memory = {"host3": [(0.0, 80.0), (2.0, 95.0), (4.0, 90.0)]}
    return Run(1, 13, 2, 4, 0.0, 13.0, "again", ("X",), recorder, faults, verdicts, memory)


def test_the_report() -> None:
    good = Verdict("counters", 3)
    run = _run(good, Verdict("sums", 3, ("wrong",), is_promised=False))
    assert run.is_good
    text = report.text(run)
    assert "| counters add | 99 | 1 | 0 | 50.0 | 50.0 |" in text
    assert "| 5.0 | suspend: <lead> | 2.5 | 3.0 | 3.20 / 3.20 | – |" in text
    assert "| 9.0 | stop | never | never |" in text
    assert "| host3 | 80 | 95 | 90 |" in text
    assert "| counters | 40001 | 1 | SerializationError: text |" in text
    assert not _run(good, Verdict("sums", 3, ("wrong",))).is_good
    assert not _run(good, Verdict("sums", 3, undecided=1)).is_good


def test_the_report_as_json() -> None:
    found = json.loads(json.dumps(report.as_json(_run(Verdict("counters", 3, ("wrong",))))))
    assert not found["good"]
    assert found["verdicts"][0]["wrong"] == ["wrong"]
    assert found["operations"] == {"ok": 99, "failed": 1}
    assert sum(good for good, _ in found["per_second"]) == 99
    assert found["faults"][1]["whole_s"] is None
    assert found["memory_mb"]["host3"] == [[0.0, 80.0], [2.0, 95.0], [4.0, 90.0]]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tests.drill import plot

    plot.draw(_run(), tmp_path / "drill.png")
    picture = (tmp_path / "drill.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == (1500, 1000)
