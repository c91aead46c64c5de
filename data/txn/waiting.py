"""Statements that wait for a lock at a lead: time limits, deadlocks, giving up.

A statement that meets a lock has been rolled back; when the lock is released it runs again, on the
then committed data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from data.txn.locks import LockTable, Resource, Waiter
from data.txn.ports import Reply
from protocol.clock import boottime_s
from protocol.errors import DeadlockError, GridError, LockTimeoutError
from protocol.ids import TxnId


class LockWaits:
    """Who waits, by transaction; `started_s` tells the age of a transaction, 0.0: unknown."""

    def __init__(self, locks: LockTable, started_s: Callable[[TxnId], float]) -> None:
        self._locks = locks
        self._started_s = started_s
        self._given_up: dict[TxnId, Callable[[GridError], None]] = {}
        self._loop = asyncio.get_running_loop()

    def wait(
        self,
        name: TxnId,
        txn: TxnId | None,
        conflict: tuple[Resource, set[TxnId]],
        wait_ms: int,
        until_s: float,
        again: Callable[[float], None],
        reply: Reply,
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Call `again(until_s)` when it is worth another try, or fail the reply.

        `txn` is None for an autocommit statement: nobody can wait for it. `until_s`: end of all
        waiting of this statement (boottime), 0.0 when it waits for the first time. `failed` is
        called after the reply has failed.
        """
        resource, blockers = conflict
        now_s = boottime_s()
        until_s = until_s or now_s + wait_ms / 1000
        if until_s <= now_s:
            reply.fail(_timed_out(wait_ms, blockers))
            if failed is not None:
                failed()
            return
        timer: asyncio.TimerHandle | None = None
        over = False  # a waiter that is about to be woken may be given up before its turn

        def stop() -> None:
            nonlocal over
            over = True
            self._given_up.pop(name, None)
            if timer is not None:
                timer.cancel()

        def wake() -> None:
            if not over:
                stop()
                again(until_s)

        waiter = Waiter(txn, resource, blockers, wake)

        def give_up(error: GridError) -> None:
            stop()
            self._locks.stop_waiting(waiter)
            reply.fail(error)
            if failed is not None:
                failed()

        self._given_up[name] = give_up
        self._locks.wait(waiter)
        timer = self._loop.call_later(
            until_s - now_s, lambda: give_up(_timed_out(wait_ms, blockers))
        )
        if txn is not None:
            self._break_cycle(txn)

    def give_up(self, txn: TxnId, error: GridError) -> None:
        """End the wait of a transaction's statement, if it waits."""
        waiting = self._given_up.get(txn)
        if waiting is not None:
            waiting(error)

    def give_all_up(self, error: Callable[[], GridError]) -> None:
        """The term is over."""
        for waiting in list(self._given_up.values()):
            waiting(error())

    def wake(self, waiters: Iterable[Waiter]) -> None:
        """These may try again."""
        for waiter in waiters:
            waiter.wake()

    def _break_cycle(self, txn: TxnId) -> None:
        cycle = self._locks.cycle(txn)
        if cycle:
            self.give_up(
                max(cycle, key=self._started_s),
                DeadlockError(
                    "deadlock found; this transaction was chosen to end it",
                    hint="Roll back and run the transaction again.",
                ),
            )


def _timed_out(wait_ms: int, blockers: set[TxnId]) -> LockTimeoutError:
    if wait_ms == 0:
        return LockTimeoutError("the row is locked by another transaction (NOWAIT)")
    return LockTimeoutError(
        f"lock wait timed out after {wait_ms / 1000:g} s",
        detail=f"Held by transaction {'.'.join(map(str, min(blockers)))}.",
        hint="Retry, or raise LockWait.",
    )
