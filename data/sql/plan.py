"""Bound query → QueryPlan: single, co-located or general. Pure.

The general plan is always right: every distributed table's needed rows come to the coordinator and
the query runs there. The others are taken when placement proves that they give the same answer.
"""

from __future__ import annotations

from dataclasses import replace

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import has_bucket, key_columns, quoted, table_name
from data.catalog.objects import Distribution
from data.sql.ir import (
    Agg,
    Call,
    ColumnExpr,
    ConstExpr,
    Expr,
    Item,
    Lock,
    OrderItem,
    ParamExpr,
    Query,
    Select,
    SetColumn,
    SetOp,
    Source,
    SpecialExpr,
    SubqueryExpr,
    WindowExpr,
    all_queries,
    all_sources,
    deep_exprs,
    transform,
    walk,
)
from data.sql.operators import call
from data.sql.parse import refuse
from data.sql.placement import (
    Classes,
    Place,
    Placement,
    block_route,
    covers,
    reads_no_parts,
    windows_local,
)
from data.sql.plan_types import (
    ROUTE_ALL,
    ROUTE_EVERYWHERE,
    ROUTE_HERE,
    ROUTE_LOCAL,
    ROUTE_SESSION,
    Fragment,
    Gather,
    Locking,
    LockTable,
    QueryPlan,
    ResultColumn,
    Route,
)
from data.sql.printer import Printer, is_decimal_text
from data.sql.scope import PSEUDO_COLUMNS, Statement, shown
from protocol.sqltypes import BIGINT, SqlType

Columns = tuple[tuple[str, SqlType], ...]

_LOCK_COLUMN = "_LOCK"  # and a number: a key column of rows to be locked


