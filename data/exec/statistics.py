"""Statistics for the planner (ttOptUpdateStats, ANALYZE): gathered at all leads.

They are kept in the catalog. Each lead counts its own rows, NULLs and different values; the
coordinator puts them together. Rows are in one replica set each, so counts add up. Different values
do where nearly each row has its own, or where the column alone says which replica set a row is in;
else the same values are everywhere, and the largest count is taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from data.catalog.catalog import Catalog, CatalogChange, CatalogRow, counter_row, row_of
from data.catalog.element_ddl import quoted, table_name
from data.catalog.objects import Column, ColumnStats, Distribution, Table, TableStats
from data.exec.queries import QueryRunner
from data.exec.reads import Target
from data.exec.router import MAYBE_DONE, NOTHING_DONE
from data.exec.values import Specials
from data.sql.convert import text_of
from data.txn.deadlines import FAILOVER_WAIT_S
from protocol.clock import boottime_s, wall_us
from protocol.errors import PrivilegeError, StaleMapError, StaleSchemaError
from protocol.messages.sql import LockTable
from protocol.sqltypes import BYTES_KINDS, Kind, StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.session import Session

OWN_VALUES = 0.5  # of the rows: a column with so many different values has them nowhere twice
TEXT_CHARS_MAX = 64  # of the extremes that are kept
_WIDE = BYTES_KINDS | {Kind.CLOB, Kind.JSON}
_RETRY_S = 0.02


async def update(session: Session, names: Sequence[str]) -> None:
    """Take statistics of these tables ([SCHEMA.]NAME); none named: all the user's own.

    Raises UnknownTableError, PrivilegeError.
    """
    catalog = session.space.catalog
    found: list[TableStats] = []
    for table in _tables(session, names):
        found.append(await _of_table(session, table, catalog))
    await _store(session, found, ())


async def clear(session: Session, names: Sequence[str]) -> None:
    """Forget them. Raises UnknownTableError, PrivilegeError."""
    await _store(session, (), [t.id for t in _tables(session, names)])


def _tables(session: Session, names: Sequence[str]) -> list[Table]:
    catalog = session.space.catalog
    if not names:
        own = [t for t in catalog.tables() if t.schema == session.user and not t.system]
        return [t for t in own if not t.temporary]
    found = []
    for name in names:
        relation = catalog.resolve(session.schema, tuple(name.split(".")))
        if not isinstance(relation, Table):
            raise PrivilegeError(f"{name.lower()} is no table: it has no statistics")
        may = catalog.has_system_privilege(session.user, "ALTER ANY TABLE")
        if relation.schema != session.user and not may:
            raise PrivilegeError(
                f"statistics of {name.lower()} are its owner's business",
                hint="Its owner runs it, or somebody with ALTER ANY TABLE.",
            )
        if not relation.temporary:  # its rows are each session's own
            found.append(relation)
    return found


# -- gathering -------------------------------------------------------------------------------------
async def _of_table(session: Session, table: Table, catalog: Catalog) -> TableStats:
    columns = [c for c in table.columns if c.type.kind not in _WIDE]
    parts = ["count(*)"]
    for column in columns:
        name = quoted(column.name)
        parts += [f"count({name})", f"count(DISTINCT {name})", f"min({name})", f"max({name})"]
    sql = f"SELECT {', '.join(parts)} FROM {quoted(table_name(table))}"
    rows = await _of_leads(session, table, sql)
    known = catalog.stats.get(table.id)
    return TableStats(
        id=known.id if known is not None else 0,
        table_id=table.id,
        rows=sum(_count(row[0]) for row in rows),
        taken_us=wall_us(),
        columns=tuple(
            column_stats(
                column,
                [(row[0], *row[1 + 4 * n : 5 + 4 * n]) for row in rows],
                table.distribution_key == (column.name,),
            )
            for n, column in enumerate(columns)
        ),
    )


async def _of_leads(session: Session, table: Table, sql: str) -> list[StorageRow]:
    """The one row that each replica set says; where the lead changes, the next one is asked."""
    space = session.space
    deadline_s = boottime_s() + FAILOVER_WAIT_S
    while True:
        runner = QueryRunner(space, Specials(session), None)
        sets: Iterable[int] = runner.places.replica_sets
        if table.distribution is Distribution.DUPLICATE:
            sets = list(sets)[:1]
        reads = [runner.read_rows(Target(rs), sql, ()) for rs in sets]
        try:
            return [found[0] for found in await asyncio.gather(*reads)]
        except (*NOTHING_DONE, *MAYBE_DONE, StaleMapError):
            if boottime_s() > deadline_s:
                raise
        await space.router.wait_for_change(_RETRY_S)


def column_stats(column: Column, sets: Sequence[StorageRow], decides: bool) -> ColumnStats:
    """Put together what each replica set says: rows, values, different values, min, max.

    decides: equal values are in one replica set.
    """
    rows = sum(_count(s[0]) for s in sets)
    values = sum(_count(s[1]) for s in sets)
    own = decides or any(_count(s[2]) > OWN_VALUES * max(_count(s[1]), 1) for s in sets)
    counts = [_count(s[2]) for s in sets]
    lows = [_cut(s[3]) for s in sets if s[3] is not None]
    highs = [_cut(s[4]) for s in sets if s[4] is not None]
    low = min(lows, default=None)  # type: ignore[type-var]
    high = max(highs, default=None)  # type: ignore[type-var]
    shown = text_of(column.type)
    return ColumnStats(
        column.name,
        sum(counts) if own else max(counts, default=0),
        0.0 if not rows else (rows - values) / rows,
        low,
        high,
        "" if low is None else shown(low),
        "" if high is None else shown(high),
    )


def _count(value: StorageValue) -> int:
    assert isinstance(value, int)
    return value


def _cut(value: StorageValue) -> int | float | str | None:
    if isinstance(value, str):
        return value[:TEXT_CHARS_MAX]
    return value if isinstance(value, int | float) else None


# -- keeping ---------------------------------------------------------------------------------------
async def _store(session: Session, found: Sequence[TableStats], forget: Sequence[int]) -> None:
    """As a change of the catalog: plans are made anew on all data instances."""
    space = session.space
    manager = space.manager
    deadline_s = boottime_s() + FAILOVER_WAIT_S + session.lock_wait_ms / 1000
    while True:
        txn = manager.begin(session.lock_wait_ms)
        try:
            for rs in space.router.places.replica_sets:  # in this order everywhere, as DDL does
                await manager.run(txn, rs, (LockTable(0),), space.schema_version)
            change = _change(space.catalog, found, forget)
        except (StaleSchemaError, StaleMapError):
            await manager.finish(manager.roll_back(txn))
            if boottime_s() > deadline_s:
                raise
            await space.router.wait_for_change(_RETRY_S)
            continue
        except BaseException:
            await manager.finish(manager.roll_back(txn))
            raise
        await manager.finish(manager.commit(txn, change.encode()))
        break
    while space.schema_version < change.version and boottime_s() < deadline_s:
        await space.router.wait_for_change(_RETRY_S)


def _change(catalog: Catalog, found: Sequence[TableStats], forget: Sequence[int]) -> CatalogChange:
    """What to write; statistics of tables that are gone go with it."""
    next_id = catalog.next_id
    puts: list[CatalogRow] = []
    for stats in found:
        known = catalog.stats.get(stats.table_id)
        number = known.id if known is not None else next_id
        next_id += known is None
        puts.append(row_of(TableStats(number, *_rest(stats))))
    deletes = [
        ("stats", s.id)
        for s in catalog.stats.values()
        if s.table_id in forget or s.table_id not in catalog.by_id
    ]
    if next_id != catalog.next_id:
        puts.append(counter_row(next_id))
    return CatalogChange(catalog.version + 1, tuple(puts), tuple(deletes))


def _rest(stats: TableStats) -> tuple[int, int, int, tuple[ColumnStats, ...]]:
    return stats.table_id, stats.rows, stats.taken_us, stats.columns
