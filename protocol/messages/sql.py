"""Coordinator ↔ lead: reads, and the statements of transactions. Positional, encoded once.

Every request names the database, the replica set and the versions it was planned with
(`map_version`: the set's ownership version in the map, `DistributionMap.versions`); an element
that knows better answers StaleMapError, StaleSchemaError or NotLeadError and has done nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from protocol.ids import TxnId
from protocol.messages import registry

# msgspec takes no union of text and bytes: these are StorageValue and StorageRow.
StorageValue = Any
StorageRow = tuple[Any, ...]


class ReadRows(msgspec.Struct, frozen=True, array_like=True, tag="sql.read"):
    """Run one SELECT on the last committed state. Reply: Rows.

    `encoding`: b"" asks for storage rows in msgpack, else the cache key of a wire row encoder (see
    data/exec/encoders.py). `short`: known to be a key lookup, may run inline.
    """

    db: str
    rs: int
    schema: int
    map_version: int
    sql: str
    params: tuple[StorageValue, ...]
    encoding: bytes = b""
    short: bool = True
    txn: TxnId | None = None  # read inside this transaction's workspace
    anywhere: bool = False  # any element may answer: no rows of a replica set are touched
    term: int = 0  # in which the transaction came here: its workspace must be of that one
    back_ms: int = 0  # > 0: say with the answer what a ReadView says, so far back
    snapshot: int = 0  # read in this snapshot, opened with OpenSnapshot
    bucket: int = -1  # all that it looks at is in this bucket; -1: in any


class ReadView(msgspec.Struct, frozen=True, array_like=True):
    """What a lead says about the state that it read (data/txn/read_atomic.py).

    `commits`: the transactions over several replica sets that became visible here until the state
    was opened, all of the last `complete_ms` before the answer, and perhaps older ones: (id,
    replica sets). `undecided`: those prepared and not visible: (id, replica sets, age of the
    PREPARE in ms, -1: unknown).
    """

    complete_ms: int
    undecided: tuple[tuple[TxnId, tuple[int, ...], int], ...] = ()
    commits: tuple[tuple[TxnId, tuple[int, ...]], ...] = ()


class Rows(msgspec.Struct, frozen=True, array_like=True, tag="sql.rows"):
    """`count` rows in `data`; `cursor` ≠ 0: more can be had with FetchRows."""

    data: bytes
    count: int
    cursor: int = 0
    view: ReadView | None = None


class OpenSnapshot(msgspec.Struct, frozen=True, array_like=True, tag="sql.snapshot"):
    """Hold the last committed state at the lead for several reads. Reply: SnapshotOpened."""

    db: str
    rs: int
    schema: int
    map_version: int
    back_ms: int


class SnapshotOpened(msgspec.Struct, frozen=True, array_like=True, tag="sql.snapshot_opened"):
    """`number` goes into ReadRows to the same instance, which says what the state shows."""

    number: int
    view: ReadView


class CloseSnapshots(msgspec.Struct, frozen=True, array_like=True, tag="sql.snapshot_close"):
    """One way: these snapshots are not needed any more."""

    db: str
    numbers: tuple[int, ...]


class FetchRows(msgspec.Struct, frozen=True, array_like=True, tag="sql.fetch"):
    """The next rows of a cursor. Reply: Rows. The cursor is gone when 0 comes back, or on error."""

    cursor: int


class CloseCursor(msgspec.Struct, frozen=True, array_like=True, tag="sql.close"):
    """One way: the coordinator wants no more rows."""

    cursor: int


# -- steps of a statement inside a transaction ----------------------------------------------------
class Match(msgspec.Struct, frozen=True, array_like=True):
    """A SELECT of the keys, values of `columns`, of the rows that a statement would touch."""

    sql: str
    params: tuple[StorageValue, ...]
    columns: tuple[str, ...]


class Keyed(msgspec.Struct, frozen=True, array_like=True):
    """How an UPDATE or DELETE whose rows have nothing to do with each other is done in slices.

    `find` selects the keys of its rows; `sql` is its text for one of them, whose key follows the
    parameters. `rows_max` > 0: with more rows, and something to be done elsewhere or rows to be
    answered, it fails with LargeStatementError, and its coordinator sends RunKeyed. `asks`: it has
    subqueries, and `find` gives more than keys (data/sql/found_values.py).
    """

    find: Match
    sql: str
    rows_max: int = 0
    asks: bool = False


class Look(msgspec.Struct, frozen=True, array_like=True):
    """How to tell what an UPDATE of one row by its key would do, without doing it.

    `sql` is a SELECT with the parameters of the UPDATE: its row is the full row, then the new
    values of the columns `assigned` (positions in the table, without a hidden row key).
    """

    sql: str
    assigned: tuple[int, ...]


class RunSql(msgspec.Struct, frozen=True, array_like=True, tag="q"):
    """An UPDATE or DELETE (or INSERT) in SQLite text on table `table_id`."""

    table_id: int
    sql: str
    params: tuple[StorageValue, ...]
    want_rows: bool = False  # RETURNING
    moving: bool = False  # the deleted rows come back elsewhere: nothing cascades
    match: Match | None = None  # with RunStatement.snapshot: the rows have to be as there
    keyed: Keyed | None = None  # it may be done in slices
    look: Look | None = None  # in a transaction its lead may look instead of doing it at once


class RunKeyed(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """Part of a large UPDATE or DELETE: `sql` for each of these rows, if it still fits.

    `fresh`: the transaction wrote nothing here before the statement.
    """

    table_id: int
    sql: str
    params: tuple[StorageValue, ...]
    keys: list[StorageRow]
    want_rows: bool
    fresh: bool


class InsertRows(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """Full rows, hidden columns included.

    `ignore`: skip rows whose key exists; the rows answer those that were inserted. `target`: the
    columns of the one unique index whose violation is forgiven; () all of them.
    """

    table_id: int
    rows: list[StorageRow]
    ignore: bool = False
    target: tuple[str, ...] = ()


class InsertBlock(msgspec.Struct, frozen=True, array_like=True, tag="n"):
    """Many new full rows of a table from whose changes nothing follows.

    `rows`: as the log has them (data/storage/changes.py, encode_inserts), so that they are encoded
    once, where they are made. Always the only step of its statement, and never with its COMMIT.
    """

    table_id: int
    rows: bytes


class PutIndexKeys(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    """Global index entries: rows (key…, target bucket, own bucket) to delete, then to insert."""

    table_id: int
    index_id: int
    deletes: list[StorageRow]
    inserts: list[StorageRow]


class PutViewRows(msgspec.Struct, frozen=True, array_like=True, tag="v"):
    """Rows of a materialized view: keys of those that go, if they are there, then new full rows."""

    table_id: int
    deletes: list[StorageRow]
    inserts: list[StorageRow]


class ApplyImages(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Row changes made at another replica set, for DUPLICATE tables."""

    changes: bytes


