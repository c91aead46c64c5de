"""Which buckets the newest entries of the log changed: for reads at a copy beyond the commit point.

Kept per bucket as the newest LSN that changed a row of it, so that nothing has to be removed when
the commit point goes on. What is not known (DDL, rows in no bucket, large transactions, entries
taken back, what was there before the element was opened) counts as a change of all buckets.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from data.storage.changes import RowChange
from data.storage.tables import Tables

FEW = 32  # more row changes than this count as a change of all buckets
_VERSIONS = itertools.count(1)


class Touched:
    """Of one element's log."""

    __slots__ = ("_all_lsn", "_buckets", "version")

    def __init__(self, lsn: int) -> None:
        """Entries up to this LSN are not known."""
        self._buckets: dict[object, int] = {}
        self._all_lsn = lsn
        self.version = next(_VERSIONS)  # another one after each change of what is in no bucket

    def everything(self, lsn: int) -> None:
        """The entry at this LSN changed what is in no bucket, or nobody knows what."""
        self._all_lsn = max(self._all_lsn, lsn)
        self.version = next(_VERSIONS)

    def rows(self, tables: Tables, changes: Sequence[RowChange], lsn: int) -> None:
        """The entry at this LSN made these changes. Before anybody may see them."""
        if len(changes) > FEW:
            self.everything(lsn)
            return
        buckets = self._buckets
        for table, old, new in changes:
            at = tables[table].bucket
            if at < 0:
                self.everything(lsn)
                return
            if new is not None:
                buckets[new[at]] = lsn
            if old is not None:
                buckets[old[at]] = lsn

    def bucket(self, number: int, lsn: int) -> None:
        """The entry at this LSN changed something of this bucket."""
        self._buckets[number] = lsn

    def is_quiet(self, bucket: int, lsn: int) -> bool:
        """No entry beyond this LSN changed anything of the bucket."""
        return self._all_lsn <= lsn and self._buckets.get(bucket, 0) <= lsn
