"""Plain reads by key at a copy that has its lead's leave: no message to the lead.

Whether the copy may answer is replication's word (data/replication/reading.py): no entry beyond
the lead's commit point changes the bucket. What it owns it reads off the table `_own`, which agrees
with the rows.
Whatever is not as usual goes to the lead: None.
"""

from __future__ import annotations

from typing import Final, Protocol

from data.storage.element import Element
from data.txn.ownership import OWN_TABLE, VERSION_ROW, Ownership
from protocol import trace
from protocol.errors import GridError
from protocol.sqltypes import StorageRow, StorageValue

_VERSION: Final = f"SELECT owner FROM {OWN_TABLE} WHERE bucket = {VERSION_ROW}"
_TABLE: Final = f"SELECT bucket, owner FROM {OWN_TABLE}"


class Leave(Protocol):
    """What a read asks of replication (data/replication/member.py)."""

    def copy_ok(self, bucket: int) -> bool:
        """True while this element may answer reads of a bucket as a copy, at this instant."""
        ...


class CopyReads:
    """Of one element, while it is a copy."""

    def __init__(self, element: Element, leave: Leave) -> None:
        self.rs = 0  # of the element; 0: no reads here (data/database.py, ReadAtCopies)
        self.answered = 0  # reads
        self._element = element
        self._leave = leave
        self._ownership = Ownership()
        self._own_at = 0  # version of what is in no bucket when `_ownership` was compared
        self._own_term = -1  # ... and the term in which the log ended

    def read(
        self, sql: str, params: tuple[StorageValue, ...], schema: int, version: int, bucket: int
    ) -> list[StorageRow] | None:
        """The rows, or None: the lead has to answer."""
        element = self._element
        if (
            not self._leave.copy_ok(bucket)
            or schema != element.schema_version
            or element.later is not None  # a COMMIT that is decided is not all in the tables yet
        ):
            return None
        try:
            if element.touched.version != self._own_at:
                self._compare()
            if version != self._ownership.version:
                self._ownership.check(version, bucket)
            rows = element.read_short(sql, params)
        except GridError:
            return None
        if rows is None or not self._leave.copy_ok(bucket):  # the clock is read after the rows
            return None
        self.answered += 1
        return rows

    def _compare(self) -> None:
        """What is in no bucket has changed: load the ownership again if it has another version.

        A version is used again after entries were taken back; that takes a new term.
        """
        if trace.steps.listener is not None:
            trace.step("data/exec/copy_reads.py")
        element = self._element
        at, term = element.touched.version, element.committed_tail.term
        found = element.read(_VERSION)
        version = int(found[0][0] or 0) if found else 0
        if version != self._ownership.version or term != self._own_term:
            rows = element.read(_TABLE)
            self._ownership.load(((int(b or 0), int(o or 0)) for b, o in rows), self.rs)
        self._own_at, self._own_term = at, term
