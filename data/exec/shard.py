"""One database's element on this instance, as reads and writes reach it: the executing side.

Key lookups run inline on the event loop; scans run on a reader thread and are sent in batches that
the coordinator asks for one by one, so that a slow client holds up nothing but its own cursor.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import structlog

from data.exec import encoders
from data.exec.epochs import EpochKeeper
from data.exec.recovery import Recovery
from data.exec.snapshots import Snapshots
from data.storage.element import Element, HeldSnapshot
from data.storage.own import OwnView
from data.txn.lead import LeadWriter
from data.txn.ports import Reply
from data.txn.workspace import OwnChanges
from protocol import trace
from protocol.errors import (
    GridError,
    InternalError,
    NotLeadError,
    StaleSchemaError,
    TooManySnapshotsError,
    UnknownPortalError,
)
from protocol.ids import TxnId
from protocol.limits import MIB, RPC_BATCH_BYTES
from protocol.messages.sql import (
    CloseCursor,
    FetchRows,
    OpenSnapshot,
    ReadRows,
    ReadView,
    Rows,
    SnapshotOpened,
)
from protocol.messages.txn import CoordinatedState
from protocol.sqltypes import StorageRow, StorageValue

log = structlog.get_logger()

_by_key: Final = encoders.by_key
_ROWS: Final = Rows
FETCH_ROWS: Final = 500  # rows fetched at a time from a reader thread
PART_BYTES_MAX: Final = 4 * MIB  # of rows in one message
CURSORS_MAX: Final = 4096
SNAPSHOTS_MAX: Final = 150  # of one element; fewer than it has connections, so that scans go on
SNAPSHOT_AGE_MAX_S: Final = 900.0
SNAPSHOT_WAL_BYTES_MAX: Final = 1024 * MIB


# Unique in the process, so that a number names its shard.
_CURSOR_NUMBERS: Final = itertools.count(1)


class Lease(Protocol):
    """What a read asks of replication (data/replication/member.py)."""

    def lead_ok(self) -> bool:
        """True while this element leads and its lease holds at this instant."""
        ...

    def copy_ok(self, bucket: int) -> bool:
        """True while it may answer reads of a bucket as a copy, at this instant."""
        ...


class ReadReply(Reply, Protocol):
    """Where rows go: `on_cancel` is called when nobody waits for them any more."""

    on_cancel: Callable[[], object] | None


class LongReadError(Exception):
    """A read that was thought to be short is not: it has to be a scan. Never leaves data/exec."""


class Source(Protocol):
    """Where a cursor's rows come from: a scan, or rows that were read at once."""

    ended: bool  # there is nothing beyond what was fetched

    async def fetch(self, rows_max: int) -> list[StorageRow]: ...
    def interrupt(self) -> None: ...
    async def close(self) -> None: ...


class _Gathered:
    """The rows of a read inside a transaction, which cannot be held open like a scan."""

    def __init__(self, rows: list[StorageRow]) -> None:
        self._rows = rows
        self._at = 0
        self.ended = False

    async def fetch(self, rows_max: int) -> list[StorageRow]:
        """The next rows; in between others get their turn."""
        if self._at:
            await asyncio.sleep(0)
        rows = self._rows[self._at : self._at + rows_max]
        self._at += rows_max
        self.ended = self._at >= len(self._rows)
        return rows

    def interrupt(self) -> None:
        """Nothing runs."""

    async def close(self) -> None:
        """Let the rows go."""
        self._rows = []


class _Cursor:
    """Rows that a coordinator fetches batch by batch."""

    __slots__ = ("busy", "encoding", "owner", "pending", "scan")

    def __init__(self, scan: Source, encoding: bytes, owner: str) -> None:
        self.scan = scan
        self.encoding = encoding
        self.owner = owner
        self.busy = False
        self.pending: list[StorageRow] = []  # fetched, and too much for the message before


