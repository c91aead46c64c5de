"""What a lead's SQLite transaction holds now: a batch that gathers or travels, or one transaction.

What commits gathers in a *batch*; at the end of the loop turn, or a few turns later (gathering.py),
the batch goes to the copies, and nothing else is written until they have it (stop and wait: see
docs/decisions/0002). The *resident* transaction is the one whose changes are in the SQLite
transaction right now, uncommitted; there is none while a batch gathers or travels.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

import structlog

from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, encode_epoch
from data.txn.epochs import EpochClock
from data.txn.gathering import Gathering
from data.txn.ports import Nobody, Replicator, Reply, workspace_lost
from data.txn.workspace import Workspace
from protocol import trace
from protocol.errors import (
    CorruptElementError,
    DiskFullError,
    GridError,
    InternalError,
    NotLeadError,
    OutcomeUnknownError,
    WorkspaceLostError,
)
from protocol.ids import TxnId

log = structlog.get_logger()

Work = Callable[[], None]
# long work in turns: it goes on at the next turn of the loop, or when the future is done
Slices = Generator["asyncio.Future[Any] | None", None, None]
Finish = Callable[[GridError | None], None]


class Failing:
    """The reply of work that ends by a callback."""

    def __init__(self, finish: Finish) -> None:
        self._finish = finish

    def reply(self, message: object) -> None:
        """Never: the batch ends it."""

    def fail(self, error: GridError) -> None:
        """It could not begin."""
        self._finish(error)


class BatchQueue:
    """The mechanics under LeadWriter: who writes when. Everything runs on the event loop."""

    def __init__(self, element: Element, db: str, rs: int) -> None:
        self._element = element
        self._db = db
        self.rs = rs
        self.epochs = EpochClock()  # of the database on this instance (data/instance.py sets it)
        self._epoch = 0  # the newest in the log, the batch that gathers included
        self.no_room = False  # on the file system: nothing is written (set by data/database.py)
        self._replicator: Replicator | None = None
        self.leading = False
        self.term = 0
        self._resident: Workspace | None = None
        self._queue: deque[tuple[Work, Reply]] = deque()  # what came while a batch was on its way
        self._between: deque[tuple[Work, Reply]] = deque()  # what runs only while no batch gathers
        self._batch: list[tuple[LogEntry | None, Finish]] = []
        self._unlocked: list[RowChange] = []  # of statements in `_batch` that hold no locks
        self._next_lsn = 0
        self._in_flight = False
        self._draining = False  # what waited for a batch is being worked off: newcomers queue up
        self._finishing = False  # a batch is committed, its ends have not all been heard
        self._slices: Slices | None = None  # long work, in turns
        self._slices_reply: Reply = Nobody()  # who waits for it
        self._in_slice = False  # a turn of it runs now
        self._flush_scheduled = False
        self._gathering = Gathering()
        self._generation = 0  # grows when leadership ends: late callbacks are recognised by it
        self._loop = asyncio.get_running_loop()

    def attach(self, replicator: Replicator) -> None:
        """Name the replication that carries batches; before the first request."""
        self._replicator = replicator

    # -- role --------------------------------------------------------------------------------------
    def _start_term(self, term: int) -> None:
        self.term = term
        self._next_lsn = self._element.tail.lsn + 1
        self._epoch = self._element.newest_epoch()[0]
        self.epochs.saw(self._epoch)

    def _end_term(self, error: GridError | None = None) -> None:
        """Roll the SQLite transaction back, tell everybody who waits. `error`: for the batch."""
        self.leading = False
        self._generation += 1
        slices, self._slices = self._slices, None
        if slices is not None and not self._in_slice:
            slices.close()
        if self._element.in_batch:
            self._element.rollback()
        if error is None and self._in_flight:
            error = OutcomeUnknownError("the lead lost its term while the record was on its way")
        batch, self._batch = self._batch, []
        queue = [*self._between, *self._queue]
        self._between.clear()
        self._queue.clear()
        self._resident = None
        self._unlocked = []
        self._in_flight = False
        if slices is not None:
            queue.append((lambda: None, self._slices_reply))  # nothing of it was sent
        for _, finish in batch:  # what was never sent may be sent again, to the next lead
            self._finish(finish, error or self._not_lead())
        for _, reply in queue:
            reply.fail(self._not_lead())

    def lost_lead(self) -> None:
        """Stop at once: nothing of this term may be answered any more."""
        raise NotImplementedError

    def _not_lead(self) -> NotLeadError:
        return NotLeadError(
            f"this element does not lead replica set {self.rs} of {self._db}",
            hint="Retry: the coordinator asks the present lead.",
        )

    def _check_lease(self) -> None:
        """After a read, before its answer. Raises NotLeadError."""
        assert self._replicator is not None
        if not self._replicator.lead_ok():
            raise self._not_lead()

    # -- whose turn it is --------------------------------------------------------------------------
    def _submit(self, work: Work, reply: Reply) -> None:
        if not self.leading:
            reply.fail(self._not_lead())
        elif self._in_flight or self._draining or self._slices is not None:
            self._queue.append((work, reply))
        else:
            self._guarded(work, reply)

    def _submit_between(self, work: Work, reply: Reply) -> None:
        """For work that needs the last committed state: it goes before what adds to a batch.

        All work on an open workspace comes this way: so it keeps its order.
        """
        if not self.leading:
            reply.fail(self._not_lead())
        elif self._in_flight or self._draining or self._between or self._slices is not None:
            self._between.append((work, reply))
        elif self._batch:
            self._between.append((work, reply))
            self._schedule_flush()
        else:
            self._guarded(work, reply)

    def _in_slices(self, slices: Slices, reply: Reply) -> None:
        """Work of many milliseconds: nothing else is written here until its last slice.

        What it raises fails the reply; it undoes itself then.
        """
        self._slices = slices
        self._slices_reply = reply
        self._slice(slices, reply)

    def _slice(self, slices: Slices, reply: Reply) -> None:
        if self._slices is not slices:
            return  # the term is over
        future: asyncio.Future[Any] | None = None
        self._in_slice = True
        try:
            future = next(slices)
        except StopIteration:
            pass
        except GridError as error:
            reply.fail(error)
        except Exception as error:
            log.exception("lead.work_failed", db=self._db, rs=self.rs)
            reply.fail(InternalError(f"{type(error).__name__}: {error}"))
        else:
            if future is None:
                self._loop.call_soon(self._slice, slices, reply)
            else:
                future.add_done_callback(lambda _: self._slice(slices, reply))
            return
        finally:
            self._in_slice = False
        if self._slices is not slices:
            return
        self._slices = None
        if self._batch and not self._element.in_batch:
            self._batch_lost()
        if not self._draining:
            self._work_off()
        if self._batch:
            self._schedule_flush()

    def _after_batch(self, work: Work, reply: Reply) -> None:
        """Run when the batch that gathers now is committed (or at once, if there is none)."""
        self._between.append((work, reply))
        self._schedule_flush()

    def _guarded(self, work: Work, reply: Reply) -> None:
        try:
            work()
        except GridError as error:
            reply.fail(error)
        except Exception as error:
            log.exception("lead.work_failed", db=self._db, rs=self.rs)
            reply.fail(InternalError(f"{type(error).__name__}: {error}"))
        if self._batch and not self._element.in_batch:
            self._batch_lost()

    def _batch_lost(self) -> None:
        """SQLite dropped the batch and it could not be made again: nothing of it was sent."""
        if all(entry is None for entry, _ in self._batch):
            return  # only reads
        log.error("lead.batch_lost", db=self._db, rs=self.rs)
        batch, self._batch = self._batch, []
        self._next_lsn = self._element.tail.lsn + 1
        for _, finish in batch:
            self._finish(finish, self._not_lead())

    def _finish(self, finish: Finish, error: GridError | None) -> None:
        """One end must not keep the others of its batch from theirs."""
        try:
            finish(error)
        except Exception:
            log.exception("lead.finish_failed", db=self._db, rs=self.rs)

    # -- the SQLite transaction --------------------------------------------------------------------
    def _open_batch(self) -> None:
        """Make the SQLite transaction one that holds only the batch; an epoch that is due first."""
        if self.no_room:
            raise self.disk_full()
        if self._resident is not None:
            self._park()
        if not self._element.in_batch:
            self._element.begin()
        if self.epochs.seen > self._epoch:
            self._write_epoch()

    @property
    def _in_order(self) -> bool:
        """The next entry may be logged: there is room, and no epoch that has to come before it."""
        return self.epochs.seen <= self._epoch and not self.no_room

    def disk_full(self) -> DiskFullError:
        """Why nothing is written now."""
        return DiskFullError(
            f"the file system of the lead of replica set {self.rs} of {self._db} is full",
            detail=f"Element {self._element.identity.element} on "
            f"{self._element.identity.instance}.",
            hint="Make room there; nothing else has to be done.",
        )

    def _write_epoch(self) -> None:
        number, before = self.epochs.seen, self._epoch
        entry = self._append_whole(EntryKind.EPOCH, None, encode_epoch(number), apply=True)
        self._epoch = number

        def finish(error: GridError | None) -> None:
            if error is not None and self._epoch == number:
                self._epoch = before

        self._add(entry, finish)

    def log_epoch(self, finish: Finish) -> None:
        """Have every epoch that was heard of in the log; `finish` when that is committed."""

        def work() -> None:
            self._open_batch()
            self._add(None, finish)

        self._submit(work, Failing(finish))

    def _park(self) -> None:
        """Take the resident transaction's changes out again; its workspace keeps them."""
        self._resident = None
        self._element.rollback()

    def _bring_in(self, workspace: Workspace) -> None:
        """Put a transaction's changes into the SQLite transaction. Only while no batch gathers."""
        if self._resident is workspace and workspace.complete and self._element.in_batch:
            return
        if self._resident is not None:
            self._park()
        if not self._element.in_batch:
            self._element.begin()
        try:
            if workspace.changes:
                self._element.apply_changes(workspace.changes)
        except CorruptElementError as error:  # its locks should have prevented that
            self._element.rollback()
            self._lose(workspace)
            log.exception("lead.workspace_does_not_fit", db=self._db, rs=self.rs)
            raise workspace_lost(workspace.txn) from error
        except BaseException:
            self._element.rollback()
            raise
        self._resident = workspace
        workspace.complete = True

    def _lose(self, workspace: Workspace) -> None:
        """Drop a workspace that cannot be used any more."""
        raise NotImplementedError

    def _undo_to(self, savepoint: str, guard: bool) -> None:
        """Undo what was done since the savepoint (all, without `guard`) in the open batch."""
        element = self._element
        if not element.in_batch:
            self._resident = None  # SQLite dropped it and it could not be made again
        elif guard:
            element.rollback_to(savepoint)
            element.release(savepoint)
        else:
            element.rollback()

    def _append(
        self,
        kind: EntryKind,
        txn: TxnId | None,
        payload: bytes,
        *,
        apply: bool = False,
        participants: tuple[int, ...] = (),
    ) -> LogEntry:
        """Log an entry, with its effect if `apply`; the caller undoes both if this fails.

        `participants`: see `BatchWriter.append`.
        """
        entry = LogEntry(self.term, self._next_lsn, int(kind), txn, payload)
        try:
            if apply:
                self._element.apply_entry(entry)
            else:
                self._element.append(entry, participants)
        except CorruptElementError as error:
            if txn is not None and self._element.outcome(txn) == "aborted":
                raise WorkspaceLostError("the transaction was ended meanwhile") from error
            raise
        self._next_lsn += 1
        return entry

    def _append_whole(
        self,
        kind: EntryKind,
        txn: TxnId | None,
        payload: bytes,
        *,
        apply: bool,
        participants: tuple[int, ...] = (),
    ) -> LogEntry:
        """Log an entry, with its effect if `apply`; if that fails nothing of it stays."""
        guard = bool(self._batch)
        if guard:
            self._element.savepoint("entry")
        try:
            entry = self._append(kind, txn, payload, apply=apply, participants=participants)
        except BaseException:
            self._undo_to("entry", guard)
            raise
        if guard:
            self._element.release("entry")
        return entry

    # -- batches -----------------------------------------------------------------------------------
    def _add(self, entry: LogEntry | None, finish: Finish) -> None:
        self._batch.append((entry, finish))
        self._schedule_flush()

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._in_flight or self._slices is not None or not self.leading:
            return
        if not self._between and self._gathering.must_wait(len(self._batch)):
            self._schedule_flush()
            return
        entries = [entry for entry, _ in self._batch if entry is not None]
        assert self._replicator is not None
        if not entries:  # statements that changed nothing: reads, so the lease must hold
            self._finish_batch(None if self._replicator.lead_ok() else self._not_lead())
            return
        self._send_batch(entries)

    def _send_batch(self, entries: list[LogEntry], *, ahead: bool = False) -> None:
        """`ahead`: the newest is still to be applied here; `Replicator.applied` follows."""
        assert self._replicator is not None
        self._in_flight = True
        generation = self._generation

        def done(error: GridError | None) -> None:
            if generation == self._generation:
                self._batch_done(error)

        try:
            effect_bytes = self._element.effect_bytes
            self._replicator.replicate(entries, done, sum(map(effect_bytes, entries)), ahead)
        except Exception as error:  # some copies may have it: nobody knows
            self._flush_failed(error)

    def _flush_failed(self, error: Exception) -> None:
        """A fault of ours while a batch was sent ends the term; the set elects a lead again."""
        log.exception("lead.flush_failed", db=self._db, rs=self.rs)
        self._end_term(OutcomeUnknownError(f"the lead failed: {type(error).__name__}: {error}"))
        self.lost_lead()
        assert self._replicator is not None
        self._replicator.end_term()

    def _batch_done(self, error: GridError | None) -> None:
        if trace.steps.listener is not None:
            trace.step("data/txn/batches.py")
        if error is None:
            try:
                self._element.commit()
            except GridError as problem:  # the copies have it, we do not: the term is over
                log.error("lead.commit_failed", db=self._db, rs=self.rs, error=problem.message)
                self.no_room = isinstance(problem, DiskFullError)
                error = OutcomeUnknownError(problem.message)
        if error is not None:  # whatever else waits here is of a term that is over
            self._end_term(error)
            self.lost_lead()
            return
        self._in_flight = False
        self._finish_batch(None)

    def _finish_batch(self, error: GridError | None) -> None:
        batch, self._batch = self._batch, []
        if self._unlocked:
            self._unlocked = []
        self._gathering.batch_ended(len(batch), len(self._queue))
        if self._element.in_batch and self._resident is None:
            self._element.rollback()  # nothing was written, or everything is committed
        self._work_off([finish for _, finish in batch], error)

    def _work_off(self, ends: Sequence[Finish] = (), error: GridError | None = None) -> None:
        """The ends of a batch, then what waited."""
        self._draining = True
        try:
            self._finishing = True
            for finish in ends:
                self._finish(finish, error)
            self._finishing = False
            while self.leading and not self._in_flight and self._slices is None:
                if self._between and not self._batch:
                    self._guarded(*self._between.popleft())
                elif self._queue:
                    self._guarded(*self._queue.popleft())
                else:
                    break
        finally:
            self._draining = self._finishing = False
        if self._between:
            self._schedule_flush()
