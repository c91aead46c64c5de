"""Statements that may change very many rows: on the writer's thread, their locks in slices.

While such a statement runs nothing else is written at the element, but the event loop lives:
reads go on, beacons are answered. Its row changes go to a file (data/storage/spool.py), and from
there to the log (data/txn/parts.py); only their locks stay in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, TypeVar

from data.storage.held import HeldSnapshot
from data.txn.batches import Slices
from data.txn.locks import Conflict, LockTable, Mode, Resource
from data.txn.move_steps import StepsResult
from data.txn.moving import MovingLead
from data.txn.ports import Reply
from data.txn.steps import StepRunner
from data.txn.waiting import LockWaits
from data.txn.workspace import Piece, Workspace
from protocol.ids import TxnId
from protocol.messages.sql import RunStatement

T = TypeVar("T")


class LongStatements(MovingLead):
    """Between MovingLead and SlicedStatements."""

    locks: LockTable
    waits: LockWaits

    def _run_long(
        self,
        runner: StepRunner,
        message: RunStatement,
        workspace: Workspace,
        reply: Reply,
        until_s: float,
    ) -> Slices:
        """A statement of the resident transaction; the SQLite transaction holds all it changed."""
        held = self._snapshot_of(message.snapshot, workspace)
        if held is None:
            yield from self._run_long_on(runner, message, workspace, reply, until_s)
            return
        turn = self._loop.create_task(held.take_turn())
        try:
            yield turn
            runner.snapshot = held
            yield from self._run_long_on(runner, message, workspace, reply, until_s)
        finally:
            turn.cancel()  # if the term has ended before it came
            if turn.done() and not turn.cancelled():
                held.end_turn()

    def _run_long_on(
        self,
        runner: StepRunner,
        message: RunStatement,
        workspace: Workspace,
        reply: Reply,
        until_s: float,
    ) -> Slices:
        element = self._element
        txn = message.txn
        element.savepoint("statement")
        try:
            result = yield from self._on_thread(lambda: runner.run_long(message.steps))
            touched = runner.touched(message.steps, result)
            if touched is not None:
                for changes in result.pieces():
                    yield from self._on_thread(partial(touched.look, changes))
                yield from self._on_thread(touched.end)
            conflict = yield from self._first_conflict(runner, txn, result)
            self._check_lease()
        except GeneratorExit:
            raise
        except BaseException:
            self._undo_to("statement", True)
            self._statement_failed(txn)
            raise
        if conflict is not None:
            self._undo_to("statement", True)
            self._wait_in_txn(message, reply, until_s, conflict)
            return
        for changes in result.pieces():
            self.locks.take_some(txn, runner.row_locks(changes))
            yield None
        element.release("statement")
        spool = result.spool
        before = workspace.rows
        if spool is not None:
            workspace.add_pieces(
                Piece(spool.length(n), partial(spool.piece, n)) for n in range(len(spool))
            )
        self._keep(workspace, result, result.locks, before)
        self._answer(message, workspace, result, reply)

    def _on_thread(self, work: Callable[[], T]) -> Generator[asyncio.Future[Any] | None, None, T]:
        future = self._element.start_long(work)
        try:
            yield future
        except GeneratorExit:  # the term is over
            self._element.abandon_long()
            raise
        return future.result()

    def _first_conflict(
        self, runner: StepRunner, txn: TxnId, result: StepsResult
    ) -> Generator[asyncio.Future[Any] | None, None, Conflict | None]:
        for changes in result.pieces():
            conflict = self.locks.first_conflict(txn, runner.row_locks(changes))
            if conflict is not None:
                return conflict
            yield None
        return self.locks.first_conflict(txn, result.locks)

    def _locks_again(self, large: list[Workspace], generation: int) -> Iterator[None]:
        """The locks of large transactions from their row changes, then serve."""
        runner = self._runner(self._element.schema_version)
        for workspace in large:
            for changes in self.changes_in(workspace):
                self.locks.take_some(workspace.txn, runner.row_locks(changes))
                yield
                if generation != self._generation:
                    return  # the term is over
        self._serve()

    def _rebuild(self, slices: Iterator[None]) -> None:
        try:
            ended = next(slices, self) is self
        except Exception as error:  # another lead may do better
            self._flush_failed(error)
            return
        if not ended:
            self._loop.call_soon(self._rebuild, slices)

    # what LeadWriter does
    def _snapshot_of(self, number: int, workspace: Workspace) -> HeldSnapshot | None:
        raise NotImplementedError

    def _runner(self, schema: int) -> StepRunner:
        raise NotImplementedError

    def _serve(self) -> None:
        raise NotImplementedError

    def _keep(
        self,
        workspace: Workspace,
        result: StepsResult,
        wanted: list[tuple[Resource, Mode]],
        before: int = -1,
    ) -> None:
        raise NotImplementedError

    def _answer(
        self, message: RunStatement, workspace: Workspace, result: StepsResult, reply: Reply
    ) -> None:
        raise NotImplementedError

    def _statement_failed(self, txn: TxnId) -> None:
        raise NotImplementedError

    def _wait_in_txn(
        self, message: RunStatement, reply: Reply, until_s: float, conflict: Conflict
    ) -> None:
        raise NotImplementedError