class Planner:
    """Plans the queries of one statement."""

    def __init__(self, catalog: Catalog, statement: Statement) -> None:
        self.catalog = catalog
        self.statement = statement
        self.placement = Placement(catalog)
        self.reasons: list[str] = []
        self.gathers: list[Gather] = []
        self._cut: Fragment | None = None  # LIMIT and OFFSET of a query that skips locked rows

    # -- entry -------------------------------------------------------------------------------------
    def plan(self, query: Query) -> QueryPlan:
        """The plan of a top-level query. Raises NotSupportedError."""
        self._check_sequences(query)
        self._cut = _take_cut(query)
        if any(s.table is not None and s.table.temporary for s in all_sources(query)):
            return self._general(query)
        hint = self.statement.hints.get("TT_GRIDQUERYEXEC")
        if hint == "LOCAL":
            return self._whole(query, ROUTE_HERE)
        if reads_no_parts(query) and (hint is None or query.lock is not None):
            return self._whole(query, ROUTE_LOCAL)
        force = ROUTE_EVERYWHERE if hint is not None else None
        plan = self._co_located(query, force)
        if plan is None:
            plan = self._general(query)
        return plan

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

    def _finish(
        self,
        query: Query,
        kind: str,
        gathers: tuple[Gather, ...],
        final: Fragment | None,
        locking: Locking | None = None,
    ) -> QueryPlan:
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
        plan = self._finish(query, "single", (gather,), None, locking)
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
        return self._finish(query, "co-located", (gather,), _final(final, source, "g1"))

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
        plan = self._finish(query, "co-located", (gather,), _final(final, source, "g1"), locking)
        return replace(plan, columns=columns_of_result)

    def _partial_groups(self, query: Select, route: Route) -> QueryPlan | None:
        """Partial aggregates at every place, merged here."""
        refusal = _cannot_merge(query)
        if refusal:
            self.reasons.append(refusal)
            return None
        merge = _Merge(query)
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
        return self._finish(query, "co-located", (gather,), _final(final, merge.source, "g1"))

    # -- general -----------------------------------------------------------------------------------
    def _general(self, query: Query) -> QueryPlan:
        """Base tables, or derived tables that run where their rows are, are gathered."""
        gathered: dict[int, str] = {}
        locked = self._locked_sources(query) if query.lock is not None else []
        locks: list[LockTable] = []
        hidden: list[Item] = []  # the keys to lock, behind the visible items
        for part in _blocks(query, self.placement, gathered):
            for source in part.sources:
                if id(source) in gathered or source.kind not in ("table", "query"):
                    continue
                if source.kind == "query" and not self._gatherable(source):
                    continue
                name = f"g{len(self.gathers) + 1}"
                gathered[id(source)] = name
                if source.kind == "query":
                    self._gather_derived(source, name)
                    continue
                is_locked = source in locked
                gather = self._gather_table(source, part, name, lock=is_locked)
                self.gathers.append(gather)
                if is_locked:
                    locks.append(_lock_table(source, len(query.items) + len(hidden)))
                    hidden += [
                        Item("", ColumnExpr(source, column, kind))
                        for column, kind in gather.columns
                        if column.startswith(_LOCK_COLUMN)
                    ]
        printer = Printer(gathered)
        columns_of_result = self.result_columns(query)
        lock_clause, query.lock = query.lock, None
        locking = None
        if lock_clause is not None:
            locking = self._locking(lock_clause, tuple(locks), len(query.items))
            for item in hidden:
                query.items.append(item)
        final = printer.fragment(printer.query(query))
        plan = self._finish(query, "general", tuple(self.gathers), final, locking)
        return replace(plan, columns=columns_of_result)

    def _gatherable(self, source: Source) -> bool:
        """A derived table whose rows are made where they are: its answer is the union of places."""
        assert source.query is not None
        if source.lateral or reads_no_parts(source.query):
            return False
        if _refers_out(source.query):
            return False
        return self.placement.source_place(source).ok

    def _gather_derived(self, source: Source, name: str) -> None:
        assert source.query is not None
        route = ROUTE_ALL
        if isinstance(source.query, Select):
            place = self.placement.block(source.query)
            route = block_route(self.catalog, place) or ROUTE_ALL
        printer = Printer()
        names = [n for n, _ in source.columns]
        fragment = printer.fragment(printer.query(source.query, names))
        self.gathers.append(
            Gather(name, fragment, route, tuple(source.columns), tables=table_ids(source.query))
        )

    def _gather_table(self, source: Source, block: Select, name: str, *, lock: bool) -> Gather:
        table = source.table
        assert table is not None
        conditions = _own_conditions(source, block)
        printer = Printer()
        columns: list[tuple[str, SqlType]] = []
        texts: list[str] = []
        for column in table.columns:
            if column.name in source.used:
                columns.append((column.name, column.type))
                texts.append(f"{source.alias}.{quoted(column.name)}")
        for pseudo, (text, _) in PSEUDO_COLUMNS.items():
            if pseudo in source.used:
                columns.append((pseudo, BIGINT))
                texts.append(f"{text} AS {quoted(pseudo)}")
        for hidden in ("_ROWKEY", "_BUCKET"):
            if hidden in source.used:
                columns.append((hidden, BIGINT))
                texts.append(f"{source.alias}.{quoted(hidden)}")
        if lock:
            types = {c.name: c.type for c in table.columns}
            for key in (*key_columns(table), *(("_BUCKET",) if has_bucket(table) else ())):
                columns.append((f"{_LOCK_COLUMN}{len(columns)}", types.get(key, BIGINT)))
                texts.append(f"{source.alias}.{quoted(key)}")
        if not columns:
            columns.append(("_ONE", BIGINT))
            texts.append("1")
        where = " AND ".join(printer.expr(c) for c in conditions)
        sql = f"SELECT {', '.join(texts)} FROM {quoted(table_name(table))} AS {source.alias}"
        if where:
            sql += f" WHERE {where}"
        classes = Classes()
        for condition in conditions:
            classes.add(condition)
        if table.temporary:
            route = ROUTE_SESSION
        elif table.distribution is Distribution.DUPLICATE:
            route = ROUTE_LOCAL
        else:
            own = self.placement.source_place(source)
            place = Place(ok=True, classes=classes, locators=own.locators)
            route = block_route(self.catalog, place) or ROUTE_ALL
        return Gather(name, printer.fragment(sql), route, tuple(columns), tables=(table.id,))

    # -- FOR UPDATE --------------------------------------------------------------------------------
    def _locked_sources(self, query: Query) -> list[Source]:
        if not isinstance(query, Select) or query.grouped or query.distinct:
            raise refuse("FOR UPDATE with grouping, DISTINCT or set operations")
        assert query.lock is not None
        tables = [s for s in query.sources if s.kind == "table"]
        if any(s.table is not None and s.table.temporary for s in tables):
            raise refuse("FOR UPDATE of a temporary table")
        if query.lock.names:
            tables = [s for s in tables if s.name in query.lock.names]
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
        for source in self._locked_sources(query):
            table = source.table
            assert table is not None
            keys, bucket = key_columns(table), has_bucket(table)
            locks.append(_lock_table(source, len(items)))
            types = {c.name: c.type for c in table.columns}
            for key in (*keys, *(("_BUCKET",) if bucket else ())):
                items.append(Item("", ColumnExpr(source, key, types.get(key, BIGINT))))
        return self._locking(query.lock, tuple(locks), visible)

    def _locking(self, lock: Lock, tables: tuple[LockTable, ...], visible: int) -> Locking:
        return Locking(
            tables,
            visible,
            lock.wait,  # type: ignore[arg-type]
            lock.wait_s,
            lock.strength,
            self._cut,
        )


