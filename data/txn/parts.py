"""Large transactions at the lead: their row changes move to the log while they are still open.

What an open transaction changes is kept in its workspace. From `PART_CHANGES` changes on they are
written to the replicated log as PART entries: memory stays bounded, and no message is larger than
a piece. A PART has no effect; the COMMIT (or PREPARE) of the transaction names the PARTs that
count, and they are put into effect then, here and on every copy. PARTs of a transaction that ends
without one are released by its ABORT, which a new lead writes for all that it finds open.

Nothing here takes long at once: what may is done in slices, between which the event loop lives;
nothing else is written meanwhile.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

import msgspec
import structlog

from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.storage.entry import EntryKind, LogEntry, TxnPayload
from data.txn.batches import BatchQueue, Slices
from data.txn.ports import Nobody, Reply, workspace_lost
from data.txn.workspace import Part, Piece, Workspace
from protocol import trace
from protocol.errors import CorruptElementError, DiskFullError, GridError, WorkspaceLostError
from protocol.ids import TxnId
from protocol.limits import MIB

log = structlog.get_logger()

PART_CHANGES = 2000  # in memory, per transaction; more go to the log
PARTS_AT_ONCE = 8  # pieces in one batch, of so many bytes, or one of more
BATCH_BYTES_MAX = MIB
HELD_BYTES_MAX = MIB // 2  # of blocks that wait for more, per transaction; many are cheaper at once
ROOM_FACTOR = 4  # bytes on the disk per byte of changes, at most, when they are put into effect

_encode = msgspec.msgpack.Encoder().encode


class PartWriter(BatchQueue):
    """The mechanics of large workspaces, between BatchQueue and LeadWriter."""

    _workspaces: dict[TxnId, Workspace]

    # -- to the log --------------------------------------------------------------------------------
    def _shrink(self, workspace: Workspace) -> None:
        """Move the oldest changes to the log if there are many in memory."""
        if len(workspace.changes) >= PART_CHANGES:
            size = row_changes.PIECE
            workspace.line_up(len(workspace.changes) // size * size)
        elif 0 < workspace.held_bytes < HELD_BYTES_MAX:
            return
        self._shrink_queue(workspace)

    def _shrink_queue(self, workspace: Workspace) -> None:
        if workspace.queue and not workspace.shrinking:
            workspace.shrinking = True
            self._shrink_on(workspace)

    def _write_parts(self, workspace: Workspace) -> None:
        if trace.steps.listener is not None:
            trace.step("data/txn/parts.py")
        if self._workspaces.get(workspace.txn) is not workspace or workspace.prepared:
            return
        if not workspace.queue or workspace.failed is not None:
            self._now_small(workspace)  # or there is no room
            return
        try:
            self._open_batch()
        except GridError as error:
            workspace.failed = error
            self._now_small(workspace)
            return
        workspace.in_log = True
        size = 0
        for piece in list(itertools.islice(workspace.queue, PARTS_AT_ONCE)):
            try:
                payload = _encode(TxnPayload(piece.load()))
                entry = self._append_whole(EntryKind.PART, workspace.txn, payload, apply=False)
            except GridError as error:
                workspace.failed = error
                break
            part = Part(entry.lsn, piece.length)
            self._add(entry, partial(self._part_written, workspace, part))
            size += len(payload)
            if size >= BATCH_BYTES_MAX:
                break
        self._add(None, lambda error: self._shrink_on(workspace))

    def _part_written(self, workspace: Workspace, part: Part, error: GridError | None) -> None:
        if error is None:
            workspace.parts.append(part)
            workspace.queue.popleft()

    def _shrink_on(self, workspace: Workspace) -> None:
        self._submit(lambda: self._write_parts(workspace), Nobody())

    def _now_small(self, workspace: Workspace) -> None:
        workspace.shrinking = False
        waiting, workspace.when_small = workspace.when_small, []
        for work in waiting:
            work()

    def _wait_until_small(
        self, workspace: Workspace, work: Callable[[], None], reply: Reply
    ) -> bool:
        """True: `work` will be done when the changes have moved to the log."""
        if workspace.failed is not None:
            raise workspace.failed
        self._shrink_queue(workspace)  # from the lead before, or there was no room a while ago
        if not workspace.shrinking:
            return False
        workspace.when_small.append(lambda: self._submit(work, reply))
        return True

    def _announce(self, workspace: Workspace, ddl: bytes) -> None:
        """DDL in a large element: a PART, though empty, tells copies that its COMMIT takes long."""
        if ddl and not is_large(workspace) and not self._element.is_small:
            if workspace.changes:
                workspace.line_up(len(workspace.changes))
            else:
                workspace.queue.append(Piece(0, bytes))

    def _abort_parts(self, txn: TxnId) -> None:
        """Release the PARTs of a transaction that is not open here (any more)."""

        def work() -> None:
            if txn in self._workspaces or txn not in self._element.open_parts:
                return
            if self._element.outcome(txn) == "prepared":
                return
            self._open_batch()
            payload = _encode(TxnPayload())
            entry = self._append_whole(EntryKind.ABORT, txn, payload, apply=True)
            self._add(entry, lambda error: None)

        self._submit(work, Nobody())

    def changes_in(self, workspace: Workspace) -> Iterator[list[RowChange]]:
        """All row changes of a transaction here, some at a time."""
        for part in workspace.parts:
            yield self._element.changes_in_part(part.lsn)
        for piece in workspace.queue:
            yield row_changes.decode(piece.load())
        for at in range(0, len(workspace.changes), row_changes.PIECE):
            yield workspace.changes[at : at + row_changes.PIECE]

    # -- from the log ------------------------------------------------------------------------------
    def _is_in(self, workspace: Workspace) -> bool:
        """All its changes are in the SQLite transaction now."""
        return self._resident is workspace and workspace.complete and self._element.in_batch

    def _enter(self, workspace: Workspace) -> None:
        """Make it resident without its earlier changes. Only while no batch gathers.

        For statements that do not look at rows which the transaction has changed before.
        """
        if self._resident is workspace and self._element.in_batch:
            return
        if self._resident is not None:
            self._park()
        if not self._element.in_batch:
            self._element.begin()
        self._resident = workspace
        workspace.complete = False

    def _bring_in_slices(
        self, workspace: Workspace, then: Callable[[], None]
    ) -> Generator[None, None, None]:
        """`_bring_in` of a large workspace, and what is to be done then."""
        element = self._element
        if self._resident is not None:
            self._park()
        if not element.in_batch:
            element.begin()
        try:
            for part in workspace.parts:
                element.apply_part(part.lsn)
                yield
            for piece in workspace.queue:
                element.apply_encoded(piece.load)
                yield
            yield from element.change_slices(workspace.changes)
        except GeneratorExit:  # the term is over, and the SQLite transaction with it
            raise
        except CorruptElementError as error:
            element.rollback()
            self._lose(workspace)
            log.exception("lead.workspace_does_not_fit", db=self._db, rs=self.rs)
            raise workspace_lost(workspace.txn) from error
        except BaseException:
            element.rollback()
            raise
        self._resident = workspace
        workspace.complete = True
        then()

    def _commit_slices(
        self, workspace: Workspace, ddl: bytes, finish: Callable[[GridError | None], None]
    ) -> Slices:
        """The COMMIT of a large workspace that this replica set alone took part in."""
        payload = _encode(payload_of(workspace, ddl=ddl))
        if self._is_in(workspace) and not self._batch and not ddl and self._in_order:
            self._resident = None
            kind = EntryKind.COMMIT
            self._add(self._append_whole(kind, workspace.txn, payload, apply=False), finish)
            return
        self._open_batch()
        yield from self._effect_slices(
            workspace.txn, payload, lambda entry: self._add(entry, finish), ddl
        )

    def _effect_slices(
        self, txn: TxnId, payload: bytes, add: Callable[[LogEntry], None], ddl: bytes
    ) -> Slices:
        """A COMMIT with its effect, in slices; `add` puts it into the batch.

        The copies get it at once, so that they put it into effect at the same time; the batch is
        committed when it is done here too. DDL may fail, and is sent only when it is done here.
        """
        entry = LogEntry(self.term, self._next_lsn, int(EntryKind.COMMIT), txn, payload)
        size = ROOM_FACTOR * (len(payload) + self._element.effect_bytes(entry))
        if ddl or not self._element.has_room(size):
            yield from self._append_slices(entry)
            add(entry)
            return
        try:
            self._element.check_entry(entry)
        except CorruptElementError as error:
            if not self._batch:
                self._element.rollback()
            raise self._why_refused(txn, error) from error
        add(entry)
        yield from self._slices_of_sent(entry)

    def _slices_of_sent(self, entry: LogEntry) -> Slices:
        """Send the batch, whose newest entry has no effect here yet; then give it that."""
        generation = self._generation
        self._slices_reply = Nobody()  # from now on the end of the batch is the answer
        self._send_batch([e for e, _ in self._batch if e is not None], ahead=True)
        if generation != self._generation:
            return  # it could not be sent, and the term is over
        try:
            yield None  # it leaves first
            yield from self._element.apply_slices(entry)
        except Exception as error:  # the copies have it, and this element cannot
            self.no_room = self.no_room or isinstance(error, DiskFullError)
            self._flush_failed(error)
            return
        self._next_lsn += 1
        self._loop.call_soon(self._sent_applied, generation)

    def _sent_applied(self, generation: int) -> None:
        if generation == self._generation:
            assert self._replicator is not None
            self._replicator.applied()

    def _append_slices(self, entry: LogEntry) -> Slices:
        """`_append_whole` of a COMMIT with its effect, in slices."""
        guard = bool(self._batch)
        if guard:
            self._element.savepoint("entry")
        try:
            yield from self._element.apply_slices(entry, self._element.start_long)
        except GeneratorExit:  # the term is over, and the batch with it
            self._element.abandon_long()
            raise
        except CorruptElementError as error:
            self._undo_to("entry", guard)
            assert entry.txn is not None
            raise self._why_refused(entry.txn, error) from error
        except BaseException:
            self._undo_to("entry", guard)
            raise
        if guard:
            self._element.release("entry")
        self._next_lsn += 1

    def _why_refused(self, txn: TxnId, error: GridError) -> GridError:
        if self._element.outcome(txn) == "aborted":
            return WorkspaceLostError("the transaction was ended meanwhile")
        return error


def is_large(workspace: Workspace) -> bool:
    """Bringing it in takes more than a moment."""
    return bool(workspace.parts or workspace.queue)


def payload_of(workspace: Workspace, **fields: Any) -> TxnPayload:
    """What its COMMIT or PREPARE carries; `fields`: the rest of TxnPayload."""
    assert not workspace.queue, "changes that are not in the log would be lost"
    parts = tuple(part.lsn for part in workspace.parts)
    return TxnPayload(row_changes.encode(workspace.changes), parts=parts, **fields)