class LockKeys(msgspec.Struct, frozen=True, array_like=True, tag="k"):
    """Parent rows, by the values of `columns` (a key of the table): the key is locked till the end.

    A key that is not there: ForeignKeyError naming `constraint`. Table -n: entries of global index
    n, which stand for the rows they name.
    """

    table_id: int
    columns: tuple[str, ...]
    keys: list[StorageRow]
    constraint: str


class TakeKeys(msgspec.Struct, frozen=True, array_like=True, tag="y"):
    """Lock keys in a mode (data/txn/locks.py), whether there are rows of that key or not.

    `index_id`: of a unique index, or 0 for what identifies a row (primary key, hidden row key).
    Table -n: entries of global index n. `skip`: only those that are free; the rows answer them.
    """

    table_id: int
    index_id: int
    keys: list[StorageRow]
    mode: int
    skip: bool = False


class ChildKeys(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """Parent keys that go away: no child row of foreign key `constraint` may refer to them.

    With ON DELETE CASCADE / SET NULL the child rows are deleted or changed instead, unless the
    parent was not deleted but changed (`restrict`).
    """

    table_id: int  # of the child
    constraint: str
    keys: list[StorageRow]
    restrict: bool = False


class LockTable(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """A table lock in a mode (data/txn/locks.py) until the transaction ends. Table 0: all DDL."""

    table_id: int
    mode: int = 2  # EXCLUSIVE


class TakeSequence(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Take `count` numbers of a sequence: the row answers (first value,)."""

    sequence_id: int
    start: int
    increment: int
    count: int


class SelectRows(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A SELECT inside the transaction.

    `locks`: (table id, first column, number of key columns) for each table whose rows are locked:
    where their keys stand in the rows, and `mode` in which (data/txn/locks.py). `skip`: leave out
    rows that others have locked; `limit` ≥ 0: stop after so many that were not left out.
    """

    sql: str
    params: tuple[StorageValue, ...]
    locks: tuple[tuple[int, int, int], ...] = ()
    mode: int = 2  # EXCLUSIVE
    skip: bool = False
    limit: int = -1
    as_seen: bool = False  # with RunStatement.snapshot: the rows have to be as there


class AddRows(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """Rows of SQLite table `table` that a DDL statement of this transaction makes: they are put in

    when it commits, after the DDL. Nothing may follow it in the transaction.
    """

    table: str
    rows: list[StorageRow]


# -- steps of transactions that move buckets (data/moving/) ---------------------------------------
class TakeBuckets(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """Lock buckets until the transaction ends: nobody else changes rows in them.

    `whole`: nobody holds a table by a lock that a row of these buckets would have to respect.
    """

    buckets: tuple[int, ...]
    whole: bool = True


class TakeOut(msgspec.Struct, frozen=True, array_like=True, tag="o"):
    """Delete rows of these buckets, of any table, and give them: rows (table, value…).

    No more than `rows_max`, and not much more than `bytes_max`; the last row says ("", 1) if more
    are left, else ("", 0).
    """

    buckets: tuple[int, ...]
    rows_max: int
    bytes_max: int


class PutIn(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """Insert what TakeOut gave elsewhere."""

    rows: list[StorageRow]


class SetOwners(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """Rows of the ownership table (data/txn/ownership.py), whose version grows by one.

    `expect`: all these buckets have to be that replica set's before, else StaleMapError; 0: none
    need be. `first`: only if the table has never been filled; its version is 0 then. `fresh`: it
    may be empty, else that is a StaleMapError. Gives (version,).
    `more`: of the first rows, some; the version comes with the last ones.
    """

    owners: list[StorageRow]
    expect: int = 0
    first: bool = False
    fresh: bool = False
    more: bool = False


Step = (
    RunSql
    | RunKeyed
    | InsertRows
    | InsertBlock
    | PutIndexKeys
    | PutViewRows
    | ApplyImages
    | LockKeys
    | TakeKeys
    | ChildKeys
    | LockTable
    | TakeSequence
    | SelectRows
    | AddRows
    | TakeBuckets
    | TakeOut
    | PutIn
    | SetOwners
)


class RunStatement(msgspec.Struct, frozen=True, array_like=True, tag="txn.run"):
    """Coordinator → lead: one statement of a transaction, all steps or none. Reply: Ran.

    `term` 0 in the first statement here, then the one that Ran named. `number` counts the
    transaction's statements at this replica set from 1: a repeated one gets the stored answer.
    `commit`: commit in the same breath (this replica set is the only participant).
    Reply StillRuns: it goes on, and its end is the answer to the same request sent again.
    """

    db: str
    rs: int
    schema: int
    map_version: int
    txn: TxnId
    term: int
    number: int
    commit: bool
    steps: tuple[Step, ...]
    lock_wait_ms: int = 10_000
    back_ms: int = 0  # > 0: say with the answer what a ReadView says, so far back
    snapshot: int = 0  # of the transaction, here: steps that want to compare with it do
    bucket: int = -1  # all that it looks at or changes is in this bucket; -1: in any


class Effect(msgspec.Struct, frozen=True, array_like=True):
    """What a statement entails at other replica sets, found from its row changes.

    kind "index": rows for PutIndexKeys (deletes, inserts); "parent": LockKeys; "child": ChildKeys
    of deleted parents, "changed": of changed ones; "images": ApplyImages everywhere else
    (`changes`); "view": rows for PutViewRows (deletes: what places them, then the key; inserts
    without bucket).
    """

    kind: str
    table_id: int
    name: str = ""
    index_id: int = 0
    columns: tuple[str, ...] = ()
    deletes: list[StorageRow] = []
    rows: list[StorageRow] = []
    changes: bytes = b""


class Ran(msgspec.Struct, frozen=True, array_like=True, tag="txn.ran"):
    """`counts`: rows touched by each step; `rows`: what steps returned, in order of the steps."""

    term: int
    counts: tuple[int, ...]
    rows: list[StorageRow]
    effects: tuple[Effect, ...] = ()
    view: ReadView | None = None  # of the committed state that it ran on


class StillRuns(msgspec.Struct, frozen=True, array_like=True, tag="txn.runs"):
    """A statement that takes long is under way."""

    term: int


registry.declare_module(__name__)
