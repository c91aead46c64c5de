"""sqlglot query → bound `Query`: FROM, WHERE, GROUP BY, set operations, CTEs, views. Pure."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from data.sql.aggregates import contains_aggregate
from data.sql.bind_expr import ExpressionBinder
from data.sql.bind_from import FromBinder, table_source
from data.sql.bind_where import bind_where
from data.sql.derived import derived_source
from data.sql.group import (
    check_grouping,
    check_grouping_marks,
    expand_group_sets,
    read_group_sets,
    settle_grouping_marks,
)
from data.sql.ir import (
    Agg,
    Call,
    ColumnExpr,
    ConstExpr,
    Cte,
    Expr,
    Item,
    Lock,
    OrderItem,
    ParamExpr,
    Query,
    Select,
    SetColumn,
    SetOp,
    SubqueryExpr,
    Values,
    WindowExpr,
    walk,
)
from data.sql.operators import call, cast, common_type, is_unknown, number_const, settle
from data.sql.parse import PREFIX, refuse
from data.sql.plan_types import LockStrength
from data.sql.ranked import all_of, distinct_on, fetch
from data.sql.retype import retype_query
from data.sql.scope import (
    CteDefinition,
    Scope,
    Statement,
    column_of,
    folded,
    position_of,
    shown,
    sources_named,
)
from data.sql.select_rows import hoist_row_functions
from protocol.errors import (
    GroupingError,
    SqlSyntaxError,
    TooLargeError,
)
from protocol.limits import RESULT_COLUMNS_MAX
from protocol.sqltypes import BIGINT, INTEGER, NUMBER, VARCHAR, Kind, SqlType

_INTEGER_DIGITS = 9  # fit INTEGER whatever they are
RECURSION_TYPES_MAX = 6  # rounds to find the types of a recursive query
_SET_OPS = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}


def bind_query(statement: Statement, tree: Any, parent: Scope | None = None) -> Query:
    """Bind a query; `parent` is the scope of the query around it."""
    if statement.bind_query is None:
        statement.bind_query = lambda node, scope: QueryBinder(statement, scope).bind(node)
    return QueryBinder(statement, parent).bind(tree)


class QueryBinder(FromBinder):
    """Binds one query expression."""

    def bind(self, tree: Any) -> Query:
        """Any query tree. Raises the errors of SQL."""
        self.read_ctes(tree)
        if isinstance(tree, exp.Subquery):
            query = self._parenthesised(tree)
        elif isinstance(tree, exp.SetOperation):
            query = self._set_operation(tree)
        elif isinstance(tree, exp.Select):
            query = self._select(tree)
        elif isinstance(tree, exp.Values):
            query = self._values(tree)
        elif isinstance(tree, exp.Table):
            query = self._select(exp.select("*").from_(tree))
        else:
            raise refuse(f"{type(tree).__name__} as a query", position_of(tree))
        options = _fetch_options(tree)
        if options is not None:
            percent, ties = bool(options.args.get("percent")), bool(options.args.get("with_ties"))
            query = fetch(self.statement, query, percent=percent, ties=ties)
        query.ctes = self.recursive + query.ctes
        return query

    # -- WITH --------------------------------------------------------------------------------------
    def read_ctes(self, tree: Any) -> None:
        """WITH of a query or of a change: the names it gives, for what is bound next."""
        clause = tree.args.get("with_")
        if clause is None:
            return
        for cte in clause.expressions:
            if isinstance(cte.this, exp.Insert | exp.Update | exp.Delete | exp.Merge):
                raise refuse(f"{type(cte.this).__name__.upper()} inside WITH", position_of(cte))
            name = folded(cte.args["alias"].this)
            columns = [folded(c) for c in cte.args["alias"].args.get("columns") or []]
            definition = CteDefinition(name, cte.this, columns, dict(self.ctes))
            if any(_names_table(t, name) for t in cte.this.find_all(exp.Table)) and isinstance(
                cte.this, exp.SetOperation
            ):
                self._recursive_cte(definition)
            self.ctes[name] = definition

    def _recursive_cte(self, definition: CteDefinition) -> None:
        """Types come from the first branch; the recursive one is converted to them."""
        tree = definition.tree
        first = self.child(definition.environment).bind(tree.this)
        names = definition.columns or [i.name for i in first.items]
        if len(names) != len(first.items):
            raise SqlSyntaxError(f'WITH "{shown(definition.name)}": another number of columns')
        for item in first.items:
            item.expr = settle(item.expr, VARCHAR)
            kind = item.expr.type
            if isinstance(item.expr, ConstExpr) and kind.is_scaled and kind.scale == 0:
                divides = tree.expression.find(exp.Div) is not None  # 1 / 2 is not 0
                item.expr = cast(item.expr, NUMBER if divides else BIGINT)
        if not isinstance(tree, exp.Union):
            raise refuse("a recursive query of INTERSECT or MINUS")
        if tree.args.get("order"):
            raise refuse("ORDER BY inside a recursive query")
        cte, second, types = self._recursive_branch(definition, names, first)
        retype_query(first, types)
        retype_query(second, types)
        op = "UNION" if tree.args.get("distinct") else "UNION ALL"
        union = SetOp(op=op, left=first, right=second)
        union.items = [
            Item(n, SetColumn(i, t)) for i, (n, t) in enumerate(zip(names, types, strict=True))
        ]
        self._limits(tree, union, ExpressionBinder(self.statement, Scope(parent=self.parent)))
        cte.query = union
        self.recursive.append(cte)

    def _recursive_branch(
        self, definition: CteDefinition, names: list[str], first: Query
    ) -> tuple[Cte, Query, list[SqlType]]:
        """The second branch, bound so that its columns have the types that both can have."""
        types = [i.expr.type for i in first.items]
        tree = definition.tree
        for attempt in range(RECURSION_TYPES_MAX):
            cte = Cte(self.statement.new_alias(), list(zip(names, types, strict=True)))
            definition.recursive = cte
            environment = {**definition.environment, definition.name: definition}
            second = self.child(environment).bind(tree.expression)
            if len(second.items) != len(types):
                raise SqlSyntaxError("the branches of a recursive query differ in their columns")
            both = [common_type([a, b.expr.type]) for a, b in zip(types, second.items, strict=True)]
            if both == types:
                return cte, second, types
            types = [
                NUMBER if attempt and new != old and new.kind is Kind.NUMBER else new
                for new, old in zip(both, types, strict=True)
            ]
        raise refuse("a recursive query whose types grow with each round")

    # -- set operations, VALUES, parentheses -------------------------------------------------------
    def _parenthesised(self, tree: Any) -> Query:
        inner = self.child(self.ctes).bind(tree.this)
        extra = any(tree.args.get(k) for k in ("order", "limit", "offset"))
        if not extra:
            return inner
        if not inner.order and inner.limit is None and inner.offset is None:
            if isinstance(inner, Select):
                source = derived_source(self.statement, inner, "")
                block = Select(sources=[source])
                block.items = [
                    Item(n, column_of(source, n), i.table_id, i.column_number)
                    for (n, _), i in zip(source.columns, inner.items, strict=True)
                ]
                scope = Scope(sources=[source], parent=self.parent, ctes=self.ctes)
                self._order_and_limit(tree, block, ExpressionBinder(self.statement, scope))
                return block
            self._set_order(tree, inner)
            return inner
        raise refuse("ORDER BY or LIMIT twice")

    def _set_operation(self, tree: Any) -> Query:
        if tree.args.get("by_name") or tree.args.get("match_by"):
            raise refuse("UNION BY NAME")
        left = self.child(self.ctes).bind(tree.this)
        right = self.child(self.ctes).bind(tree.expression)
        if len(left.items) != len(right.items):
            raise SqlSyntaxError("each branch of a set operation must have the same columns")
        types = [
            common_type([a.expr.type, b.expr.type])
            for a, b in zip(left.items, right.items, strict=True)
        ]
        retype_query(left, types)
        retype_query(right, types)
        op = _SET_OPS[type(tree)]
        if not tree.args.get("distinct"):
            if op != "UNION":
                counted = all_of(self.statement, op, left, right)
                self._set_order(tree, counted)
                return counted
            op = "UNION ALL"
        query = SetOp(op=op, left=left, right=right)
        query.items = [
            Item(item.name, SetColumn(i, t))
            for i, (item, t) in enumerate(zip(left.items, types, strict=True))
        ]
        self._set_order(tree, query)
        return query

    def _values(self, tree: Any) -> Query:
        binder = ExpressionBinder(self.statement, Scope(parent=self.parent, ctes=self.ctes))
        rows = [[binder.bind(e) for e in row.expressions] for row in tree.expressions]
        if len({len(row) for row in rows}) != 1:
            raise SqlSyntaxError("the rows of VALUES differ in length")
        types = [common_type([row[i].type for row in rows]) for i in range(len(rows[0]))]
        query = Values(rows=rows)
        query.items = [Item(f"COLUMN{i + 1}", SetColumn(i, t)) for i, t in enumerate(types)]
        retype_query(query, types)
        self._set_order(tree, query)
        return query

    def _set_order(self, tree: Any, query: Query) -> None:
        """ORDER BY of a set operation: places and names only."""
        ordered = tree.args.get("order")
        names = [i.name for i in query.items]
        for part in ordered.expressions if ordered is not None else []:
            node = part.this
            place = -1
            if _is_ordinal(node):
                place = int(node.this) - 1
            elif isinstance(node, exp.Column) and folded(node.this) in names:
                place = names.index(folded(node.this))
            if not 0 <= place < len(names):
                raise refuse("ORDER BY of a set operation by anything but its columns")
            column: Expr = SetColumn(place, query.items[place].expr.type)
            if isinstance(query, Select):
                column = query.items[place].expr
            query.order.append(
                OrderItem(column, bool(part.args.get("desc")), bool(part.args.get("nulls_first")))
            )
        self._limits(tree, query, ExpressionBinder(self.statement, Scope(parent=self.parent)))

    # -- SELECT ------------------------------------------------------------------------------------
    def _select(self, tree: Any) -> Query:
        _refuse_clauses(tree)
        hoist_row_functions(tree)
        scope = Scope(parent=self.parent, ctes=self.ctes)
        for window in tree.args.get("windows") or []:
            scope.windows[folded(window.this)] = window
        select = Select()
        self.from_clause(tree, scope, select)
        bind_where(self.statement, tree, scope, select)
        select.sources = scope.sources
        binder = ExpressionBinder(self.statement, scope, aggregates=True, windows=True)
        nodes = self._projection_nodes(tree, select, binder)
        group_sets = self._group(tree, scope, select, nodes, binder)
        self._items(nodes, scope, select, binder)
        having = tree.args.get("having")
        if having is not None:
            select.having = binder.conditions(having.this)
        distinct_by = self._distinct(tree, select, binder)
        self._order_and_limit(tree, select, binder)
        self._lock(tree, select)
        tops = [i.expr for i in select.items] + [o.expr for o in select.order] + select.having
        select.windowed = any(isinstance(e, WindowExpr) for t in tops for e in walk(t))
        if select.having and not select.group:
            _make_aggregate(select)
        aggregated = group_sets is not None or any(contains_aggregate(t) for t in tops)
        if select.group or aggregated or select.having:
            select.grouped = True
            check_grouping(select)
        if select.group:
            check_grouping_marks(select)
        if distinct_by:
            if group_sets is not None:
                raise refuse("DISTINCT ON over grouping sets")
            settle_grouping_marks(select)
            return distinct_on(self.statement, select, distinct_by)
        if group_sets is not None:
            return expand_group_sets(self.statement, select, group_sets)
        settle_grouping_marks(select)
        return select

    # -- items -------------------------------------------------------------------------------------
    def _projection_nodes(self, tree: Any, select: Select, binder: ExpressionBinder) -> list[Any]:
        nodes = list(tree.expressions)
        if len(nodes) > RESULT_COLUMNS_MAX:
            raise TooLargeError(f"a result of {len(nodes)} columns, limit {RESULT_COLUMNS_MAX}")
        if nodes and isinstance(nodes[0], exp.Anonymous) and nodes[0].this == PREFIX + "ROWS":
            low, high = (self._count_of(a.this, binder) for a in nodes[0].expressions)
            nodes = nodes[1:]
            one = isinstance(low, ConstExpr) and low.value == 1
            select.limit = high if one else call("max({1} - {0} + 1, 0)", low, high, type_=BIGINT)
            select.offset = None if one else call("({0} - 1)", low, type_=BIGINT)
        return nodes

    def _count_of(self, text: str, binder: ExpressionBinder) -> Expr:
        if text.startswith("$"):
            return settle(ParamExpr(self.statement.slot(int(text[1:]))), BIGINT)
        return number_const(text)

    def _group(
        self, tree: Any, scope: Scope, select: Select, nodes: list[Any], binder: ExpressionBinder
    ) -> list[list[int]] | None:
        clause = tree.args.get("group")
        if clause is None:
            return None
        select.grouped = True
        inner = ExpressionBinder(self.statement, scope)
        aliases = {folded(n.args["alias"]): n.this for n in nodes if isinstance(n, exp.Alias)}

        def bind_one(node: Any) -> Expr:
            if _is_ordinal(node):
                place = int(node.this) - 1
                if not 0 <= place < len(nodes):
                    raise SqlSyntaxError(f"GROUP BY position {node.this} is not in the select list")
                chosen = nodes[place]
                node = chosen.this if isinstance(chosen, exp.Alias) else chosen
            elif isinstance(node, exp.Column) and not node.args.get("table"):
                name = folded(node.this)
                known = scope.find(name) or name in scope.merged or name.startswith("$")
                if not known and name in aliases:
                    node = aliases[name]
            return settle(inner.bind(node), VARCHAR)

        return read_group_sets(clause, select, bind_one, binder)

    def _items(
        self, nodes: list[Any], scope: Scope, select: Select, binder: ExpressionBinder
    ) -> None:
        for node in nodes:
            if isinstance(node, exp.Star) or (
                isinstance(node, exp.Column) and isinstance(node.this, exp.Star)
            ):
                select.items += self._star_items(node, scope)
                continue
            inner = node.this if isinstance(node, exp.Alias) else node
            expr = binder.bind(inner)
            name = folded(node.args["alias"]) if isinstance(node, exp.Alias) else _name_of(inner)
            select.items.append(_item(name, expr))
        if not select.items:
            raise SqlSyntaxError("the select list is empty")

    def _star_items(self, node: Any, scope: Scope) -> list[Item]:
        if isinstance(node, exp.Column):
            parts = [folded(p) for p in (node.args.get("db"), node.args.get("table")) if p]
            if len(parts) == 1 and parts[0] in scope.parts:  # of a joined group
                named = scope.parts[parts[0]]
                return [_item(n, column_of(*place)) for n, place in named.items()]
            sources = sources_named(parts, scope)
            return [
                _item(n, column_of(s, n))
                for s in sources
                for n, _ in s.columns
                if not n.startswith("\x01")  # what only orders the rows
            ]
        if not scope.sources:
            raise SqlSyntaxError("SELECT * with no tables")
        items: list[Item] = [_item(name, expr) for name, expr in scope.merged.items()]
        for source in scope.sources:
            for name, _ in source.columns:
                if name not in source.hidden and name not in scope.merged:
                    items.append(_item(name, column_of(source, name)))
        return items

    def _distinct(self, tree: Any, select: Select, binder: ExpressionBinder) -> list[Expr]:
        """DISTINCT; the expressions of DISTINCT ON (…)."""
        clause = tree.args.get("distinct")
        if clause is None:
            return []
        on = clause.args.get("on")
        if on is None:
            select.distinct = True
            return []
        nodes = on.expressions if isinstance(on, exp.Tuple) else [on]
        return [self._order_expr(node, select, binder) for node in nodes]

    # -- ORDER BY, LIMIT, FOR UPDATE ---------------------------------------------------------------
    def _order_and_limit(self, tree: Any, select: Select, binder: ExpressionBinder) -> None:
        ordered = tree.args.get("order")
        for part in ordered.expressions if ordered is not None else []:
            expr = self._order_expr(part.this, select, binder)
            nulls_first = bool(part.args.get("nulls_first"))
            select.order.append(OrderItem(expr, bool(part.args.get("desc")), nulls_first))
        self._limits(tree, select, binder)
        if select.distinct:
            keys = {i.expr.key() for i in select.items}
            if any(o.expr.key() not in keys for o in select.order):
                raise GroupingError("ORDER BY of SELECT DISTINCT must be in the select list")

    def _order_expr(self, node: Any, select: Select, binder: ExpressionBinder) -> Expr:
        if _is_ordinal(node):
            place = int(node.this) - 1
            if not 0 <= place < len(select.items):
                raise SqlSyntaxError(f"ORDER BY position {node.this} is not in the select list")
            return select.items[place].expr
        if isinstance(node, exp.Column) and not node.args.get("table"):
            name = folded(node.this)
            named = [i for i in select.items if i.name == name]
            if named and all(i.expr.key() == named[0].expr.key() for i in named):
                return named[0].expr
        return settle(binder.bind(node), VARCHAR)

    def _limits(self, tree: Any, query: Query, binder: ExpressionBinder) -> None:
        limit = tree.args.get("limit")
        inner = ExpressionBinder(self.statement, Scope(parent=None))
        if isinstance(limit, exp.Fetch):
            count = limit.args.get("count")
            if isinstance(count, exp.Identifier):  # FETCH FIRST $1 ROWS
                count = exp.column(count)
            query.limit = (
                settle(inner.bind(count), BIGINT) if count is not None else number_const("1")
            )
        elif limit is not None:
            if limit.args.get("expressions"):
                raise refuse("LIMIT BY")
            if isinstance(limit.expression, exp.Column) and limit.expression.name.upper() == "ALL":
                limit.expression.replace(exp.Null())
            value = inner.bind(limit.expression)
            if not (isinstance(value, ConstExpr) and value.value is None):
                query.limit = settle(value, BIGINT)
        offset = tree.args.get("offset")
        if offset is not None:
            query.offset = settle(inner.bind(offset.expression), BIGINT)
        del binder

    def _lock(self, tree: Any, select: Select) -> None:
        locks = tree.args.get("locks") or []
        if not locks or not select.sources:  # SELECT 1 FOR UPDATE: there is nothing to lock
            return
        if len(locks) > 1:
            raise refuse("more than one FOR UPDATE or FOR SHARE")
        lock = locks[0]
        names = tuple(
            folded(e.args["db"]) if e.args.get("db") is not None else folded(e.this)
            for e in lock.args.get("expressions") or []
        )
        wait = lock.args.get("wait")
        mode, seconds = "wait", 0.0
        if wait is True:
            mode = "nowait"
        elif wait is False:
            mode = "skip"
        elif isinstance(wait, exp.Expression):
            seconds = float(wait.this)
            mode = "wait" if seconds else "nowait"
        strength: LockStrength
        if lock.args.get("update"):
            strength = "no key update" if lock.args.get("key") else "update"
        else:
            strength = "key share" if lock.args.get("key") else "share"
        select.lock = Lock(names, mode, seconds, strength)


# -- helpers --------------------------------------------------------------------------------------
def _is_ordinal(node: Any) -> bool:
    """A whole number: in ORDER BY and GROUP BY the place of a result column."""
    return isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit()


def _item(name: str, expr: Expr) -> Item:
    name = name.partition("\x01")[0] or name
    if isinstance(expr, ColumnExpr) and expr.source.kind == "table":
        table = expr.source.table
        assert table is not None
        for number, column in enumerate(table.columns, 1):
            if column.name == expr.name:
                return Item(name, expr, table.id, number)
    return Item(name, expr)


def settle_items(query: Query) -> None:
    """Types of a top query's columns that nothing told: texts; whole number literals: integers."""
    for item in query.items:
        expr = item.expr
        if is_unknown(expr):
            item.expr = settle(expr, VARCHAR)
        elif expr.type.is_scaled and expr.type.scale == 0:
            if isinstance(expr, ParamExpr):  # a literal that data/sql/text.py took out
                expr.slot.type = INTEGER if expr.type.precision <= _INTEGER_DIGITS else BIGINT
            elif isinstance(expr, ConstExpr) and type(expr.value) is int:
                small = abs(expr.value) < 2**31
                item.expr = ConstExpr(expr.value, INTEGER if small else BIGINT)
        if isinstance(query, Select):
            for order in query.order:
                if order.expr is expr:
                    order.expr = item.expr


