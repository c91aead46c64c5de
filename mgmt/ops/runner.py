"""Performs operations: writes the journal first, then acts. One runner per management instance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import msgspec
import structlog

from mgmt.model.store import Delete, Put, Store
from mgmt.ops import operation
from mgmt.ops.caller import caller
from mgmt.ops.operation import Finish, Perform, Record, State, Step
from protocol import trace
from protocol.clock import Clock
from protocol.errors import (
    GridError,
    InternalError,
    ModelError,
    NotActiveManagementError,
    OperationError,
)

log = structlog.get_logger()
KIND = "operation"  # of the store
AGAIN_S = 0.5
KEPT_MAX = 200  # ended operations remembered
RESUMED_S = 5.0  # who waits for an interrupted operation waits so long for it to go on here
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


class Progress(Protocol):
    """Where a command tells how it gets on; `kind` is step, ok, failed or line."""

    async def __call__(self, kind: str, text: str) -> None:
        """Show one event. Never raises: a client that went away does not stop the work."""
        ...


async def silent(kind: str, text: str) -> None:
    """Progress that nobody wants to see."""


class StepContext(msgspec.Struct, frozen=True):
    """What a performer is given beside its body."""

    operation_id: int
    index: int
    attempt: int
    progress: Progress


async def at_once() -> None:
    """Nothing is to be waited for: there is no standby."""


Performer = Callable[[dict[str, Any], StepContext], Awaitable[str]]
# returns what follows the title ("OK"); raises GridError. Must be repeatable.


class Running:
    """A started operation."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.ended: asyncio.Task[Record] | None = None
        self.watchers: list[Progress] = []
        self.decided = asyncio.Event()  # not set: interrupted, and it may go on here

    async def tell(self, kind: str, text: str) -> None:
        """Pass progress on to everybody who watches."""
        for watcher in tuple(self.watchers):
            await watcher(kind, text)

    async def wait(self) -> Record:
        """Until it ended. A cancelled waiter does not cancel the operation.

        Raises NotActiveManagementError when this instance ceased to be the active one and is not
        again within RESUMED_S: the journal says "running", and whoever becomes active goes on.
        """
        while True:
            ended = self.ended
            assert ended is not None
            await asyncio.wait({ended})
            if not ended.cancelled():
                return ended.result()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESUMED_S):
                    await self.decided.wait()
            if self.ended is ended:
                raise NotActiveManagementError(
                    f"operation {self.record.id} ({self.record.kind}) was interrupted:"
                    " this management instance is not active any more",
                    hint="It goes on under the next active: ttGridAdmin operationList shows it.",
                )