class Shard:
    """Reads of one element; its writes go to `writer`."""

    def __init__(self, element: Element, writer: LeadWriter, lease: Lease) -> None:
        self.element = element
        self.writer = writer
        self.open_here: Callable[[TxnId], bool] = lambda txn: True  # of this coordinator's clients
        self.coordinated: Callable[[], tuple[CoordinatedState, ...]] = tuple  # the same, listed
        self.epochs: EpochKeeper  # these two are set by data/database.py
        self.recovery: Recovery
        self.ownership = writer.ownership
        self.lease = lease
        self._cursors: dict[int, _Cursor] = {}
        self._snapshots = Snapshots()
        self._own: dict[TxnId, OwnView] = {}  # what large transactions read
        writer.held_snapshot = self._snapshots.held
        self._tasks: set[asyncio.Task[None]] = set()

    def check(self, schema: int, map_version: int, bucket: int = -1) -> None:
        """Refuse what was planned with another schema or map. Raises StaleSchema/StaleMapError."""
        if schema != self.element.schema_version:
            raise StaleSchemaError(
                f"planned with schema version {schema}, here is {self.element.schema_version}"
            )
        self.ownership.check(map_version, bucket)

    def read_local(
        self, sql: str, params: tuple[StorageValue, ...], schema: int, version: int, bucket: int
    ) -> list[StorageRow]:
        """`read_inline` for a session of this process."""
        if schema != self.element.schema_version or not self.writer.leading:
            raise self._not_lead()
        if version != self.ownership.version:
            self.ownership.check(version, bucket)
        rows = self.element.read_short(sql, params)
        if rows is None:
            raise LongReadError
        if not self.lease.lead_ok():
            raise self._not_lead()
        return rows

    def read_inline(self, message: ReadRows) -> list[StorageRow]:
        """A key lookup at the lead, at once. Raises GridError, LongReadError; nothing to undo."""
        element = self.element
        if (
            message.schema != element.schema_version
            or message.map_version != self.ownership.version
        ):
            self._check_read(message)
        if not self.writer.leading and not message.anywhere:
            raise self._not_lead()
        rows = element.read_short(message.sql, message.params)
        if rows is None:
            raise LongReadError
        if not message.anywhere and not self.lease.lead_ok():
            raise self._not_lead()
        return rows

    def _check_read(self, message: ReadRows) -> None:
        """`check`; what any element may answer depends on no bucket."""
        if message.anywhere:
            self.check(message.schema, self.ownership.version)
        else:
            self.check(message.schema, message.map_version, message.bucket)

    def read(self, message: ReadRows, reply: ReadReply, owner: str) -> None:
        """Answer one ReadRows; `owner` is the peer whose loss ends its cursors."""
        if trace.steps.listener is not None:
            trace.step("data/exec/shard.py", message)
        if message.snapshot:
            reply.on_cancel = self._spawn(self._read_held(message, reply, owner)).cancel
            return
        if message.txn is not None:  # it has written here: without its changes no answer is right
            self._check_read(message)
            self._read_in_txn(message.txn, message, reply, owner)
            return
        if message.short:
            try:
                rows = self.read_inline(message)
            except LongReadError:
                pass
            else:
                self._answer_rows(rows, message, reply, owner, self._view(message.back_ms))
                return
        self._check_read(message)
        if not self.writer.leading and not message.anywhere:
            raise self._not_lead()
        if len(self._cursors) >= CURSORS_MAX:
            raise InternalError(f"more than {CURSORS_MAX} open cursors at one element")
        reply.on_cancel = self._spawn(self._open(message, reply, owner)).cancel

    def _read_in_txn(self, txn: TxnId, message: ReadRows, reply: Reply, owner: str) -> None:
        def read(element: Element) -> None:
            self._check_read(message)
            rows = element.read_in_batch(message.sql, message.params)
            if not self.lease.lead_ok():
                raise self._not_lead()
            self._answer_rows(rows, message, reply, owner, self._view(message.back_ms))

        def own(changes: OwnChanges) -> None:
            self._spawn(self._read_own(changes, txn, message, reply, owner))

        self.writer.read_in_txn(txn, message.term, message.schema, message.sql, read, own, reply)

    async def _read_own(
        self, changes: OwnChanges, txn: TxnId, message: ReadRows, reply: Reply, owner: str
    ) -> None:
        """A read of a large transaction: on a reader's thread, its own changes on top."""
        view = self._own.pop(txn, None)
        try:
            if view is not None and not view.is_of_use(changes.cuts, self.element.reader_views):
                unwanted, view = view, None
                await unwanted.drop()
            if view is None:
                view = await self.element.own_view(changes.cuts)
            view.renew()
            seen = self._view(message.back_ms)
            self._check_read(message)
            await view.lay_pieces(changes.pieces())
            cursor = _Cursor(view.scan(message.sql, message.params), message.encoding, owner)
            data, count, more = await self._batch(cursor)
            if not self.lease.lead_ok():
                raise self._not_lead()
        except BaseException as error:
            if view is not None:
                await view.close()
            _fail(reply, error)
            return
        self._own[txn] = view
        await self._answer_first(cursor, data, count, more, reply, seen)

    def _view(self, back_ms: int) -> ReadView | None:
        """About the state that was read or opened in this turn of the loop."""
        return self.writer.view(back_ms) if back_ms else None

    def _answer_rows(
        self,
        rows: list[StorageRow],
        message: ReadRows,
        reply: Reply,
        owner: str,
        view: ReadView | None,
    ) -> None:
        if len(rows) <= FETCH_ROWS:
            data = _encode(message.encoding, rows)
            if len(data) <= PART_BYTES_MAX:
                reply.reply(_ROWS(data, len(rows), 0, view))
                return
        # too much for one message: handed out like a scan
        self._spawn(self._first(_Cursor(_Gathered(rows), message.encoding, owner), reply, view))

    async def _open(self, message: ReadRows, reply: Reply, owner: str) -> None:
        cursor: _Cursor | None = None
        try:
            scan = await self.element.scan(message.sql, message.params)
            view = self._view(message.back_ms)  # nothing has run since the state was opened
            cursor = _Cursor(scan, message.encoding, owner)
            self._check_read(message)
            if not message.anywhere and not self.lease.lead_ok():
                raise self._not_lead()
            data, count, more = await self._batch(cursor)
            if not message.anywhere and not self.lease.lead_ok():
                raise self._not_lead()
        except BaseException as error:
            if cursor is not None:
                await cursor.scan.close()
            _fail(reply, error)
            return
        await self._answer_first(cursor, data, count, more, reply, view)

    async def _first(self, cursor: _Cursor, reply: Reply, view: ReadView | None) -> None:
        """The first batch of rows whose state is known to be good."""
        try:
            data, count, more = await self._batch(cursor)
        except BaseException as error:
            await cursor.scan.close()
            _fail(reply, error)
            return
        await self._answer_first(cursor, data, count, more, reply, view)

    async def _answer_first(
        self,
        cursor: _Cursor,
        data: bytes,
        count: int,
        more: bool,
        reply: Reply,
        view: ReadView | None,
    ) -> None:
        number = 0
        if more:
            number = next(_CURSOR_NUMBERS)
            self._cursors[number] = cursor
        else:
            await cursor.scan.close()
        reply.reply(Rows(data, count, number, view))

    async def _batch(self, cursor: _Cursor) -> tuple[bytes, int, bool]:
        """The next rows: encoded, how many, and whether there are more."""
        parts: list[bytes] = []
        gathered: list[StorageRow] = []
        size = count = 0
        while size < RPC_BATCH_BYTES and not (cursor.scan.ended and not cursor.pending):
            rows = cursor.pending or await cursor.scan.fetch(FETCH_ROWS)
            cursor.pending = []
            if cursor.encoding:
                part, rows = _fitting(cursor, rows)
                parts.append(part)
                size += len(part)
            else:
                gathered += rows
                size += sum(map(_row_bytes, rows[:8])) * max(1, len(rows) // 8)
            count += len(rows)
        if not cursor.encoding:
            data, gathered = _fitting(cursor, gathered)
            return data, len(gathered), bool(cursor.pending) or not cursor.scan.ended
        return b"".join(parts), count, bool(cursor.pending) or not cursor.scan.ended

    # -- snapshots ---------------------------------------------------------------------------------
    def open_snapshot(self, message: OpenSnapshot, reply: Reply, owner: str) -> None:
        """Hold the last committed state for a coordinator."""
        if trace.steps.listener is not None:
            trace.step("data/exec/shard.py", message)
        self.check(message.schema, message.map_version)
        if not self.writer.leading:
            raise self._not_lead()
        if len(self._snapshots) >= SNAPSHOTS_MAX:
            raise TooManySnapshotsError(
                f"more than {SNAPSHOTS_MAX} snapshots are held at one element",
                hint="Fewer REPEATABLE READ transactions at a time, or shorter ones.",
            )
        self._spawn(self._open_snapshot(message, reply, owner))

    async def _open_snapshot(self, message: OpenSnapshot, reply: Reply, owner: str) -> None:
        held: HeldSnapshot | None = None
        try:
            held = await self.element.hold()
            view = self.writer.view(message.back_ms)  # nothing has run since it was opened
            self.check(message.schema, message.map_version)
            if not self.writer.leading or not self.lease.lead_ok():
                raise self._not_lead()
        except BaseException as error:
            if held is not None:
                await held.close()
            _fail(reply, error)
            return
        reply.reply(SnapshotOpened(self._snapshots.add(message, held, owner), view))

    async def _read_held(self, message: ReadRows, reply: Reply, owner: str) -> None:
        try:
            held = self._snapshots.find(message).held
            if message.txn is not None:
                await held.lay(self.writer.changes_of(message.txn, message.term))
            elif not held.is_plain:  # the transaction went back to before it came here
                await held.lay(())
            cursor = _Cursor(held.scan(message.sql, message.params), message.encoding, owner)
        except BaseException as error:
            _fail(reply, error)
            return
        await self._first(cursor, reply, None)

    def close_snapshots(self, numbers: Iterable[int]) -> None:
        """Let snapshots go."""
        for number in numbers:
            snapshot = self._snapshots.take(number)
            if snapshot is not None:
                self._spawn(snapshot.held.close())

    def drop_old_snapshots(self) -> None:
        """Now and then: those that keep the SQLite WAL from being folded in for too long."""
        for txn in [txn for txn in self._own if not self.writer.is_open(txn)]:
            self._spawn(self._own.pop(txn).drop())
        self.close_snapshots(self._snapshots.older_than(SNAPSHOT_AGE_MAX_S))
        if len(self._snapshots) and self.element.wal_bytes > SNAPSHOT_WAL_BYTES_MAX:
            log.warning("snapshot.dropped", wal_bytes=self.element.wal_bytes)
            self.close_snapshots((self._snapshots.oldest(),))

    # -- cursors -----------------------------------------------------------------------------------
    def fetch(self, message: FetchRows, reply: Reply) -> None:
        """The next rows of a cursor."""
        cursor = self._cursors.get(message.cursor)
        if cursor is None or cursor.busy:
            raise UnknownPortalError("the cursor is gone with its element; run the query again")
        cursor.busy = True
        self._spawn(self._fetch(message.cursor, cursor, reply))

    async def _fetch(self, number: int, cursor: _Cursor, reply: Reply) -> None:
        try:
            data, count, more = await self._batch(cursor)
        except BaseException as error:
            self._cursors.pop(number, None)
            await cursor.scan.close()
            _fail(reply, error)
            return
        cursor.busy = False
        if not more:
            self._cursors.pop(number, None)
            await cursor.scan.close()
        reply.reply(Rows(data, count, number if more else 0))

    def has_cursor(self, number: int) -> bool:
        """True if the cursor is one of this shard's."""
        return number in self._cursors

    def close_cursor(self, message: CloseCursor) -> None:
        """The coordinator wants no more rows."""
        cursor = self._cursors.pop(message.cursor, None)
        if cursor is not None:
            cursor.scan.interrupt()
            self._spawn(cursor.scan.close())

    def peer_lost(self, owner: str) -> None:
        """Drop the cursors of a peer that is gone."""
        for number in [n for n, c in self._cursors.items() if c.owner == owner]:
            self.close_cursor(CloseCursor(number))
        self.close_snapshots(self._snapshots.of_owner(owner))

    async def close(self) -> None:
        """End all scans."""
        for number in list(self._cursors):
            self.close_cursor(CloseCursor(number))
        self.close_snapshots(self._snapshots.all())
        for view in self._own.values():
            self._spawn(view.close())
        self._own.clear()
        tasks = list(self._tasks)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _not_lead(self) -> NotLeadError:
        return NotLeadError("this element does not lead its replica set now")


def _row_bytes(row: StorageRow) -> int:
    return 8 + sum(len(v) if isinstance(v, str | bytes) else 9 for v in row)


def _encode(encoding: bytes, rows: list[StorageRow]) -> bytes:
    if encoding:
        return _by_key(encoding)(rows)
    return encoders.encode_storage_rows(rows)


def _fitting(cursor: _Cursor, rows: list[StorageRow]) -> tuple[bytes, list[StorageRow]]:
    """Rows encoded, only as many of them as fit into a message; the cursor keeps the others."""
    data = _encode(cursor.encoding, rows)
    while len(data) > PART_BYTES_MAX and len(rows) > 1:
        half = len(rows) // 2
        rows, cursor.pending = rows[:half], rows[half:] + cursor.pending
        data = _encode(cursor.encoding, rows)
    return data, rows


def _fail(reply: Reply, error: BaseException) -> None:
    if isinstance(error, GridError):
        reply.fail(error)
    elif isinstance(error, asyncio.CancelledError):
        reply.fail(NotLeadError("the element is being unloaded"))
    else:
        log.error("shard.read_failed", error=repr(error), exc_info=error)
        reply.fail(InternalError(f"{type(error).__name__}: {error}"))