def _name_of(node: Any) -> str:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column):
        name = folded(node.this)
        return "?COLUMN?" if name.startswith("$") else name
    if isinstance(node, exp.Window | exp.WithinGroup | exp.Filter | exp.IgnoreNulls):
        return _name_of(node.this).removesuffix("_LAST")
    if isinstance(node, exp.Anonymous):
        name = str(node.this).upper().removeprefix(PREFIX)
        if name.startswith("LITERAL_"):
            return name.removeprefix("LITERAL_")
        return name
    if isinstance(node, exp.Cast):
        inner = _name_of(node.this)
        return inner if inner != "?COLUMN?" else _type_name(node.args["to"].this)
    if isinstance(node, exp.Case):
        return "CASE"
    if isinstance(node, exp.Exists):
        return "EXISTS"
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select):
        first = node.this.expressions[0] if node.this.expressions else None
        if isinstance(first, exp.Alias):
            return folded(first.args["alias"])
        return _name_of(first)
    if isinstance(node, exp.Extract | exp.Trim | exp.Substring):
        return type(node).__name__.upper().replace("TRIM", "BTRIM")
    return "?COLUMN?"


def _type_name(kind: Any) -> str:
    """A column that is only a CAST is called as its type."""
    return "INTERVAL" if isinstance(kind, exp.Interval) else str(kind.value).upper()


