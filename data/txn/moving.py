"""The lead's part in moving buckets: the gate, the ownership, indexes for the time of a move."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data.storage.changes import RowChange
from data.storage.element import Element
from data.txn.batches import Slices
from data.txn.facts import FactsCache
from data.txn.gate import Gate
from data.txn.later import LaterCommits
from data.txn.locks import Lock, LockTable, Mode
from data.txn.move_steps import tables_with_buckets
from data.txn.ownership import OWN_TABLE, VERSION_LOCK, Ownership
from data.txn.parts import is_large
from data.txn.ports import Reply
from data.txn.workspace import Workspace
from protocol.ids import TxnId
from protocol.messages.txn import Acknowledged

OwnRows = Sequence[tuple[int, int]]  # rows of the table of owners


class MovingLead(LaterCommits):
    """The part of LeadWriter that knows which buckets are its own."""

    locks: LockTable
    _running: TxnId

    def __init__(self, element: Element, db: str, rs: int) -> None:
        super().__init__(element, db, rs)
        self.gate = Gate()
        self.ownership = Ownership()

    def load_ownership(self) -> None:
        """Take what is committed."""
        rows = self._element.read(f"SELECT bucket, owner FROM {OWN_TABLE}")
        self.ownership.load(((int(b or 0), int(o or 0)) for b, o in rows), self.rs)

    # -- the gate ----------------------------------------------------------------------------------
    def close_gate(self, buckets: Sequence[int]) -> None:
        """The running transaction wants these buckets alone: who is in them is noted."""
        self.gate.close(buckets, self._running)
        facts = FactsCache(self._element.catalog)
        for workspace in self._workspaces.values():
            if workspace.txn != self._running:
                self.locks.take_some(workspace.txn, self._in_gate(workspace, facts))

    def _in_gate(self, workspace: Workspace, facts: FactsCache) -> list[Lock]:
        if is_large(workspace) or self._has_found(workspace.txn):
            return self.gate.all()
        changes: list[RowChange] = workspace.changes
        held = self.locks.held_by(workspace.txn)
        return self.gate.of_changes(changes, facts) + self.gate.of_locks(held, facts)

    def _has_found(self, txn: TxnId) -> bool:
        """Its statement knows which rows it will change, and has not changed them all yet."""
        return False

    # -- the decision ------------------------------------------------------------------------------
    def _change_of_ownership(self, workspace: Workspace) -> OwnRows | None:
        """The decision on this transaction is being written: what it changes in the ownership.

        None: nothing. Empty: something, and it is not in memory.
        """
        if self.locks.mode_of(workspace.txn, VERSION_LOCK) is not Mode.EXCLUSIVE:
            return None
        buckets = self.gate.of(workspace.txn)
        self.ownership.changing(buckets)
        if is_large(workspace):
            return ()
        rows = [c.new for c in workspace.changes if c.table == OWN_TABLE and c.new is not None]
        changed = [(int(bucket or 0), int(owner or 0)) for bucket, owner in rows]
        return changed if {bucket for bucket, _ in changed}.issuperset(buckets) else ()

    def changed_ownership(self, rows: OwnRows) -> None:
        """Take what such a transaction has changed, or everything that is committed now."""
        if rows:
            self.ownership.apply(rows, self.rs)
        else:
            self.load_ownership()

    # -- indexes -----------------------------------------------------------------------------------
    def index_buckets(self, reply: Reply) -> None:
        """Make the rows of a bucket easy to find here, as long as buckets are moved."""
        names = tables_with_buckets(FactsCache(self._element.catalog))
        self._on_files(lambda: self._element.add_bucket_indexes(names), reply)

    def drop_bucket_indexes(self, reply: Reply) -> None:
        """No bucket is moved any more."""
        self._on_files(self._element.drop_bucket_indexes, reply)

    def _on_files(self, work: Callable[[], None], reply: Reply) -> None:
        def begin() -> None:
            if self._batch:
                self._after_batch(begin, reply)
                return
            if self._resident is not None:
                self._park()
            self._in_slices(self._file_slices(work, reply), reply)

        self._submit_between(begin, reply)

    def _file_slices(self, work: Callable[[], None], reply: Reply) -> Slices:
        element = self._element
        if element.in_batch:
            element.rollback()
        element.begin()
        try:
            future = element.start_long(work)
            try:
                yield future
            except GeneratorExit:
                element.abandon_long()
                raise
            future.result()
            element.commit()
        except GeneratorExit:
            raise
        except BaseException:
            element.rollback()
            raise
        reply.reply(Acknowledged(self.term))
