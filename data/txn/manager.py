"""Transactions of the clients of this data instance: the coordinator's side.

A transaction enlists a replica set with its first statement there. Commit is one message for one
participant and two-phase commit for several: PREPARE everywhere but at the anchor, whose COMMIT is
the decision, then the others (decision 0119). The methods here are coroutines on the event loop;
what they decide is in `Transaction`, what they send goes through the router.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar

import structlog

from data.distribution.places import Places
from data.txn.committing import Committing, Done
from data.txn.deadlines import DECISION_WAIT_S, FAILOVER_WAIT_S
from data.txn.isolation import Isolation
from protocol import trace
from protocol.clock import boottime_s, wall_us
from protocol.errors import (
    CutOffError,
    DeadlineError,
    GridError,
    InternalError,
    OutcomeUnknownError,
    PeerLostError,
    ReplicaSetDownError,
    TransientError,
    WorkspaceLostError,
)
from protocol.ids import TxnId
from protocol.messages.sql import (
    LockKeys,
    LockTable,
    Ran,
    RunStatement,
    SelectRows,
    Step,
    StillRuns,
    TakeKeys,
)
from protocol.messages.txn import (
    Acknowledged,
    AskOutcome,
    CommitSingle,
    CoordinatedState,
    Decide,
    Forget,
    Outcome,
    Prepare,
    RollBack,
    UndoStatement,
    Voted,
)

log = structlog.get_logger()

ROLL_BACK_WAIT_S = 1.0  # how long a roll back waits for replica sets that have no lead
CUT_OFF_PAUSE_S = 0.1  # between two tries of an instance that is cut off
ROWS_PER_S = 2000  # a commit of very many rows may take as long as this, and nobody is to blame


T = TypeVar("T")

LOCK_STEPS = (LockKeys, LockTable, SelectRows, TakeKeys)  # they change no row

_newest = 0  # number given in this process: a database loaded again never repeats an id


class Routes(Protocol):
    """How messages reach the leads (data/exec/router.py)."""

    @property
    def places(self) -> Places: ...
    def send(
        self,
        rs: int,
        message: Any,
        on_reply: Callable[[Any, GridError | None], None],
        timeout_s: float,
    ) -> None: ...
    def call(self, rs: int, message: Any, timeout_s: float) -> asyncio.Future[Any]: ...
    async def call_until(self, rs: int, message: Any, deadline_s: float) -> Any: ...
    def tell(self, rs: int, message: Any) -> None: ...
    def may_repeat(self, error: GridError) -> bool: ...
    def is_local(self, rs: int) -> bool: ...
    async def wait_for_change(self, at_most_s: float) -> None: ...


@dataclass
class Enlisted:
    """What the coordinator knows of one participant."""

    term: int = 0
    statements: int = 0  # answered
    sent: int = 0  # number of the newest statement that was sent: it may have run there
    wrote: bool = False  # something else than locks may be there
    rows: int = 0  # that statements have changed or read there

    @property
    def commit_s(self) -> float:
        """How long its commit may take."""
        return DECISION_WAIT_S + self.rows / ROWS_PER_S


@dataclass(frozen=True)
class Held:
    """A snapshot of one replica set, and the instance that holds it."""

    instance: str
    number: int


@dataclass(frozen=True)
class Snapshots:
    """Snapshots of all replica sets that show the same transactions."""

    held: dict[int, Held]
    schema: int
    places: Places  # by which it is read

    def at(self, rs: int) -> Held:
        """The one of a replica set. Raises ReplicaSetDownError: it was down at that moment."""
        held = self.held.get(rs)
        if held is None:
            raise ReplicaSetDownError(
                f"replica set {rs} was down when the transaction took its snapshot",
                hint="Roll back and run the transaction again when it is back.",
            )
        return held


@dataclass
class Transaction:
    """One transaction of one client session."""

    id: TxnId
    participants: dict[int, Enlisted] = field(default_factory=dict)
    failed: GridError | None = None  # it can only roll back
    lock_wait_ms: int = 10_000
    isolation: Isolation = Isolation.READ_COMMITTED
    snapshots: Snapshots | None = None  # REPEATABLE READ: taken by its first statement
    started_s: float = field(default_factory=boottime_s)
    ddl_at: int = 0  # the only replica set that its DDL is for; 0: all of them

    def mark(self) -> dict[int, int]:
        """Where it stands now, for going back to a savepoint."""
        return {rs: enlisted.statements for rs, enlisted in self.participants.items()}


class TransactionManager:
    """Coordinates the transactions of one database on this instance."""

    def __init__(self, db: str, element: int, incarnation: str, routes: Routes) -> None:
        self.db = db
        self.routes = routes
        self._element = element
        self._incarnation = incarnation
        self._forget: dict[int, list[TxnId]] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self.open: dict[TxnId, Transaction] = {}

    def new_id(self) -> TxnId:
        """A transaction id never given before.

        Its number tells when it was given (wall clock, µs), so that everybody agrees which of two
        transactions is the younger, however many coordinators there are; see data/txn/locks.py.
        """
        global _newest
        _newest = max(_newest + 1, wall_us())
        return TxnId(self._element, self._incarnation, _newest)

    def coordinated(self) -> tuple[CoordinatedState, ...]:
        """The transactions of clients here, for operators."""
        now_s = boottime_s()
        return tuple(
            CoordinatedState(
                t.id,
                int((now_s - t.started_s) * 1000),
                tuple(sorted(t.participants)),
                t.failed is not None,
            )
            for t in self.open.values()
        )

    def begin(
        self, lock_wait_ms: int, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> Transaction:
        """A new open transaction."""
        transaction = Transaction(self.new_id(), lock_wait_ms=lock_wait_ms, isolation=isolation)
        self.open[transaction.id] = transaction
        return transaction

    async def run(
        self,
        txn: Transaction,
        rs: int,
        steps: tuple[Step, ...],
        schema: int,
        *,
        lock_wait_ms: int = -1,
        back_ms: int = 0,
        snapshot: int = 0,
        places: Places | None = None,
    ) -> Ran:
        """Run one statement's steps at a replica set, which was chosen by `places` (None: now's).

        Retries at the next lead while nothing of the transaction is there yet; afterwards a lost
        lead makes the transaction fail with WorkspaceLostError (class 40). A lead that has run the
        statement already repeats its answer, so a lost answer is no reason to give up. A statement
        may take any time as long as its lead says that it runs.
        """
        enlisted = txn.participants.setdefault(rs, Enlisted())
        if enlisted.sent > enlisted.statements:  # one that nobody waited for may still be there
            await self._undo_at(txn, rs, enlisted, enlisted.statements)
            enlisted = txn.participants.setdefault(rs, Enlisted())
        number = enlisted.sent = enlisted.statements + 1
        enlisted.wrote = enlisted.wrote or not all(isinstance(s, LOCK_STEPS) for s in steps)
        wait_ms = txn.lock_wait_ms if lock_wait_ms < 0 else lock_wait_ms
        deadline_s = boottime_s() + FAILOVER_WAIT_S + wait_ms / 1000
        routes = self.routes
        version = (routes.places if places is None else places).version_of(rs)
        while True:
            message = RunStatement(
                self.db,
                rs,
                schema,
                version,
                txn.id,
                enlisted.term,
                number,
                False,
                steps,
                wait_ms,
                back_ms,
                snapshot,
            )
            if trace.steps.listener is not None:
                trace.step("data/txn/manager.py", message)
            try:
                ran: Ran | StillRuns = await routes.call(
                    rs, message, max(0.1, deadline_s - boottime_s())
                )
            except GridError as error:
                lost = isinstance(error, (PeerLostError, DeadlineError))
                if not lost and not routes.may_repeat(error):
                    if isinstance(error, (WorkspaceLostError, OutcomeUnknownError)):
                        txn.failed = error
                    raise
                if boottime_s() > deadline_s:
                    raise self._down(rs, error) from error
                await routes.wait_for_change(0.02)
            else:
                enlisted.term = ran.term
                if isinstance(ran, Ran):
                    enlisted.statements = number
                    enlisted.rows += sum(ran.counts)
                    return ran
                deadline_s = boottime_s() + FAILOVER_WAIT_S + wait_ms / 1000

    async def run_and_commit(
        self,
        txn: Transaction,
        rs: int,
        steps: tuple[Step, ...],
        schema: int,
        bucket: int = -1,
    ) -> Ran:
        """Run a transaction's last statement and commit it in the same round trip.

        No other replica set may take part. Afterwards the transaction is over; on an error it is
        over if `txn.failed` says so, else only the statement is undone.
        """
        enlisted = txn.participants.setdefault(rs, Enlisted())
        if enlisted.sent > enlisted.statements:
            await self._undo_at(txn, rs, enlisted, enlisted.statements)
            enlisted = txn.participants.setdefault(rs, Enlisted())
        number = enlisted.sent = enlisted.statements + 1
        deadline_s = boottime_s() + FAILOVER_WAIT_S + txn.lock_wait_ms / 1000
        routes = self.routes
        version = routes.places.version_of(rs)
        while True:
            message = RunStatement(
                self.db, rs, schema, version, txn.id, enlisted.term, number, True,
                steps, txn.lock_wait_ms, bucket=bucket,
            )  # fmt: skip
            try:
                ran: Ran = await routes.call(rs, message, max(0.1, deadline_s - boottime_s()))
            except (PeerLostError, DeadlineError, OutcomeUnknownError) as error:
                txn.failed = error
                return await self._last_lost(txn, rs, number)
            except GridError as error:
                if not routes.may_repeat(error):
                    if isinstance(error, WorkspaceLostError):
                        txn.failed = error
                    raise
                if boottime_s() > deadline_s:
                    raise self._down(rs, error) from error
                await routes.wait_for_change(0.02)
            else:
                self.open.pop(txn.id, None)
                return ran

    async def _last_lost(self, txn: Transaction, rs: int, number: int) -> Ran:
        """The answer of `run_and_commit` was lost: what became of the transaction?"""
        outcome = await self.outcome(rs, txn.id)
        self.open.pop(txn.id, None)
        if outcome.state != "committed":
            raise TransientError(
                "the transaction was rolled back: its lead was lost during commit",
                hint="Run the transaction again.",
            )
        if number > 1 or outcome.changes < 0:
            raise OutcomeUnknownError(
                "the transaction was committed; how many rows its last statement changed is unknown"
            )
        return Ran(0, (outcome.changes,), [])

    async def run_autocommit(
        self,
        rs: int,
        steps: tuple[Step, ...],
        schema: int,
        lock_wait_ms: int,
        bucket: int = -1,
        version: int | None = None,
    ) -> Ran:
        """Run one statement and commit it in the same round trip: this replica set alone.

        When the lead is lost on the way, the next one says what became of it. A statement that was
        committed then answers with the number of rows its record changed, without RETURNING rows.
        """
        deadline_s = boottime_s() + FAILOVER_WAIT_S + lock_wait_ms / 1000
        routes = self.routes
        if version is None:
            version = routes.places.version_of(rs)
        while True:
            txn = self.new_id()
            message = RunStatement(
                self.db, rs, schema, version, txn, 0, 1, True, steps, lock_wait_ms, bucket=bucket
            )
            answer = routes.call(rs, message, max(0.1, deadline_s - boottime_s()))
            try:
                ran: Ran = await asyncio.shield(answer)
                return ran
            except asyncio.CancelledError:
                known = await self.finish(self._given_up(rs, txn, answer))
                if known is None:
                    raise
                return known
            except (PeerLostError, DeadlineError, OutcomeUnknownError) as error:
                known = await self.finish(self.settle_autocommit(rs, txn))
                if known is not None:
                    return known
                if boottime_s() > deadline_s:
                    raise self._down(rs, error) from error
            except GridError as error:
                if not routes.may_repeat(error):
                    raise
                if boottime_s() > deadline_s:
                    raise self._down(rs, error) from error
                await routes.wait_for_change(0.02)

    async def _given_up(self, rs: int, txn: TxnId, answer: asyncio.Future[Any]) -> Ran | None:
        """The client cancelled: None if nothing was done, else what it has to be told."""
        self.routes.tell(rs, RollBack(self.db, rs, txn))  # ends its wait for a lock
        try:
            ran: Ran = await answer
            return ran
        except (PeerLostError, DeadlineError, OutcomeUnknownError):
            return await self.settle_autocommit(rs, txn)
        except GridError:
            return None

    async def settle_autocommit(self, rs: int, txn: TxnId) -> Ran | None:
        """What became of an autocommit statement whose answer was lost; None: it may run again."""
        outcome = await self.outcome(rs, txn)
        if outcome.changes < 0:
            raise OutcomeUnknownError(
                "the statement was committed; how many rows it changed is no longer known"
            )
        return Ran(0, (outcome.changes,), []) if outcome.state == "committed" else None

    def _down(self, rs: int, error: GridError) -> ReplicaSetDownError:
        return ReplicaSetDownError(
            f"replica set {rs} of {self.db} did not answer in time",
            detail=error.message,
            hint="Roll back and retry; look at ttGridAdmin dbStatus.",
        )

    async def undo(self, txn: Transaction, mark: dict[int, int]) -> None:
        """Back to a mark, everywhere. A participant that lost its workspace fails it."""
        calls = []
        for rs, enlisted in list(txn.participants.items()):
            number = mark.get(rs, 0)
            if enlisted.sent > number or rs not in mark:
                calls.append(self._undo_at(txn, rs, enlisted, number))
        await _all(calls)

    async def _undo_at(self, txn: Transaction, rs: int, enlisted: Enlisted, number: int) -> None:
        message = UndoStatement(self.db, rs, enlisted.term, txn.id, number)
        try:
            await self.routes.call_until(rs, message, boottime_s() + FAILOVER_WAIT_S)
        except GridError as error:
            txn.failed = error
            raise
        enlisted.statements = enlisted.sent = number
        if number == 0:
            txn.participants.pop(rs, None)

    async def roll_back(self, txn: Transaction) -> None:
        """End a transaction without a trace. Never fails: leads drop what they hold of it.

        Afterwards its locks are free, but where there is no lead, or a cut hides it: soon after.
        """
        self.open.pop(txn.id, None)
        deadline_s = boottime_s() + FAILOVER_WAIT_S
        messages = [RollBack(self.db, rs, txn.id) for rs in txn.participants]
        told = [self._spawn(self._drop(message, deadline_s)) for message in messages]
        txn.participants.clear()
        if told:
            await asyncio.wait(told, timeout=ROLL_BACK_WAIT_S)

    async def _drop(self, message: RollBack, deadline_s: float) -> None:
        """Tell the lead, and the next one: a hand-over takes the workspace along."""
        try:
            await self.routes.call_until(message.rs, message, deadline_s)
        except CutOffError:  # nobody waits for the next try
            self._spawn(self._drop_when_healed(message, deadline_s))
        except GridError as error:  # its lead will ask about it (AskOpen)
            log.info("txn.roll_back_not_heard", rs=message.rs, txn=message.txn, error=error.message)

    async def _drop_when_healed(self, message: RollBack, deadline_s: float) -> None:
        """The locks shall be free as soon as the links are back."""
        await self.routes.wait_for_change(CUT_OFF_PAUSE_S)
        await self._drop(message, deadline_s)

    # -- commit ------------------------------------------------------------------------------------
    async def commit(self, txn: Transaction, ddl: bytes = b"") -> None:
        """Commit. Raises a class-40 error if it was rolled back, OutcomeUnknownError if unknown."""
        if txn.failed is not None:
            await self.roll_back(txn)
            raise TransientError(
                "the transaction was rolled back", detail=txn.failed.message, hint="Run it again."
            )
        try:
            for rs, enlisted in list(txn.participants.items()):
                if enlisted.sent > enlisted.statements:
                    await self._undo_at(txn, rs, enlisted, enlisted.statements)
            members = _members(txn)
            if not ddl and self._is_usual(txn, members):
                committed = asyncio.get_running_loop().create_future()
                Committing(self, txn, partial(_settle, committed)).start(members)
                await committed
            elif len(members) == 1:
                await self.commit_single(txn, members[0], ddl)
            elif not ddl:
                # all its locks were held at one instant, if all are there when they are let go
                await _all([self.commit_single(txn, rs, b"") for rs in members])
            else:
                await self.commit_several(txn, members, ddl, boottime_s() + FAILOVER_WAIT_S)
        finally:
            self.open.pop(txn.id, None)

    def commit_soon(self, txn: Transaction, done: Done) -> None:
        """`commit` by callbacks: `done` is called once, with the error or None."""
        members = _members(txn)
        waited = all(e.sent == e.statements for e in txn.participants.values())
        if txn.failed is not None or not waited or not self._is_usual(txn, members):
            self.follow(self.commit(txn), done)
            return

        def ended(error: GridError | None) -> None:
            self.open.pop(txn.id, None)
            done(error)

        Committing(self, txn, ended).start(members)

    def _is_usual(self, txn: Transaction, members: tuple[int, ...]) -> bool:
        """Not one that only holds locks, at several replica sets."""
        return len(members) < 2 or any(txn.participants[rs].wrote for rs in members)

    def follow(self, work: Awaitable[None], done: Done) -> None:
        """Do something in the background and tell how it ended."""

        async def body() -> None:
            error: GridError | None = None
            try:
                await work
            except GridError as problem:
                error = problem
            except Exception as problem:
                log.exception("txn.commit_failed", db=self.db)
                error = InternalError(f"{type(problem).__name__}: {problem}")
            done(error)

        self._spawn(body())

    async def commit_single(
        self, txn: Transaction, rs: int, ddl: bytes, failed: GridError | None = None
    ) -> None:
        """Commit what is at one replica set. `failed`: how a first try, made elsewhere, ended."""
        enlisted = txn.participants[rs]
        message = CommitSingle(self.db, rs, enlisted.term, txn.id, enlisted.statements, ddl)
        if trace.steps.listener is not None:
            trace.step("data/txn/manager.py", message)
        deadline_s = boottime_s() + FAILOVER_WAIT_S
        while True:
            try:
                await self._call_again(rs, message, enlisted.commit_s, failed)
                return
            except (PeerLostError, DeadlineError, OutcomeUnknownError):
                outcome = await self.outcome(rs, txn.id, enlisted.commit_s)
                if outcome.state == "committed":
                    return
                raise TransientError(
                    "the transaction was rolled back: its lead was lost during commit",
                    hint="Run the transaction again.",
                ) from None
            except GridError as error:
                again = self.routes.may_repeat(error)
                if again and boottime_s() < deadline_s:  # a hand-over takes the workspace along
                    failed = None
                    await self.routes.wait_for_change(0.02)
                    continue
                await self.roll_back(txn)
                if again:
                    raise WorkspaceLostError(
                        "the transaction's changes are gone with the lead of their replica set",
                        detail=error.message,
                        hint="Run the transaction again.",
                    ) from error
                raise

    async def _call_again(
        self, rs: int, message: Any, timeout_s: float, failed: GridError | None
    ) -> None:
        if failed is not None:
            raise failed
        await self.routes.call(rs, message, timeout_s)

    async def outcome(self, rs: int, txn: TxnId, wait_s: float = DECISION_WAIT_S) -> Outcome:
        """Ask the newest lead what became of a transaction. Raises OutcomeUnknownError."""
        message = AskOutcome(self.db, rs, txn)
        if trace.steps.listener is not None:
            trace.step("data/txn/manager.py", message)
        deadline_s = boottime_s() + wait_s
        while True:
            try:
                outcome: Outcome = await self.routes.call_until(rs, message, deadline_s)
            except OutcomeUnknownError:  # the lead was lost while it wrote ABORT: ask the next one
                await self.routes.wait_for_change(0.02)
                if boottime_s() > deadline_s:
                    raise
            except ReplicaSetDownError as error:
                raise OutcomeUnknownError(
                    "the outcome of the commit is unknown: its replica set does not answer",
                    detail=error.detail,
                    hint="Look whether the change is there before running it again.",
                ) from error
            else:
                if outcome.state == "forgotten":
                    raise OutcomeUnknownError(
                        "the outcome of the commit is unknown: it would be too old for the log",
                        hint="Look whether the change is there before running it again.",
                    )
                return outcome

    async def commit_several(
        self, txn: Transaction, members: tuple[int, ...], ddl: bytes, deadline_s: float
    ) -> None:
        """Two-phase commit, with retries. members: the anchor first; deadline_s: of the votes."""
        anchor = members[0]
        votes = await asyncio.gather(
            *(
                self._prepare(txn, rs, members, ddl if txn.ddl_at in (0, rs) else b"", deadline_s)
                for rs in (members if ddl else members[1:])
            ),
            return_exceptions=True,
        )
        refusal = next((v for v in votes if isinstance(v, BaseException)), None)
        if refusal is not None:
            await self.refuse(txn, members, refusal)
        if ddl:
            decision = Decide(self.db, anchor, txn.id, True, members)
            await self._decide_at_anchor(decision, txn.participants[anchor].commit_s)
            await self._tell_others(txn, members)
        else:
            await self.commit_prepared(txn, members)

    async def refuse(
        self, txn: Transaction, members: tuple[int, ...], why: BaseException
    ) -> NoReturn:
        """A participant did not vote: everybody aborts. Raises what the client hears."""
        self._spawn(self._abort(txn.id, members))
        _raise_refusal(why)

    def anchor_of(self, members: tuple[int, ...]) -> int:
        """One that is led elsewhere: it gets one message, the others a PREPARE and a decision."""
        is_local = self.routes.is_local
        return next((rs for rs in members if not is_local(rs)), members[0])

    async def commit_prepared(
        self, txn: Transaction, members: tuple[int, ...], failed: GridError | None = None
    ) -> None:
        """All but the anchor are prepared: its COMMIT decides. `failed`: how a first try ended."""
        anchor = members[0]
        enlisted = txn.participants[anchor]
        message = CommitSingle(
            self.db, anchor, enlisted.term, txn.id, enlisted.statements, b"", members
        )
        deadline_s = boottime_s() + FAILOVER_WAIT_S
        while True:
            try:
                await self._call_again(anchor, message, enlisted.commit_s, failed)
                break
            except (PeerLostError, DeadlineError, OutcomeUnknownError, InternalError) as error:
                outcome = await self.outcome(anchor, txn.id, enlisted.commit_s)
                if outcome.state == "committed":
                    break
                self._spawn(self._abort(txn.id, members))
                raise TransientError(
                    "the transaction was rolled back: the lead of its anchor was lost",
                    detail=error.message,
                    hint="Run the transaction again.",
                ) from error
            except GridError as error:  # nothing was done
                if self.routes.may_repeat(error) and boottime_s() < deadline_s:
                    failed = None
                    await self.routes.wait_for_change(0.02)  # a hand-over takes the workspace along
                    continue
                self._spawn(self._abort(txn.id, members))
                _raise_refusal(error)
        await self._tell_others(txn, members)

    async def _tell_others(self, txn: Transaction, members: tuple[int, ...]) -> None:
        telling = (self.tell_decision(rs, txn.id, True, members) for rs in members[1:])
        await asyncio.gather(*telling)
        self.may_forget(members[0], txn.id)

    async def _prepare(
        self, txn: Transaction, rs: int, members: tuple[int, ...], ddl: bytes, deadline_s: float
    ) -> Voted:
        enlisted = txn.participants[rs]
        message = Prepare(self.db, rs, enlisted.term, txn.id, enlisted.statements, members, ddl)
        if trace.steps.listener is not None:
            trace.step("data/txn/manager.py", message)
        routes = self.routes
        while True:  # a lead that has it answers again; one that lacks the workspace refuses
            try:
                voted: Voted = await routes.call(rs, message, max(0.1, deadline_s - boottime_s()))
                return voted
            except GridError as error:
                lost = isinstance(error, (PeerLostError, DeadlineError, OutcomeUnknownError))
                if not (lost or routes.may_repeat(error)) or boottime_s() > deadline_s - 0.1:
                    raise
                await routes.wait_for_change(0.02)

    async def _decide_at_anchor(self, decision: Decide, wait_s: float) -> None:
        if trace.steps.listener is not None:
            trace.step("data/txn/manager.py", decision)
        deadline_s = boottime_s() + wait_s
        while True:
            try:
                await self.routes.call_until(decision.rs, decision, deadline_s)
                return
            except WorkspaceLostError as error:  # somebody resolved it to ABORT meanwhile
                self._spawn(self._abort(decision.txn, decision.participants))
                raise TransientError(
                    "the transaction was rolled back while its replica sets changed leads",
                    detail=error.message,
                    hint="Run the transaction again.",
                ) from error
            except ReplicaSetDownError as error:
                raise _anchor_silent(error) from error
            except GridError as error:  # lost while it was written, or no room to write it now
                if boottime_s() > deadline_s:
                    raise _anchor_silent(error) from error
                await self.routes.wait_for_change(0.02)

    async def tell_decision(
        self, rs: int, txn: TxnId, commit: bool, members: tuple[int, ...]
    ) -> None:
        """Tell a decision until it is acknowledged, however long a failover takes."""
        message = Decide(self.db, rs, txn, commit, members)
        while True:
            try:
                answer = await self.routes.call_until(rs, message, boottime_s() + DECISION_WAIT_S)
                assert isinstance(answer, Acknowledged)
                return
            except WorkspaceLostError as error:
                log.error("txn.decision_refused", rs=rs, txn=txn, commit=commit, why=error.message)
                return
            except GridError as error:  # it is decided: only time can help
                log.info("txn.decision_not_heard", rs=rs, txn=txn, error=error.message)
                await self.routes.wait_for_change(0.1)

    async def _abort(self, txn: TxnId, members: tuple[int, ...]) -> None:
        """Tell all; the leads forget it when no message of the transaction can arrive any more."""
        await asyncio.gather(*(self.tell_decision(rs, txn, False, members) for rs in members))

    def may_forget(self, anchor: int, txn: TxnId) -> None:
        """Every participant has the COMMIT."""
        self._forget.setdefault(anchor, []).append(txn)

    def forget_now(self) -> None:
        """Tell the leads which decisions nobody will ask for any more."""
        forget, self._forget = self._forget, {}
        for rs, txns in forget.items():
            self._spawn(self._tell_forgotten(rs, txns))

    async def _tell_forgotten(self, rs: int, txns: list[TxnId]) -> None:
        try:
            await self.routes.call(rs, Forget(self.db, rs, tuple(txns)), FAILOVER_WAIT_S)
        except GridError:  # the next time, then
            self._forget.setdefault(rs, []).extend(txns)

    async def finish(self, work: Awaitable[T]) -> T:
        """Await what must not be left half done, also when the caller's task is cancelled."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        while True:
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.cancelled():  # the database is being unloaded
                    raise

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def close(self) -> None:
        """Stop background work; what is undecided is resolved by the leads."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)


def _members(txn: Transaction) -> tuple[int, ...]:
    """The replica sets where it ran something, in order."""
    return tuple(sorted([rs for rs, e in txn.participants.items() if e.statements]))


def _settle(future: asyncio.Future[None], error: GridError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _anchor_silent(error: GridError) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        "the outcome of the commit is unknown: the anchor does not answer",
        detail=error.detail or error.message,
        hint="Look whether the change is there before running it again.",
    )


def _raise_refusal(refusal: BaseException) -> NoReturn:
    """What the client hears when a participant could not prepare, or the anchor not commit."""
    if isinstance(refusal, GridError) and refusal.sqlstate[:2] not in ("08", "57", "XX"):
        raise refusal
    raise TransientError(
        "the transaction was rolled back: a participant could not prepare",
        detail=refusal.message if isinstance(refusal, GridError) else str(refusal),
        hint="Run the transaction again.",
    ) from refusal


async def _all(calls: list[Coroutine[Any, Any, None]]) -> None:
    if len(calls) == 1:
        await calls[0]
    elif calls:
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
