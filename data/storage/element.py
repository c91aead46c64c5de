"""One element on disk: the only object of this package that others hold. See DESIGN.md.

Sync methods run on the caller's thread (the event loop) and take microseconds, unless said
otherwise. Nothing here knows networks, roles or locks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from data.catalog.catalog import Catalog
from data.storage.changes import RowChange
from data.storage.entry import Decision, LogEntry, PreparedTxn
from data.storage.settings import ElementIdentity, StorageSettings
from protocol.ids import LogPosition, TxnId
from protocol.sqltypes import StorageRow, StorageValue

Params = Sequence[StorageValue]


class RunResult(NamedTuple):
    """What a statement did. `rowcount`: rows inserted, changed or deleted."""

    rowcount: int
    rows: list[StorageRow]  # of RETURNING; [] unless wanted
    changes: list[RowChange]


class Scan:
    """A query running on a reader thread; its snapshot is held until it is closed or at its end.

    At most one fetch at a time. Close it in any case.
    """

    position: LogPosition  # the newest log entry whose effects it sees

    async def fetch(self, rows_max: int) -> list[StorageRow]:
        """The next rows, [] at the end. Raises CancelledError after `interrupt`, other GridErrors."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """Stop a fetch that is running, from the event loop; harmless at any time."""
        raise NotImplementedError

    async def close(self) -> None:
        """Give the reader connection back (interrupts a running fetch)."""
        raise NotImplementedError


class ReadSnapshot:
    """One committed state, for several reads; holds a reader connection until closed."""

    position: LogPosition

    def read(self, sql: str, params: Params = ()) -> list[StorageRow]:
        """A short query, inline."""
        raise NotImplementedError

    async def scan(self, sql: str, params: Params = ()) -> Scan:
        """A query of any length in this state; one at a time."""
        raise NotImplementedError

    async def close(self) -> None:
        """End it; it must not be used again."""
        raise NotImplementedError


class Element:
    """The files of one element, exclusively locked from create/open to close."""

    identity: ElementIdentity
    settings: StorageSettings
    path: Path  # a folder
    catalog: Catalog  # of the last commit
    tail: LogPosition  # newest entry, the open batch included; (0, 0): empty log
    committed_tail: LogPosition  # newest entry that is committed here
    log_start: LogPosition  # entries up to this one are no longer kept; (0, 0): all are
    log_bytes: int  # payload bytes kept in the log
    needs_recovery: bool  # must not count itself in sync: new, rebuilt, restored, power was lost
    in_batch: bool
    commit_point: int  # LSN up to which entries are known to be committed by the lead

    # -- life --------------------------------------------------------------------------------------
    @staticmethod
    def exists(path: Path) -> bool:
        """True if there is an element's file in this folder."""
        raise NotImplementedError

    @staticmethod
    def create(path: Path, identity: ElementIdentity, settings: StorageSettings) -> Element:
        """Make and open a new, empty element in a new or empty folder. Milliseconds.

        Raises DuplicateObjectError if there is one already, ElementInUseError, DiskFullError.
        """
        raise NotImplementedError

    @staticmethod
    def open(path: Path, settings: StorageSettings) -> Element:
        """Open an element; seconds if it is large (integrity check): use a thread.

        Raises ElementInUseError (another process has it), CorruptElementError (also if there is no
        file), FormatTooNewError.
        """
        raise NotImplementedError

    @staticmethod
    def install_snapshot(
        file: Path, path: Path, identity: ElementIdentity, settings: StorageSettings
    ) -> Element:
        """Make folder `path` this element with the content of a snapshot, and open it.

        `file` is used up. What was in the folder is replaced. It needs recovery until marked in
        sync. Raises CorruptElementError if the snapshot is damaged or of another database.
        """
        raise NotImplementedError

    @staticmethod
    def destroy(path: Path) -> None:
        """Remove a closed element's files. Raises ElementInUseError."""
        raise NotImplementedError

    def set_place(self, replica_set: int, data_space: int) -> None:
        """Record the element's place in the map; not inside a batch."""
        raise NotImplementedError

    def mark_in_sync(self) -> None:
        """The element may count itself in sync from now on, flushed. Milliseconds."""
        raise NotImplementedError

    def close(self, clean: bool) -> None:
        """Close files and release the lock. `clean`: everything flushed, with the clean-stop mark."""
        raise NotImplementedError

    def on_catalog(self, callback: Callable[[Catalog], None]) -> None:
        """Call `callback` after each commit that changed the catalog."""
        raise NotImplementedError

    @property
    def schema_version(self) -> int:
        """Of the last commit."""
        raise NotImplementedError

    def set_force_sync(self, forced: bool) -> None:
        """True: commits are flushed before `commit` returns, from the next one on (an open batch

        included); False: as the settings say.
        """
        raise NotImplementedError

    async def flush(self) -> None:
        """Flush everything that is committed now (epochs); off the event loop."""
        raise NotImplementedError

    # -- the one write transaction: the batch ------------------------------------------------------
    def begin(self) -> None:
        """Open the batch."""
        raise NotImplementedError

    def run(self, sql: str, params: Params = (), want_rows: bool = False) -> RunResult:
        """One INSERT, UPDATE or DELETE, all or nothing; the batch stays as it was on an error.

        Raises UniqueViolationError, NotNullError, CheckViolationError, OutOfPermSizeError,
        DiskFullError, CancelledError (after interrupt_writer), other GridErrors.
        """
        raise NotImplementedError

    async def run_long(self, sql: str, params: Params = (), want_rows: bool = False) -> RunResult:
        """`run` on the writer's thread. Until it is done nothing else of the batch may be called."""
        raise NotImplementedError

    def interrupt_writer(self) -> None:
        """Stop what `run_long` runs: it raises CancelledError."""
        raise NotImplementedError

    def insert_rows(self, table: str, rows: Sequence[StorageRow]) -> list[RowChange]:
        """Insert full rows, all or none. Raises as `run` does."""
        raise NotImplementedError

    def insert_new_rows(self, table: str, rows: Sequence[StorageRow]) -> list[RowChange]:
        """Insert full rows, leaving out those whose primary or unique key exists."""
        raise NotImplementedError

    def savepoint(self, name: str) -> None:
        """Remember this point of the batch; a name used again hides the older one."""
        raise NotImplementedError

    def rollback_to(self, name: str) -> None:
        """Undo everything since the savepoint, entries included; the savepoint stays."""
        raise NotImplementedError

    def release(self, name: str) -> None:
        """Forget the savepoint and those after it, not what was done."""
        raise NotImplementedError

    def apply_changes(self, changes: Sequence[RowChange]) -> None:
        """Put changes into effect. All or nothing: a change that does not find its image before

        (or finds its new row's keys taken) raises CorruptElementError.
        """
        raise NotImplementedError

    def undo_changes(self, changes: Sequence[RowChange]) -> None:
        """Take changes back, last first; raises as `apply_changes`."""
        raise NotImplementedError

    def apply_ddl(self, ddl: bytes, lsn: int) -> None:
        """Put an encoded CatalogChange into effect; its entry, at `lsn`, must be appended next.

        `apply_entry` does this by itself; it is for a lead that runs row changes between the two.
        """
        raise NotImplementedError

    def append(self, entry: LogEntry) -> None:
        """Write a log entry whose effect on the data is in this batch already.

        Keeps the prepared transactions and the decisions. Raises LogGapError unless its lsn follows
        the tail and its term is not older, CorruptElementError for a COMMIT of a transaction whose
        ABORT is recorded or a PREPARE of one that is decided or prepared.
        """
        raise NotImplementedError

    def apply_entry(self, entry: LogEntry) -> None:
        """Append an entry and put it into effect (data, catalog, ownership).

        What a copy does; and a lead for the COMMIT of a prepared transaction and for DDL.
        """
        raise NotImplementedError

    def undo_entry(self, entry: LogEntry) -> None:
        """Take back the newest entry with its effect. Raises LogGapError if it is not the tail."""
        raise NotImplementedError

    def commit(self) -> None:
        """Commit the batch, flushed as the settings and set_force_sync say; call catalog callbacks.

        Raises DiskFullError (the batch is rolled back).
        """
        raise NotImplementedError

    def rollback(self) -> None:
        """Drop the batch. Harmless without one."""
        raise NotImplementedError

    def set_commit_point(self, lsn: int) -> None:
        """Remember it; on disk with the next entry."""
        raise NotImplementedError

    # -- reading -----------------------------------------------------------------------------------
    def read(self, sql: str, params: Params = ()) -> list[StorageRow]:
        """A short query on the last committed state, inline."""
        raise NotImplementedError

    def read_in_batch(self, sql: str, params: Params = ()) -> list[StorageRow]:
        """A short query that sees the open batch."""
        raise NotImplementedError

    async def scan(self, sql: str, params: Params = ()) -> Scan:
        """A query of any length on the last committed state, on a reader thread.

        Waits for a free reader connection.
        """
        raise NotImplementedError

    async def snapshot(self) -> ReadSnapshot:
        """Hold the last committed state for several reads. Waits for a free reader connection."""
        raise NotImplementedError

    def row_exists(self, table: str, columns: Sequence[str], key: StorageRow) -> bool:
        """True if a row has these values in these columns; sees the open batch, if there is one."""
        raise NotImplementedError

    def column_names(self, table: str) -> tuple[str, ...]:
        """Columns of a SQLite table in the order of a full row."""
        raise NotImplementedError

    def key_positions(self, table: str) -> tuple[int, ...]:
        """Positions of the primary key's columns in a full row, in the key's order."""
        raise NotImplementedError

    # -- log ---------------------------------------------------------------------------------------
    def entries(self, after_lsn: int, bytes_max: int) -> list[LogEntry]:
        """Committed entries after a position, at least one if there is one.

        Raises LogGapError if entries after `after_lsn` are no longer kept.
        """
        raise NotImplementedError

    def entry_at(self, lsn: int) -> LogEntry | None:
        """The entry at a position, of the open batch too; None: not there or no longer kept."""
        raise NotImplementedError

    def outcome(self, txn: TxnId) -> str | None:
        """"committed", "aborted", "prepared" or None (nothing known), the open batch included."""
        raise NotImplementedError

    def prepared(self) -> list[PreparedTxn]:
        """Prepared and undecided transactions, oldest first, the open batch included."""
        raise NotImplementedError

    def decisions(self) -> list[Decision]:
        """Recorded decisions on multi-set transactions, oldest first."""
        raise NotImplementedError

    def forget_decision(self, txn: TxnId) -> None:
        """Drop a recorded decision; in the open batch, or by itself if there is none."""
        raise NotImplementedError

    def epochs(self) -> list[tuple[int, LogPosition]]:
        """(epoch number, position) of the EPOCH entries kept, oldest first."""
        raise NotImplementedError

    def owned_buckets(self) -> frozenset[int]:
        """Buckets that OWN entries gave to this replica set and DISOWN entries left it."""
        raise NotImplementedError

    def cut_log(self, below_lsn: int, entries_max: int = 1000) -> bool:
        """Remove entries below a position, at most `entries_max`; True: there are more to remove.

        Entries that an undo of a kept one needs stay. In the open batch, or by itself.
        """
        raise NotImplementedError

    # -- snapshot copy -----------------------------------------------------------------------------
    def snapshot_to(self, file: Path) -> LogPosition:
        """Write a consistent copy of the last committed state; writers go on. Seconds: use a thread.

        Returns the position of its newest entry. `file` must not exist.
        """
        raise NotImplementedError

    def load_snapshot(self, file: Path) -> None:
        """`install_snapshot` into this open element: same object, new content; not in a batch.

        `file` is used up. Scans that run are interrupted. Catalog callbacks fire.
        """
        raise NotImplementedError