def _fetch_options(tree: Any) -> Any:
    """PERCENT or WITH TIES of FETCH FIRST; None: neither."""
    limit = tree.args.get("limit")
    options = limit.args.get("limit_options") if isinstance(limit, exp.Fetch) else None
    if options is None or not (options.args.get("percent") or options.args.get("with_ties")):
        return None
    return options


def _names_table(node: Any, name: str) -> bool:
    return (
        not node.args.get("db")
        and isinstance(node.this, exp.Identifier)
        and folded(node.this) == name
    )


def _make_aggregate(select: Select) -> None:
    """HAVING makes one group of all rows; SQLite wants to see an aggregate in the select list."""
    if any(contains_aggregate(i.expr) for i in select.items):
        return
    count = Agg("count", (), BIGINT, merge="sum")
    first = select.items[0]
    first.expr = call("CASE WHEN {1} >= 0 THEN {0} END", first.expr, count, type_=first.expr.type)


_REFUSED = {
    "connect": "CONNECT BY",
    "match": "MATCH_RECOGNIZE",
    "qualify": "QUALIFY",
    "cluster": "CLUSTER BY",
    "sort": "SORT BY",
    "distribute": "DISTRIBUTE BY in a query",
    "pivots": "PIVOT",
    "sample": "SAMPLE",
    "laterals": "LATERAL VIEW",
    "prewhere": "PREWHERE",
    "kind": "SELECT AS",
}


def _refuse_clauses(tree: Any) -> None:
    for name, text in _REFUSED.items():
        if tree.args.get(name):
            raise refuse(text)
    if tree.args.get("into"):
        raise refuse("SELECT … INTO outside PL/SQL")


__all__ = ["Call", "SubqueryExpr", "bind_query", "settle_items", "table_source"]
