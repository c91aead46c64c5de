"""ALTER TABLE … DISTRIBUTE BY of a large table, while others write it.

1. DDL makes an empty copy, distributed as wanted. From then on every change of the table reaches
   the copy in the same transaction, as it would a materialized view.
2. The rows are copied some at a time, each time in a transaction that locks them: who changes one
   of them waits for moments. A row that is in the copy already is left alone.
3. DDL puts the copy in the place of the table; only for that writers wait.

When it fails or is cancelled the copy is dropped. One that a lost coordinator left behind is
dropped by the next DDL on its table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from data.catalog.element_ddl import key_columns, quoted
from data.catalog.materialized import rows_of_view
from data.catalog.objects import Distribution, Table
from data.exec.queries import QueryRunner
from data.exec.values import Specials
from data.exec.writes import Writer
from data.sql.ddl_build import Builder, DdlPlan, OnlineMove
from data.sql.ddl_distribute import plan_copy, plan_give_up, plan_swap
from data.sql.plan_types import OnConflict
from data.txn.locks import Mode
from protocol import trace
from protocol.errors import (
    DeadlockError,
    LockTimeoutError,
    NotLeadError,
    NotServingError,
    PeerLostError,
    PeerUnreachableError,
    StaleMapError,
    StaleSchemaError,
    TransientError,
    WorkspaceLostError,
)
from protocol.messages.sql import SelectRows
from protocol.sqltypes import StorageRow

if TYPE_CHECKING:
    from data.exec.session import Session

ROWS_ONLINE = 20_000  # a smaller table is moved in one transaction
ROWS_AT_ONCE = 500
PAUSE_S = 0.02
SWAPS_MAX = 10

RunPlan = Callable[[Callable[[Builder], str]], Awaitable[DdlPlan]]
_AGAIN = (
    DeadlockError,
    LockTimeoutError,
    NotLeadError,
    NotServingError,
    PeerLostError,
    PeerUnreachableError,
    StaleSchemaError,
    TransientError,
    WorkspaceLostError,
)


async def move_online(session: Session, move: OnlineMove, run: RunPlan) -> None:
    """Carry it out. `run`: runs DDL that a function plans. Raises GridError: nothing changed."""
    if trace.steps.listener is not None:
        trace.step("data/exec/online.py")
    made: list[Table] = []

    def make(builder: Builder) -> str:
        made.append(plan_copy(builder, move))
        return ""

    def swap(builder: Builder) -> str:
        plan_swap(builder, move, made[-1])
        return ""

    def give_up(builder: Builder) -> str:
        for copy in made:
            plan_give_up(builder, copy)
        return ""

    try:
        await run(make)
        for attempt in range(SWAPS_MAX):
            await _Filler(session, move.before, made[-1]).fill()
            try:
                await run(swap)
                return
            except TransientError:  # rows moved meanwhile, or the table was altered
                found = session.space.catalog.by_id
                if found.get(move.before.id) != move.before or attempt == SWAPS_MAX - 1:
                    raise
    except BaseException:
        await session.space.manager.finish(run(give_up))
        raise


class _Filler:
    """Copies rows of a table into its copy, as far as they are not there."""

    def __init__(self, session: Session, table: Table, copy: Table) -> None:
        self._session = session
        self._space = session.space
        self._table = table
        self._copy = copy
        self._key = key_columns(table)

    async def fill(self) -> None:
        """All rows; from the beginning when buckets have moved."""
        while True:
            places = self._space.router.places
            sets = places.replica_sets
            if self._table.distribution is Distribution.DUPLICATE:
                sets = sets[:1]
            try:
                for rs in sets:
                    await self._fill_from(rs)
            except StaleMapError:
                await self._space.router.wait_for_change(PAUSE_S)
                continue
            if self._space.router.places is places:
                return

    async def _fill_from(self, rs: int) -> None:
        last: StorageRow | None = None
        while True:
            try:
                last = await self._copy_some(rs, last)
            except _AGAIN:
                if self._space.catalog.by_id.get(self._copy.id) != self._copy:
                    raise  # other DDL has dropped it
                await self._space.router.wait_for_change(PAUSE_S)
                continue
            if last is None:
                return

    async def _copy_some(self, rs: int, last: StorageRow | None) -> StorageRow | None:
        """The rows after key `last`; the last of them, None at the end."""
        space = self._space
        width = len(self._key)
        runner_txn = space.manager.begin(self._session.lock_wait_ms)
        try:
            queries = QueryRunner(space, Specials(self._session), runner_txn)
            step = SelectRows(
                self._sql(last), last or (), ((self._table.id, 0, width),), mode=Mode.SHARED
            )
            ran = await space.manager.run(
                runner_txn, rs, (step,), space.schema_version, places=queries.places
            )
            if ran.rows:
                rows = [tuple(row[width:]) for row in ran.rows]
                writer = Writer(space, runner_txn, queries, None)
                await writer.insert_rows(self._copy, rows, on_conflict=OnConflict("nothing"))
        except BaseException:
            await space.manager.finish(space.manager.roll_back(runner_txn))
            raise
        await space.manager.finish(space.manager.commit(runner_txn))
        return tuple(ran.rows[-1][:width]) if ran.rows else None

    def _sql(self, last: StorageRow | None) -> str:
        """Keys and rows of the copy, in the order of the keys."""
        key = ", ".join(quoted(name) for name in self._key)
        after = ""
        if last is not None:
            marks = ", ".join(f"?{n}" for n in range(1, len(last) + 1))
            after = f"({key}) > ({marks})"
        rows = rows_of_view(self._copy, self._table, after)
        return f"SELECT {key}, {rows.removeprefix('SELECT ')} ORDER BY {key} LIMIT {ROWS_AT_ONCE}"