def _lock_table(source: Source, first_column: int) -> LockTable:
    table = source.table
    assert table is not None
    return LockTable(table.id, first_column, len(key_columns(table)), has_bucket(table))


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
    return route.kind in ("local", "here", "global_index") or (
        route.kind == "keys" and len(route.keys) == 1
    )


def _always(route: Route) -> Route:
    """The same for a query that gives a row whatever its key is: an aggregate of all rows."""
    lookup = route.lookup
    if lookup is not None:
        lookup = replace(lookup, sql=f"SELECT coalesce(({lookup.sql}), 0)")
    return replace(route, always=True, lookup=lookup)


def _as_kind(plan: QueryPlan, kind: str) -> QueryPlan:
    return QueryPlan(
        kind,  # type: ignore[arg-type]
        plan.gathers,
        plan.final,
        plan.columns,
        plan.locking,
        plan.tables,
        plan.reasons,
        plan.scalars,
    )


def _columns(query: Query) -> Columns:
    return tuple((f"C{n}", i.expr.type) for n, i in enumerate(query.items))


def _final(final: Select, source: Source, name: str) -> Fragment:
    printer = Printer({id(source): name})
    return printer.fragment(printer.query(final))


def _operands(query: SetOp) -> list[Query]:
    return [query.left, query.right]


def table_ids(query: Query) -> tuple[int, ...]:
    """Ids of the tables a query reads, in order."""
    return tuple(dict.fromkeys(s.table.id for s in all_sources(query) if s.table is not None))


def _blocks(query: Query, placement: Placement, gathered: dict[int, str]) -> list[Select]:
    """Every SELECT whose sources have to be gathered: not those inside gathered derived tables."""
    found: list[Select] = []

    def visit(part: Query) -> None:
        for cte in part.ctes:
            if cte.query is not None:
                visit(cte.query)
        if isinstance(part, SetOp):
            visit(part.left)
            visit(part.right)
        if isinstance(part, Select):
            found.append(part)
            for source in part.sources:
                if source.query is None:
                    continue
                whole = (
                    not source.lateral
                    and not reads_no_parts(source.query)
                    and not _refers_out(source.query)
                    and placement.source_place(source).ok
                )
                if not whole:
                    visit(source.query)
        from data.sql.ir import subqueries

        for sub in subqueries(part):
            visit(sub.query)

    visit(query)
    del gathered
    return found


def _refers_out(query: Query) -> bool:
    """Does it refer to sources outside itself (correlation, recursive CTEs)?"""
    inside = {id(s) for s in all_sources(query)}
    if any(s.kind == "cte" for s in all_sources(query)):
        return True
    return any(isinstance(e, ColumnExpr) and id(e.source) not in inside for e in deep_exprs(query))


def _own_conditions(source: Source, block: Select) -> list[Expr]:
    """Conjuncts that concern only `source` and may be applied before the joins."""
    if any(s.join in ("right", "full") for s in block.sources):
        return []
    candidates: list[Expr] = list(source.on)
    if source.join != "left":
        candidates += block.where
        for other in block.sources:
            if other.join == "inner" and other is not source:
                candidates += other.on
    own: list[Expr] = []
    for condition in candidates:
        nodes = list(walk(condition))
        if any(isinstance(n, SubqueryExpr | Agg | WindowExpr) for n in nodes):
            continue
        if any(isinstance(n, Call) and n.volatile for n in nodes):
            continue
        columns = [n for n in nodes if isinstance(n, ColumnExpr)]
        if columns and all(c.source is source for c in columns):
            own.append(condition)
    return own


