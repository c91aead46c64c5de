"""Operations on a real store: exclusion, cancelling, interruption and resumption."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mgmt.model.store import Store
from mgmt.ops.operation import Record, State, Step
from mgmt.ops.runner import Runner, StepContext
from protocol.clock import SystemClock
from protocol.errors import InternalError, ModelError, NotActiveManagementError, OperationError


class Work:
    """A performer that notes what it does and can be made to wait or fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.holds_at = ""
        self.begun = asyncio.Event()  # a step waits
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, body: dict[str, Any], context: StepContext) -> str:
        if body["name"] == self.holds_at or not self.gate.is_set():
            self.begun.set()
            self.gate.clear()
        await self.gate.wait()
        if body.get("fails", 0) >= context.attempt:
            raise OperationError(f"attempt {context.attempt}")
        if body.get("crashes"):
            raise ZeroDivisionError("a fault of ours")
        self.done.append(str(body["name"]))
        return "OK"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store.db")
    yield store
    store.close()


def runner_with(store: Store, work: Work) -> Runner:
    runner = Runner(store, SystemClock())
    runner.register("work", work)
    return runner


def steps(*names: str, **more: object) -> list[Step]:
    return [Step(f"Doing {name}", "work", {"name": name, **more}) for name in names]


async def test_progress_tells_each_step_and_its_end(store: Store) -> None:
    seen: list[str] = []

    async def progress(kind: str, text: str) -> None:
        seen.append(f"{kind} {text}")

    record = await runner_with(store, Work()).run("test", "x", steps("a", "b"), progress)
    assert record.state is State.DONE
    assert seen == ["step Doing a", "ok OK", "step Doing b", "ok OK"]


async def test_two_operations_on_one_subject_exclude_each_other(store: Store) -> None:
    work = Work()
    runner = runner_with(store, work)
    work.gate.clear()
    first = runner.start("first", "database1", steps("a"))
    with pytest.raises(ModelError, match="first database1 is still running"):
        runner.start("second", "database1", steps("b"))
    other = runner.start("other", "database2", steps("c"))
    work.gate.set()
    await first.wait()
    await other.wait()
    assert sorted(work.done) == ["a", "c"]


async def test_a_failure_is_raised_and_recorded(store: Store) -> None:
    failed: list[str] = []
    runner = runner_with(store, Work())
    runner.on_failure("test", lambda record: failed.append(record.kind))
    with pytest.raises(OperationError, match="attempt 1"):
        await runner.run("test", "x", steps("a", fails=1))
    assert failed == ["test"]
    assert runner.list()[-1].state is State.FAILED


async def test_a_step_with_attempts_succeeds_later(store: Store) -> None:
    step = Step("Doing a", "work", {"name": "a", "fails": 2}, attempts=3)
    record = await runner_with(store, Work()).run("test", "x", [step])
    assert record.state is State.DONE


async def test_a_fault_of_ours_fails_the_operation_not_the_daemon(store: Store) -> None:
    with pytest.raises(InternalError, match="a fault of ours"):
        await runner_with(store, Work()).run("test", "x", steps("a", crashes=True))


async def test_an_interrupted_operation_is_resumed_at_its_step(store: Store) -> None:
    work = Work()
    runner = runner_with(store, work)
    work.holds_at = "b"
    running = runner.start("test", "x", steps("a", "b", "c"))
    await work.begun.wait()
    await runner.stop()  # as when the daemon ends
    assert running.ended is not None
    assert running.ended.cancelled()
    again = Work()
    resumed = runner_with(store, again).resume()
    record = await resumed[0].wait()
    assert record.state is State.DONE
    assert again.done == ["b", "c"]
    assert runner_with(store, Work()).resume() == []


async def interrupted(runner: Runner, work: Work, seen: list[str]) -> asyncio.Task[Record]:
    """Somebody waits for an operation that was interrupted in its step b."""

    async def show(kind: str, text: str) -> None:
        seen.append(f"{kind} {text}")

    work.holds_at = "b"
    running = runner.start("test", "x", steps("a", "b", "c"), show)
    waiting = asyncio.create_task(running.wait())
    await work.begun.wait()
    await asyncio.gather(*runner.interrupt(), return_exceptions=True)  # the role is lost
    work.holds_at = ""
    work.gate.set()
    return waiting


async def test_who_waits_sees_it_go_on_where_the_role_comes_back(store: Store) -> None:
    work, seen = Work(), list[str]()
    runner = runner_with(store, work)
    for _ in range(2):  # the second time is as good as the first
        waiting = await interrupted(runner, work, seen)
        runner.resume()
        assert (await waiting).state is State.DONE
        assert work.done == ["a", "b", "c"]
        assert " ".join(line.split()[0] for line in seen) == "step ok step line step ok step ok"
        work.done.clear()
        work.begun.clear()
        seen.clear()


async def test_who_waits_is_told_where_the_role_stays_away(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgmt.ops.runner.RESUMED_S", 0.01)
    work = Work()
    waiting = await interrupted(runner_with(store, work), work, [])
    with pytest.raises(NotActiveManagementError, match="operation 1"):
        await waiting


async def test_who_waits_is_told_at_once_when_the_daemon_ends(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgmt.ops.runner.RESUMED_S", 3600.0)
    work = Work()
    runner = runner_with(store, work)
    waiting = await interrupted(runner, work, [])
    await runner.stop()
    with pytest.raises(NotActiveManagementError, match="operation 1"):
        await waiting


async def test_cancelling_interrupts_a_waiting_step(store: Store) -> None:
    work = Work()
    runner = runner_with(store, work)
    work.gate.clear()
    running = runner.start("test", "x", steps("a", "b"))
    await work.begun.wait()
    runner.cancel(running.record.id)
    record = await running.wait()
    assert record.state is State.CANCELLED
    assert record.error is not None
    assert "cancelled" in record.error[1]
    assert work.done == []
    with pytest.raises(ModelError, match="not running"):
        runner.cancel(running.record.id)
