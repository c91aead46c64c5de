"""Bound query → QueryPlan: single, co-located or general. Pure.

The general plan is always right: every distributed table's needed rows come to the coordinator and
the query runs there. The others are taken when placement proves that they give the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import has_bucket, key_columns
from data.sql.index_only import read_entries
from data.sql.ir import (
    ColumnExpr,
    Item,
    Lock,
    OrderItem,
    Query,
    Select,
    SetColumn,
    SetOp,
    Source,
    SpecialExpr,
    all_queries,
    all_sources,
    deep_exprs,
)
from data.sql.operators import call
from data.sql.parse import refuse
from data.sql.placement import (
    Placement,
    block_route,
    covers,
    reads_no_parts,
    windows_local,
)
from data.sql.plan_cost import Costs
from data.sql.plan_general import GeneralPlanner, lock_table
from data.sql.plan_merge import Merge, cannot_merge
from data.sql.plan_rewrite import factor_conditions, table_ids
from data.sql.plan_ship import hoist_scalars, ship
from data.sql.plan_types import (
    ROUTE_ALL,
    ROUTE_EVERYWHERE,
    ROUTE_HERE,
    ROUTE_LOCAL,
    Fragment,
    Gather,
    Locking,
    LockTable,
    QueryPlan,
    ResultColumn,
    Route,
)
from data.sql.printer import Printer
from data.sql.scope import Statement, shown
from protocol.sqltypes import BIGINT, SqlType

Columns = tuple[tuple[str, SqlType], ...]
SOURCES_SHIPPED_MAX = 20  # of a query for which it is tried: it takes a walk per table


class Planner:
    """Plans one query of one statement."""

    def __init__(
        self, catalog: Catalog, statement: Statement, numbers: Iterator[int] | None = None
    ) -> None:
        self.catalog = catalog
        self.statement = statement
        self.placement = Placement(catalog)
        self.costs = Costs(catalog)
        self.reasons: list[str] = []
        self._numbers = count() if numbers is None else numbers  # of what runs before the plan
        self._cut: Fragment | None = None  # LIMIT and OFFSET of a query that skips locked rows

    # -- entry -------------------------------------------------------------------------------------
    def plan(self, query: Query, *, ships: bool = False) -> QueryPlan:
        """The plan of a top-level query. Raises NotSupportedError.

        ships: small tables may be sent to the rows of large ones. The tree is not to be used again.
        """
        self._check_sequences(query)
        factor_conditions(query)
        self._cut = _take_cut(query)
        if any(s.table is not None and s.table.temporary for s in all_sources(query)):
            return GeneralPlanner(self, query).plan()
        hint = self.statement.hints.get("TT_GRIDQUERYEXEC")
        if hint is None:
            read_entries(query)
        if hint == "LOCAL":
            return self._whole(query, ROUTE_HERE)
        if reads_no_parts(query) and (hint is None or query.lock is not None):
            return self._whole(query, ROUTE_LOCAL)
        force = ROUTE_EVERYWHERE if hint is not None else None
        plan = self._co_located(query, force)
        if plan is not None:
            return plan
        tables = table_ids(query)
        firsts = hoist_scalars(self, query) if force is None else ()
        self.placement = Placement(self.catalog)  # it remembers what it saw before
        plan = self._co_located(query, None) if firsts else None
        if plan is None:
            plan = GeneralPlanner(self, query).plan()
            plan = replace(plan, firsts=firsts, tables=tables)
            few = sum(1 for _ in all_sources(query)) <= SOURCES_SHIPPED_MAX
            if ships and few and force is None and plan.locking is None:
                return self._with_shipped(query, plan)
            return plan
        return replace(plan, firsts=firsts, tables=tables)

    def _with_shipped(self, query: Query, general: QueryPlan) -> QueryPlan:
        """The co-located plan with small tables sent to all elements, if there is one."""
        shipped = ship(self, query)
        if not shipped or reads_no_parts(query):
            return general
        again = Planner(self.catalog, self.statement, self._numbers)
        plan = again._co_located(query, None)
        if plan is None:
            return general
        return replace(
            plan,
            kind="co-located",
            firsts=general.firsts + shipped,
            tables=general.tables,
            reasons=general.reasons,
            otherwise=general,
        )

    def nested(self) -> Planner:
        """For a query inside this one: it runs before, or as a part of the plan."""
        return Planner(self.catalog, self.statement, self._numbers)

    def merged(self, query: Query) -> QueryPlan | None:
        """The plan of an inner query, if its rows are made where they are and put together."""
        return self.nested()._co_located(query, None)

    def next_number(self) -> int:
        """For a value or rows that are known before the plan runs."""
        return next(self._numbers)

    def _check_sequences(self, query: Query) -> None:
        if not self.statement.draws_sequence:
            return
        drawn = any(
            isinstance(e, SpecialExpr) and e.special.name == "nextval" for e in deep_exprs(query)
        )
        if drawn and any(s.kind != "dual" for s in all_sources(query)):
            raise refuse("NEXTVAL in a query over tables")

    def result_columns(self, query: Query) -> tuple[ResultColumn, ...]:
        """What the client is told of the columns."""
        return tuple(
            ResultColumn(shown(i.name), i.expr.type, i.table_id, i.column_number)
            for i in query.items
        )

    def finish(
        self,
        query: Query,
        kind: str,
        gathers: tuple[Gather, ...],
        final: Fragment | None,
        locking: Locking | None = None,
    ) -> QueryPlan:
        """A plan with what is known of the query."""
        return QueryPlan(
            kind=kind,  # type: ignore[arg-type]
            gathers=gathers,
            final=final,
            columns=self.result_columns(query),
            locking=locking,
            tables=table_ids(query),
            reasons=tuple(dict.fromkeys(self.reasons)),
        )

    # -- single ------------------------------------------------------------------------------------
    def _whole(self, query: Query, route: Route) -> QueryPlan:
        """The whole query as one fragment."""
        locking = None
        visible = self.result_columns(query)
        if query.lock is not None:
            locking = self._add_locks(query)
        printer = Printer()
        fragment = printer.fragment(printer.query(query))
        gather = Gather("g1", fragment, route, _columns(query), tables=table_ids(query))
        plan = self.finish(query, "single", (gather,), None, locking)
        if locking is not None:
            return QueryPlan("single", (gather,), None, visible, locking, plan.tables, plan.reasons)
        return plan

    # -- co-located --------------------------------------------------------------------------------
    def _co_located(self, query: Query, force: Route | None) -> QueryPlan | None:
        if isinstance(query, SetOp):
            return self._set_operation(query, force)
        if not isinstance(query, Select):
            return None
        if query.ctes and not all(c.query and reads_no_parts(c.query) for c in query.ctes):
            self.reasons.append("a recursive query reads a distributed table")
            return None
        place = self.placement.block(query)
        if not place.ok:
            self.reasons.append(place.reason)
            return None
        route = force or block_route(self.catalog, place) or ROUTE_ALL
        if place.one and force is None:
            route = ROUTE_LOCAL
        if _is_single(route):
            if query.grouped and not query.group:
                route = _always(route)
            return self._whole(query, route)
        if route.kind == "all" and not place.one:
            self.reasons.append("no condition fixes the distribution key")
        if query.windowed and not windows_local(query, place):
            self.reasons.append("a window is not partitioned by the distribution key")
            return None
        if query.grouped and not covers(query.group, place):
            return self._partial_groups(query, route)
        if not (query.order or query.distinct or query.row_limit or query.limit or query.offset):
            plan = self._whole(query, route)
            return _as_kind(plan, "co-located")
        return self._sorted(query, route)

    def _set_operation(self, query: SetOp, force: Route | None) -> QueryPlan | None:
        bare = SetOp(op=query.op, left=query.left, right=query.right, ctes=query.ctes)
        bare.items = query.items
        place = self.placement.derived_place(bare)
        route = force or ROUTE_ALL
        if not place.ok:
            if query.op != "UNION" or not all(self._parts_only(q) for q in _operands(query)):
                self.reasons.append(place.reason)
                return None
        elif place.one and force is None:
            return self._whole(query, ROUTE_LOCAL)
        merges = query.op == "UNION" and not place.locators
        if not (merges or query.order or query.limit or query.offset):
            return _as_kind(self._whole(query, route), "co-located")
        names = [f"C{i}" for i in range(len(query.items))]
        printer = Printer()
        fragment = printer.fragment(printer.query(bare, names))
        columns = tuple((n, i.expr.type) for n, i in zip(names, query.items, strict=True))
        source = Source("g", "G", "gather", list(columns))
        final = Select(sources=[source], distinct=merges)
        final.items = [
            Item(i.name, ColumnExpr(source, n, i.expr.type), i.table_id, i.column_number)
            for n, i in zip(names, query.items, strict=True)
        ]
        for order in query.order:
            assert isinstance(order.expr, SetColumn)
            expr = final.items[order.expr.position].expr
            final.order.append(OrderItem(expr, order.descending, order.nulls_first))
        final.limit, final.offset = query.limit, query.offset
        gather = Gather("g1", fragment, route, columns, tables=table_ids(query))
        return self.finish(query, "co-located", (gather,), _final(final, source, "g1"))

    def _parts_only(self, query: Query) -> bool:
        """May its rows be gathered from every place, duplicates being no harm (UNION)?"""
        place = self.placement.derived_place(query)
        return place.ok

    def _sorted(self, query: Select, route: Route) -> QueryPlan:
        """Rows are sorted, made distinct and cut at every place, then once more here."""
        visible = len(query.items)
        items = list(query.items)
        keys = [i.expr.key() for i in items]
        order_places: list[int] = []
        for order in query.order:
            key = order.expr.key()
            if key not in keys:
                items.append(Item("", order.expr))
                keys.append(key)
            order_places.append(keys.index(key))
        shown_items = len(items)
        locking = self._add_locks(query, items) if query.lock is not None else None
        partial = Select(
            sources=query.sources,
            where=query.where,
            group=query.group,
            grouped=query.grouped,
            having=query.having,
            distinct=query.distinct,
            row_limit=query.row_limit,
            windowed=query.windowed,
            items=items,
            ctes=query.ctes,
        )
        if query.limit is not None:
            partial.order = query.order
            partial.limit = query.limit
            if query.offset is not None:
                partial.limit = call("({0} + {1})", query.limit, query.offset, type_=BIGINT)
        names = [f"C{i}" for i in range(len(items))]
        printer = Printer()
        fragment = printer.fragment(printer.query(partial, names))
        columns = tuple((n, i.expr.type) for n, i in zip(names, items, strict=True))
        source = Source("g", "G", "gather", list(columns))
        final = Select(sources=[source], distinct=query.distinct, row_limit=query.row_limit)
        final.items = [
            Item(i.name, ColumnExpr(source, n, i.expr.type), i.table_id, i.column_number)
            for n, i in zip(names[:visible], items[:visible], strict=True)
        ]
        columns_of_result = self.result_columns(final)
        if locking is not None:  # the keys to lock come last, behind what is only sorted by
            final.items += [
                Item("", ColumnExpr(source, n, i.expr.type))
                for n, i in zip(names[shown_items:], items[shown_items:], strict=True)
            ]
            locking = _moved(locking, visible - shown_items, visible)
        for place, order in zip(order_places, query.order, strict=True):
            expr = ColumnExpr(source, names[place], order.expr.type)
            final.order.append(OrderItem(expr, order.descending, order.nulls_first))
        final.limit, final.offset = query.limit, query.offset
        gather = Gather(
            "g1",
            fragment,
            route,
            columns,
            tables=table_ids(query),
            ordered_limit=query.limit is not None,
        )
        plan = self.finish(query, "co-located", (gather,), _final(final, source, "g1"), locking)
        return replace(plan, columns=columns_of_result)

    def _partial_groups(self, query: Select, route: Route) -> QueryPlan | None:
        """Partial aggregates at every place, merged here."""
        refusal = cannot_merge(query)
        if refusal:
            self.reasons.append(refusal)
            return None
        merge = Merge(query)
        partial = Select(
            sources=query.sources,
            where=query.where,
            group=merge.group,
            grouped=True,
            items=merge.items,
            ctes=query.ctes,
        )
        names = [i.name for i in merge.items]
        printer = Printer()
        fragment = printer.fragment(printer.query(partial, names))
        columns = tuple((i.name, i.expr.type) for i in merge.items)
        final = merge.final()
        gather = Gather("g1", fragment, route, columns, tables=table_ids(query))
        return self.finish(query, "co-located", (gather,), _final(final, merge.source, "g1"))

    # -- FOR UPDATE --------------------------------------------------------------------------------
    def locked_sources(self, query: Query) -> list[Source]:
        """The tables whose rows FOR UPDATE locks. Raises NotSupportedError."""
        if not isinstance(query, Select) or query.grouped or query.distinct:
            raise refuse("FOR UPDATE with grouping, DISTINCT or set operations")
        assert query.lock is not None
        tables = [s for s in query.sources if s.kind == "table"]
        if any(s.table is not None and s.table.temporary for s in tables):
            raise refuse("FOR UPDATE of a temporary table")
        if query.lock.names:
            names = query.lock.names  # of tables, or of columns as in Oracle
            tables = [
                s for s in tables if s.name in names or any(s.type_of(n) is not None for n in names)
            ]
        if not tables:
            raise refuse("FOR UPDATE of anything but tables")
        for source in tables:
            if source.table is not None and query.lock.strength.endswith("update"):
                self.statement.check_privilege(source.table, "UPDATE")
        return tables

    def _add_locks(self, query: Query, items: list[Item] | None = None) -> Locking:
        """Append the keys of the rows to lock to the items."""
        assert query.lock is not None
        visible = len(query.items)
        items = query.items if items is None else items
        locks: list[LockTable] = []
        for source in self.locked_sources(query):
            table = source.table
            assert table is not None
            keys, bucket = key_columns(table), has_bucket(table)
            locks.append(lock_table(source, len(items)))
            types = {c.name: c.type for c in table.columns}
            for key in (*keys, *(("_BUCKET",) if bucket else ())):
                items.append(Item("", ColumnExpr(source, key, types.get(key, BIGINT))))
        return self.locking(query.lock, tuple(locks), visible)

    def locking(self, lock: Lock, tables: tuple[LockTable, ...], visible: int) -> Locking:
        """The clause with the places of the keys."""
        return Locking(
            tables,
            visible,
            lock.wait,  # type: ignore[arg-type]
            lock.wait_s,
            lock.strength,
            self._cut,
        )


def _moved(locking: Locking, by: int, visible: int) -> Locking:
    tables = [replace(t, first_column=t.first_column + by) for t in locking.tables]
    return replace(locking, tables=tuple(tables), visible=visible)


def _take_cut(query: Query) -> Fragment | None:
    """Take LIMIT and OFFSET out of a query that skips locked rows: they count the others only."""
    if query.lock is None or query.lock.wait != "skip":
        return None
    if isinstance(query, Select) and query.row_limit is not None:
        raise refuse("SKIP LOCKED with ROWNUM or FIRST")
    if query.limit is None and query.offset is None:
        return None
    printer = Printer()
    limit = "-1" if query.limit is None else f"max({printer.expr(query.limit)}, 0)"
    offset = "0" if query.offset is None else f"max({printer.expr(query.offset)}, 0)"
    query.limit = query.offset = None
    return printer.fragment(f"SELECT {limit}, {offset}")


def _is_single(route: Route) -> bool:
    if route.kind == "global_index":
        return not route.many
    return route.kind in ("local", "here") or (route.kind == "keys" and len(route.keys) == 1)


def _always(route: Route) -> Route:
    """The same for a query that gives a row whatever its key is: an aggregate of all rows."""
    lookup = route.lookup
    if lookup is not None:
        lookup = replace(lookup, sql=f"SELECT coalesce(({lookup.sql}), 0)")
    return replace(route, always=True, lookup=lookup)


def _as_kind(plan: QueryPlan, kind: str) -> QueryPlan:
    return replace(plan, kind=kind)  # type: ignore[arg-type]


def _columns(query: Query) -> Columns:
    return tuple((f"C{n}", i.expr.type) for n, i in enumerate(query.items))


def _final(final: Select, source: Source, name: str) -> Fragment:
    printer = Printer({id(source): name})
    return printer.fragment(printer.query(final))


def _operands(query: SetOp) -> list[Query]:
    return [query.left, query.right]


__all__ = ["Planner", "all_queries", "table_ids"]
