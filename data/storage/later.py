"""COMMITs that take effect later: bit by bit, in SQLite transactions between those of others.

A large COMMIT is in the log, on all copies, before anything of it is in the tables. Each element
puts its units (the PARTs it names, then its own changes) into effect at its own pace, and keeps in
`_meta`, in the same SQLite transaction, how far it is: a crash leaves it there, and whoever opens
the file goes on. The lead writes an APPLIED entry when it is through and before anything that
depends on it: an element that is slower does the rest there. Nothing between the two touches the
same rows, since the transaction keeps its locks. See docs/decisions/0066.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import apsw
from msgspec.structs import replace

from data.storage import before
from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.storage.entry import Later, LogEntry, TxnPayload, decode_later, decode_payload
from data.storage.faults import grid_error
from data.storage.log import Log
from data.storage.tables import Tables
from protocol.errors import CorruptElementError


class LaterEffects:
    """The part of the batch's writer that does it."""

    _log: Log
    _writer: apsw.Connection
    _cursor: apsw.Cursor
    _tables: Tables
    _done: list[Any]

    def __init__(self) -> None:
        self.keep_before = False  # readers here must not see it before all of it is in effect
        self._views: dict[str, str] = {}  # tables that readers see through a view: its SELECT
        self._batch_views = self._views  # in the open batch
        self._before_pages = 0  # of the file, for what was before; they are not the user's
        self._effect: tuple[int, TxnPayload] | None = None  # of the COMMIT at an LSN

    @property
    def later(self) -> Later | None:
        """The COMMIT that has not had all its effect, or whose APPLIED entry is still to come."""
        return self._log.later

    @property
    def changing(self) -> dict[str, str]:
        """Tables that have some of its changes, and hide them from readers."""
        return self._batch_views

    def later_slices(self) -> Iterator[None]:
        """Put it into effect, unit by unit, in the open batch.

        Between two the batch may be committed and another one begun.
        """
        while (later := self._log.later) is not None and later.at < later.total:
            payload = self._effect_at(later.lsn)
            self._do(partial(self._apply_unit, payload, later.at, self.keep_before))
            self._put_later(replace(later, at=later.at + 1))
            yield

    def forget_before(self) -> None:
        """What was before is of no use any more: in the open batch."""
        self._open_reserve()
        self._do(partial(before.drop, self._writer))
        self._batch_views = {}
        self._before_pages = 0
        self.keep_before = False

    # -- entries -----------------------------------------------------------------------------------
    def _commit_later(self, entry: LogEntry, payload: TxnPayload) -> None:
        """A COMMIT was appended, with this effect."""
        if self._log.later is not None:
            raise CorruptElementError(f"COMMIT {entry.lsn}: one before it has not taken effect")
        assert entry.txn is not None
        state = self._log.txns.get(entry.txn)
        first = 0 if state is None else state.first_part_lsn or state.prepare_lsn
        self._put_later(Later(entry.lsn, 0, len(payload.parts) + 1, first or entry.lsn))

    def _applied(self, entry: LogEntry) -> Iterator[None]:
        """An APPLIED entry is next."""
        ended, later = decode_later(entry.payload), self._log.later
        if later is None or later.lsn != ended.lsn:
            raise CorruptElementError(f"APPLIED {entry.lsn} ends nothing that has begun")
        yield from self.later_slices()
        self._put_later(None)
        self.forget_before()

    def _undo_applied(self, entry: LogEntry) -> None:
        ended = decode_later(entry.payload)
        self._put_later(replace(ended, at=ended.total))

    def _units_in(self, entry: LogEntry, payload: TxnPayload) -> int:
        """How many units of a COMMIT that is taken back are in effect. None of them later."""
        later = self._log.later
        if later is None or later.lsn != entry.lsn:
            return len(payload.parts) + 1
        self._put_later(None)
        return later.at

    # -- units -------------------------------------------------------------------------------------
    def _effect_at(self, lsn: int) -> TxnPayload:
        if self._effect is None or self._effect[0] != lsn:
            entry = self._log.at(lsn)
            state = self._log.txns.get(entry.txn) if entry.txn is not None else None
            if state is not None and state.prepare_lsn:
                self._effect = (lsn, self._log.prepare_of(state))
            else:
                self._effect = (lsn, decode_payload(entry.payload))
        return self._effect[1]

    def _unit(self, payload: TxnPayload, number: int) -> Iterator[Sequence[RowChange]]:
        if number < len(payload.parts):
            return self._log.part(payload.parts[number])
        return row_changes.decode_slices(payload.changes)

    def _apply_unit(self, payload: TxnPayload, number: int, keep_before: bool) -> None:
        for changes in self._unit(payload, number):
            if keep_before:
                self._keep_before(changes)
            self._apply(changes)

    def _keep_before(self, changes: Sequence[RowChange]) -> None:
        self._open_reserve()
        pages = self._used_pages()
        for table in {change.table for change in changes}:
            if table not in self._batch_views:
                texts = self._tables[table]
                before.make(self._writer, texts)
                self._batch_views = {**self._batch_views, table: before.view(texts)}
        before.note(self._cursor, self._tables, changes)
        self._before_pages += max(0, self._used_pages() - pages)

    def _used_pages(self) -> int:
        pragma = self._writer.pragma
        return int(pragma("page_count")) - int(pragma("freelist_count"))

    def _put_later(self, later: Later | None) -> None:
        self._effect = self._effect if later is not None else None
        self._do(partial(self._log.put_later, later))

    def _do(self, work: Callable[[], object]) -> None:
        """Now, and again if the batch has to be made again."""
        try:
            work()
        except apsw.Error as error:
            raise grid_error(error) from error
        self._done.append(work)

    # what BatchWriter does
    def _open_reserve(self) -> None:
        raise NotImplementedError

    def _apply(self, changes: Sequence[RowChange]) -> None:
        raise NotImplementedError