class Runner:
    """Starts, lists, cancels and resumes operations."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._performers: dict[str, Performer] = {}
        self._running: dict[int, Running] = {}
        self._ending: list[asyncio.Task[Record]] = []  # interrupted, perhaps not over yet
        self._interrupted: dict[int, Running] = {}  # since this instance was active last
        self._on_failure: dict[str, Callable[[Record], None]] = {}
        self.secured: Callable[[], Awaitable[None]] = at_once  # see Management.secured
        self.watch: Callable[[Record], None] = lambda record: None  # told of each journaled change

    def register(self, action: str, performer: Performer) -> None:
        """Say who performs the steps of this action."""
        assert action not in self._performers, action
        self._performers[action] = performer

    def on_failure(self, kind: str, callback: Callable[[Record], None]) -> None:
        """Call back when an operation of this kind failed or was cancelled."""
        self._on_failure[kind] = callback

    def start(
        self, kind: str, subject: str, steps: list[Step], progress: Progress = silent
    ) -> Running:
        """Journal and start an operation. Raises ModelError if one runs on the subject."""
        if trace.steps.listener is not None:
            trace.step("mgmt/ops/runner.py")
        for other in self._running.values():
            if subject and other.record.subject == subject:
                raise ModelError(
                    f"{other.record.kind} {subject} is still running (operation {other.record.id})",
                    hint="Wait for it, or stop it with ttGridAdmin operationCancel.",
                )
        number = max((int(key) for key, _ in self._store.items(KIND)), default=0) + 1
        record = Record(
            id=number,
            kind=kind,
            subject=subject,
            steps=tuple(steps),
            started_us=self._clock.wall_us(),
            by=caller.get(),
        )
        self._prune()
        self._journal(record)
        return self._launch(record, progress)

    async def run(
        self, kind: str, subject: str, steps: list[Step], progress: Progress = silent
    ) -> Record:
        """Start an operation, wait until it ended, and raise its error if it failed."""
        record = await self.start(kind, subject, steps, progress).wait()
        if record.state is not State.DONE and record.error is not None:
            raise GridError.from_wire(record.error)
        if record.state is State.CANCELLED:
            raise OperationError(f"{kind} was cancelled before step {record.at + 1}")
        return record

    def resume(self) -> list[Running]:
        """After a start as the active: go on with what was running when the process ended."""
        found = [_decode(body) for _, body in self._store.items(KIND)]
        unfinished = [r for r in found if r.state is State.RUNNING and r.id not in self._running]
        for record in unfinished:
            log.info("operation.resumed", operation=record.id, command=record.kind, step=record.at)
        before, self._interrupted = self._interrupted, {}
        return [self._again(before.get(r.id) or Running(r), r) for r in unfinished]

    def list(self) -> list[Record]:
        """All operations that are remembered, oldest first."""
        records = [_decode(body) for _, body in self._store.items(KIND)]
        return sorted(records, key=lambda record: record.id)

    def running_on(self, subject: str) -> Running | None:
        """The operation that works on the subject now."""
        return next((r for r in self._running.values() if r.record.subject == subject), None)

    def cancel(self, number: int) -> None:
        """Ask an operation to end after its step in hand. Raises ModelError if it is not running.

        A step that waits (for elements, for example) is interrupted: steps are repeatable.
        """
        running = self._running.get(number)
        if running is None:
            raise ModelError(f"operation {number} is not running")
        running.record, _ = operation.handle(running.record, operation.CancelAsked())
        self._journal(running.record)
        if running.ended is not None:
            running.ended.cancel()

    async def stop(self) -> None:
        """Interrupt everything; the journal lets the next start go on."""
        tasks = self.interrupt()
        for running in self._interrupted.values():
            running.decided.set()  # not here, that is
        await asyncio.gather(*tasks, return_exceptions=True)

    def interrupt(self) -> Sequence[asyncio.Task[Record]]:
        """Let everything end where it is, without a word in the journal; returns what ends."""
        tasks = [r.ended for r in self._running.values() if r.ended is not None]
        for running in self._running.values():
            running.decided.clear()
        self._interrupted |= self._running
        self._running.clear()  # a task that finds itself gone here leaves the journal alone
        self._ending += tasks
        for task in tasks:
            task.cancel()
        return tasks

    # -- inside
    def _launch(self, record: Record, progress: Progress) -> Running:
        running = Running(record)
        running.watchers.append(progress)
        return self._begin(running, self._drive(running))

    def _again(self, running: Running, record: Record) -> Running:
        running.record = record
        return self._begin(running, self._resumed(running))

    def _begin(self, running: Running, work: Coroutine[Any, Any, Record]) -> Running:
        self._running[running.record.id] = running
        running.ended = asyncio.create_task(work, name=f"operation-{running.record.id}")
        running.decided.set()
        return running

    async def _resumed(self, running: Running) -> Record:
        await running.tell("line", "This management instance is active again; the command goes on.")
        return await self._drive(running)

    async def _drive(self, running: Running) -> Record:
        ending, self._ending = self._ending, []
        await asyncio.gather(*ending, return_exceptions=True)  # of an earlier time as the active
        while True:
            try:
                return await self._steps(running)
            except NotActiveManagementError as error:  # no failure of the step: it goes on later
                log.warning("operation.waits", operation=running.record.id, error=error.message)
                await asyncio.sleep(AGAIN_S)  # interrupted here if the role is lost
            except asyncio.CancelledError:
                if running.record.id not in self._running or not running.record.cancel_asked:
                    raise

    async def _steps(self, running: Running) -> Record:
        event: operation.Event = operation.Begun()
        while True:
            running.record, actions = operation.handle(running.record, event)
            for action in actions:
                match action:
                    case Perform():
                        self._journal(running.record)
                        await self.secured()
                        event = await self._perform(running, action)
                    case Finish(state):
                        return await self._finish(running, state)
            if not actions:  # only a cancelled, already ended record comes here
                return await self._finish(running, running.record.state)

    async def _perform(self, running: Running, action: Perform) -> operation.Event:
        if trace.steps.listener is not None:
            trace.step("mgmt/ops/runner.py", action)
        step, number = action.step, running.record.id
        await running.tell("step", step.title)
        context = StepContext(number, action.index, action.attempt, running.tell)
        try:
            result = await self._performers[step.action](dict(step.body), context)
        except NotActiveManagementError:
            raise  # no failure of the step: this instance may not go on with it
        except GridError as error:
            failure = error
        except asyncio.CancelledError:
            if number not in self._running or not running.record.cancel_asked:
                raise  # the process stops: the journal still says "running"
            await running.tell("failed", "cancelled")
            interrupted = OperationError(f"{running.record.kind} was cancelled")
            return operation.StepCancelled(interrupted.to_wire())
        except Exception as error:
            log.exception("operation.step_crashed", operation=number, action=step.action)
            failure = InternalError(f"{step.title}: {type(error).__name__}: {error}")
        else:
            await running.tell("ok", result)
            return operation.StepDone(result)
        log.warning(
            "operation.step_failed", operation=number, action=step.action, error=failure.message
        )
        await running.tell("failed", failure.message)
        return operation.StepFailed(failure.to_wire())

    async def _finish(self, running: Running, state: State) -> Record:
        if trace.steps.listener is not None:
            trace.step("mgmt/ops/runner.py", running.record)
        running.record = msgspec.structs.replace(running.record, ended_us=self._clock.wall_us())
        self._journal(running.record)
        await self.secured()
        self._running.pop(running.record.id, None)
        log.info("operation.ended", operation=running.record.id, state=str(state))
        callback = self._on_failure.get(running.record.kind)
        if state is not State.DONE and callback is not None:
            callback(running.record)
        return running.record

    def _journal(self, record: Record) -> None:
        self._store.write(Put(KIND, f"{record.id:08d}", _encode(record)))
        self.watch(record)

    def _prune(self) -> None:
        ended = [
            key for key, body in self._store.items(KIND) if _decode(body).state is not State.RUNNING
        ]
        if len(ended) > KEPT_MAX:
            self._store.write(*(Delete(KIND, key) for key in ended[: len(ended) - KEPT_MAX]))