# -- merging partial aggregates --------------------------------------------------------------------
def _cannot_merge(query: Select) -> str:
    """Why the groups cannot be made of partial groups; "" if they can."""
    tops = [i.expr for i in query.items] + [o.expr for o in query.order] + query.having
    if query.row_limit is not None:
        return "ROWNUM cuts rows before they are grouped"
    for top in tops:
        for expr in walk(top):
            if isinstance(expr, SubqueryExpr):
                return "a subquery stands beside aggregates"
            if isinstance(expr, WindowExpr):
                return "a window stands over aggregates"
            if not isinstance(expr, Agg):
                continue
            if expr.distinct:
                if expr.filter is not None or expr.name not in ("count", "sum", "tg_dsum"):
                    return f"{expr.name} (DISTINCT) cannot be merged"
            elif not expr.merge:
                return f"{expr.name} cannot be merged from parts"
            if any(isinstance(e, SubqueryExpr) for a in expr.args for e in walk(a)):
                return "an aggregate of a subquery"
    keys = {g.key() for g in query.group}
    return "" if all(_derivable(t, keys) for t in tops) else "a column is not grouped"


def _derivable(expr: Expr, keys: set[object]) -> bool:
    """Can it be computed from group keys and aggregates alone?"""
    if expr.key() in keys or isinstance(expr, Agg):
        return True
    if isinstance(expr, ColumnExpr):
        return False
    return all(_derivable(c, keys) for c in expr.children())


class _Merge:
    """The items of the partial query, and the final query over them."""

    def __init__(self, query: Select) -> None:
        self.query = query
        self.group: list[Expr] = list(query.group)
        self.items: list[Item] = [Item(f"K{n}", g) for n, g in enumerate(query.group)]
        self.source = Source("g", "G", "gather", [])
        self._place: dict[object, ColumnExpr] = {}
        for item in self.items:
            self._place[item.expr.key()] = ColumnExpr(self.source, item.name, item.expr.type)
        tops = [i.expr for i in query.items] + [o.expr for o in query.order] + query.having
        for top in tops:
            for expr in walk(top):
                if isinstance(expr, Agg):
                    self._add(expr)
        self.source.columns = [(i.name, i.expr.type) for i in self.items]
        if not self.items:
            self.items.append(Item("K0", ConstExpr(1, BIGINT)))

    def _add(self, agg: Agg) -> None:
        if agg.distinct:
            key = ("distinct", agg.args[0].key())
            if key not in self._place:
                name = f"D{len(self.items)}"
                self.items.append(Item(name, agg.args[0]))
                self.group.append(agg.args[0])
                self._place[key] = ColumnExpr(self.source, name, agg.args[0].type)
            return
        if agg.key() not in self._place:
            name = f"A{len(self.items)}"
            self.items.append(Item(name, agg))
            self._place[agg.key()] = ColumnExpr(self.source, name, agg.type)

    def _replace(self, expr: Expr) -> Expr | None:
        if isinstance(expr, Agg):
            if expr.distinct:
                column: Expr = self._place["distinct", expr.args[0].key()]
                return Agg(expr.name, (column,), expr.type, distinct=True)
            column = self._place[expr.key()]
            if is_decimal_text(expr.type) and expr.name in ("min", "max"):
                column = call("{0} COLLATE decimal", column, type_=expr.type)
            merged: Expr = Agg(expr.merge, (column,), expr.type)
            if expr.name == "count":
                merged = call("coalesce({0}, 0)", merged, type_=expr.type)
            return merged
        known = self._place.get(expr.key())
        if known is not None and not isinstance(expr, ConstExpr | ParamExpr):
            return known
        return None

    def final(self) -> Select:
        """The query over the gathered partial groups."""
        query = self.query
        final = Select(sources=[self.source], grouped=True, distinct=query.distinct)
        final.group = [ColumnExpr(self.source, f"K{n}", g.type) for n, g in enumerate(query.group)]
        final.items = [
            Item(i.name, transform(i.expr, self._replace), i.table_id, i.column_number)
            for i in query.items
        ]
        final.having = [transform(h, self._replace) for h in query.having]
        final.order = [
            OrderItem(transform(o.expr, self._replace), o.descending, o.nulls_first)
            for o in query.order
        ]
        final.limit, final.offset = query.limit, query.offset
        return final


__all__ = ["Planner", "all_queries", "table_ids"]
