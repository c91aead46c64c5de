"""Statements that wait for a lock at a lead: time limits, deadlocks, giving up.

A statement that meets a lock has been rolled back; when the lock is granted it runs again, on the
then committed data.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from data.txn.facts import DDL_RESOURCE
from data.txn.locks import Conflict, LockTable, Waiter, younger
from data.txn.ports import Reply
from protocol.clock import boottime_s
from protocol.errors import (
    DeadlockError,
    GridError,
    LockTimeoutError,
    SystemLockError,
    WorkspaceLostError,
)
from protocol.ids import TxnId
from protocol.messages.txn import WaitEdge


class _Wait:
    """One statement that waits."""

    __slots__ = ("give_up", "since_s", "waiter")

    def __init__(
        self, waiter: Waiter, since_s: float, give_up: Callable[[GridError], None]
    ) -> None:
        self.waiter = waiter
        self.since_s = since_s
        self.give_up = give_up


class LockWaits:
    """Who waits at this lead, by transaction (or autocommit statement)."""

    def __init__(self, locks: LockTable) -> None:
        self._locks = locks
        self._waits: dict[TxnId, _Wait] = {}
        self._woken: deque[Waiter] = deque()
        self._waking = False
        self.timeouts = self.deadlocks = self.granted = 0  # since the element was loaded
        self.on_wait: Callable[[], None] | None = None  # called whenever somebody begins to wait
        self._loop = asyncio.get_running_loop()

    def wait(
        self,
        txn: TxnId,
        conflict: Conflict,
        wait_ms: int,
        until_s: float,
        again: Callable[[float], None],
        reply: Reply,
        *,
        failed: Callable[[], None],
        autocommit: bool = False,
    ) -> None:
        """Call `again(until_s)` when it is worth another try, or fail the reply.

        `until_s`: end of all waiting of this statement (boottime), 0.0 when it waits for the first
        time. `failed` is called after the reply has failed.
        """
        if txn in self._waits:  # its statement was sent again after it was woken: that one waits
            reply.fail(WorkspaceLostError("the statement was sent again"))
            return
        now_s = boottime_s()
        until_s = until_s or now_s + wait_ms / 1000
        if until_s <= now_s:
            reply.fail(self._timed_out(wait_ms, Waiter(txn, conflict, _nothing)))
            failed()
            return

        def stop() -> None:
            self._waits.pop(txn, None)
            timer.cancel()

        def wake() -> None:
            self.granted += 1
            stop()
            again(until_s)

        waiter = Waiter(txn, conflict, wake, gives_way=autocommit)

        def give_up(error: GridError) -> None:
            stop()
            woken = self._locks.stop_waiting(waiter)
            reply.fail(error)
            failed()
            self.wake(woken)

        timer = self._loop.call_later(
            until_s - now_s, lambda: give_up(self._timed_out(wait_ms, waiter))
        )
        self._waits[txn] = _Wait(waiter, now_s, give_up)
        self._locks.wait(waiter)
        self._break_cycles(txn)
        if self.on_wait is not None and txn in self._waits:
            self.on_wait()

    def is_waiting(self, txn: TxnId) -> bool:
        """A statement of it waits for a lock."""
        return txn in self._waits

    def give_up(self, txn: TxnId, error: GridError) -> None:
        """End the wait of a transaction's statement, if it waits."""
        waiting = self._waits.get(txn)
        if waiting is not None and self._locks.waiter_of(txn) is waiting.waiter:
            waiting.give_up(error)

    def give_all_up(self, error: Callable[[], GridError]) -> None:
        """The term is over, the locks are forgotten."""
        self._woken.clear()
        for waiting in list(self._waits.values()):
            waiting.give_up(error())

    def wake(self, waiters: Iterable[Waiter]) -> None:
        """These hold what they waited for: they try again, one after the other."""
        self._woken.extend(waiters)
        if self._waking:
            return  # the one who wakes now goes on with them
        self._waking = True
        try:
            while self._woken:
                self._woken.popleft().wake()
        finally:
            self._waking = False

    # -- deadlocks ---------------------------------------------------------------------------------
    def waiting_since(self) -> list[tuple[Waiter, float]]:
        """Everybody who waits, and since when (boottime)."""
        return [(w.waiter, w.since_s) for w in self._waits.values()]

    def edges(self) -> tuple[WaitEdge, ...]:
        """Everybody who waits, and for whom."""
        return tuple(
            WaitEdge(w.number, w.txn, w.gives_way, tuple(self._locks.blockers(w)))
            for w in self._locks.waiters()
        )

    def break_wait(self, txn: TxnId, number: int) -> bool:
        """End a wait that is part of a cycle; False if that wait is over already."""
        waiter = self._locks.waiter_of(txn)
        if waiter is None or waiter.number != number:
            return False
        if waiter.gives_way:
            self.wake(self._locks.give_way(waiter))
        else:
            self.deadlocks += 1
            self.give_up(txn, _deadlock())
        return True

    def _break_cycles(self, txn: TxnId) -> None:
        while cycle := self._locks.cycle(txn):
            waiters = [w for w in map(self._locks.waiter_of, cycle) if w is not None]
            victim = max(waiters, key=lambda w: (w.gives_way, younger(w.txn)))
            self.break_wait(victim.txn, victim.number)

    def _timed_out(self, wait_ms: int, waiter: Waiter) -> LockTimeoutError:
        self.timeouts += 1
        if waiter.resource == DDL_RESOURCE:
            return SystemLockError(
                "the system tables are locked by another DDL statement",
                detail=f"Waited for {wait_ms / 1000:g} s.",
                hint="Retry, or raise LockWait.",
            )
        if wait_ms == 0:
            return LockTimeoutError("the row is locked by another transaction (NOWAIT)")
        blockers = self._locks.blockers(waiter)
        return LockTimeoutError(
            f"lock wait timed out after {wait_ms / 1000:g} s",
            detail=f"Held by transaction {'.'.join(map(str, min(blockers)))}." if blockers else "",
            hint="Retry, or raise LockWait.",
        )


def _deadlock() -> DeadlockError:
    return DeadlockError(
        "deadlock found; this transaction was chosen to end it",
        hint="Roll back and run the transaction again.",
    )


def _nothing() -> None:
    """A waiter that is never woken."""
