"""sqlglot query → bound `Query`: FROM, WHERE, GROUP BY, set operations, CTEs, views. Pure."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from data.catalog.objects import Sequence, Table, View
from data.sql.aggregates import contains_aggregate
from data.sql.bind_expr import ExpressionBinder, conjuncts, derived_source
from data.sql.group import check_grouping, expand_group_sets, read_group_sets
from data.sql.ir import (
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
    Source,
    SubqueryExpr,
    Values,
    WindowExpr,
    walk,
)
from data.sql.operators import call, common_type, compare, is_unknown, number_const, settle
from data.sql.parse import PREFIX, parse_query, refuse
from data.sql.plan_types import LockStrength
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
from protocol.errors import (
    AmbiguousColumnError,
    DefinitionError,
    GroupingError,
    SqlSyntaxError,
    TooLargeError,
    UnknownColumnError,
)
from protocol.limits import RESULT_COLUMNS_MAX
from protocol.sqltypes import BIGINT, INTEGER, VARCHAR, Kind, SqlType

VIEW_DEPTH_MAX = 32
_SET_OPS = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}


def bind_query(statement: Statement, tree: Any, parent: Scope | None = None) -> Query:
    """Bind a query; `parent` is the scope of the query around it."""
    if statement.bind_query is None:
        statement.bind_query = lambda node, scope: QueryBinder(statement, scope).bind(node)
    return QueryBinder(statement, parent).bind(tree)


class QueryBinder:
    """Binds one query expression."""

    def __init__(self, statement: Statement, parent: Scope | None) -> None:
        self.statement = statement
        self.parent = parent
        self.ctes: dict[str, CteDefinition] = dict(parent.ctes) if parent is not None else {}
        self.recursive: list[Cte] = []

    def bind(self, tree: Any) -> Query:
        """Any query tree. Raises the errors of SQL."""
        self._with(tree)
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
        query.ctes = self.recursive + query.ctes
        return query

    # -- WITH --------------------------------------------------------------------------------------
    def _with(self, tree: Any) -> None:
        clause = tree.args.get("with_")
        if clause is None:
            return
        for cte in clause.expressions:
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
        first = self._child(definition.environment).bind(tree.this)
        names = definition.columns or [i.name for i in first.items]
        if len(names) != len(first.items):
            raise SqlSyntaxError(f'WITH "{shown(definition.name)}": another number of columns')
        for item in first.items:
            item.expr = settle(item.expr, VARCHAR)
            kind = item.expr.type
            if isinstance(item.expr, ConstExpr) and kind.is_scaled and kind.scale == 0:
                item.expr = ConstExpr(item.expr.value, BIGINT)
        types = [i.expr.type for i in first.items]
        cte = Cte(self.statement.new_alias(), list(zip(names, types, strict=True)))
        definition.recursive = cte
        environment = {**definition.environment, definition.name: definition}
        second = self._child(environment).bind(tree.expression)
        if len(second.items) != len(types):
            raise SqlSyntaxError("the branches of a recursive query differ in their columns")
        retype_query(second, types)
        op = "UNION" if tree.args.get("distinct") else "UNION ALL"
        union = SetOp(op=op, left=first, right=second)
        union.items = [
            Item(n, SetColumn(i, t)) for i, (n, t) in enumerate(zip(names, types, strict=True))
        ]
        cte.query = union
        self.recursive.append(cte)

    def _child(self, environment: dict[str, CteDefinition]) -> QueryBinder:
        child = QueryBinder(self.statement, self.parent)
        child.ctes = dict(environment)
        return child

    # -- set operations, VALUES, parentheses -------------------------------------------------------
    def _parenthesised(self, tree: Any) -> Query:
        inner = self._child(self.ctes).bind(tree.this)
        extra = any(tree.args.get(k) for k in ("order", "limit", "offset"))
        if not extra:
            return inner
        if not inner.order and inner.limit is None and inner.offset is None:
            if isinstance(inner, Select):
                source = derived_source(self.statement, inner, "")
                block = Select(sources=[source])
                block.items = [
                    Item(n, column_of(source, n), i.table_id, i.column_number)
                    for (n, _), i in zip(_unique_columns(source), inner.items, strict=True)
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
        left = self._child(self.ctes).bind(tree.this)
        right = self._child(self.ctes).bind(tree.expression)
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
                raise refuse(f"{op} ALL")
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
            column = SetColumn(place, query.items[place].expr.type)
            query.order.append(
                OrderItem(column, bool(part.args.get("desc")), bool(part.args.get("nulls_first")))
            )
        self._limits(tree, query, ExpressionBinder(self.statement, Scope(parent=self.parent)))

    # -- SELECT ------------------------------------------------------------------------------------
    def _select(self, tree: Any) -> Query:
        _refuse_clauses(tree)
        scope = Scope(parent=self.parent, ctes=self.ctes)
        for window in tree.args.get("windows") or []:
            scope.windows[folded(window.this)] = window
        select = Select()
        self._from(tree, scope, select)
        select.sources = scope.sources
        self._where(tree, scope, select)
        binder = ExpressionBinder(self.statement, scope, aggregates=True, windows=True)
        nodes = self._projection_nodes(tree, select, binder)
        group_sets = self._group(tree, scope, select, nodes, binder)
        self._items(nodes, scope, select, binder)
        having = tree.args.get("having")
        if having is not None:
            select.having = binder.conditions(having.this)
        self._distinct(tree, select)
        self._order_and_limit(tree, select, binder)
        self._lock(tree, select)
        tops = [i.expr for i in select.items] + [o.expr for o in select.order] + select.having
        select.windowed = any(isinstance(e, WindowExpr) for t in tops for e in walk(t))
        if select.group or any(contains_aggregate(t) for t in tops) or select.having:
            select.grouped = True
            check_grouping(select)
        if group_sets is not None:
            return expand_group_sets(select, group_sets)
        return select

    def _from(self, tree: Any, scope: Scope, select: Select) -> None:
        clause = tree.args.get("from_")
        if clause is None:
            return
        first = self._source(clause.this, scope)
        scope.sources.append(first)
        nested = list(clause.this.args.get("joins") or [])
        for join in [*nested, *(tree.args.get("joins") or [])]:
            self._join(join, scope, select)
        if len(scope.sources) > 1:
            kept = [s for s in scope.sources if s.kind != "dual" or s.join]
            scope.sources[:] = kept
            kept[0].join = "" if kept[0].join in ("", "inner") else kept[0].join

    def _join(self, join: Any, scope: Scope, select: Select) -> None:
        source = self._source(join.this, scope)
        side = str(join.args.get("side") or "").upper()
        kind = str(join.args.get("kind") or "").upper()
        method = str(join.args.get("method") or "").upper()
        if kind not in ("", "INNER", "OUTER", "CROSS") or method not in ("", "NATURAL"):
            raise refuse(f"{method or kind} JOIN")
        source.join = side.lower() if side else "inner"
        left = list(scope.sources)
        scope.sources.append(source)
        using = [folded(u) for u in join.args.get("using") or []]
        if method == "NATURAL":
            own = {n for n, _ in source.columns}
            using = [n for s in left for n, _ in s.columns if n in own and n not in s.hidden]
            using = list(dict.fromkeys(using))
        for name in using:
            self._merge(name, source, left, scope)
        condition = join.args.get("on")
        if condition is not None:
            source.on += ExpressionBinder(self.statement, scope).conditions(condition)
        nested = join.this.args.get("joins") if isinstance(join.this, exp.Table) else None
        for inner in nested or []:
            self._join(inner, scope, select)

    def _merge(self, name: str, source: Source, left: list[Source], scope: Scope) -> None:
        """JOIN … USING (name): one column of the two."""
        holders = [s for s in left if name not in s.hidden and s.type_of(name) is not None]
        if len(holders) > 1 and name not in scope.merged:
            raise AmbiguousColumnError(f'column "{shown(name)}" is ambiguous')
        if not holders or source.type_of(name) is None:
            raise UnknownColumnError(f'column "{shown(name)}" of USING does not exist')
        a: Expr = scope.merged.get(name, column_of(holders[0], name))
        b = column_of(source, name)
        source.on.append(compare("=", a, b))
        source.hidden.add(name)
        if source.join == "right":
            scope.merged[name] = b
        elif source.join == "full":
            scope.merged[name] = call("coalesce({0}, {1})", a, b, type_=a.type)
        else:
            scope.merged[name] = a

    def _source(self, node: Any, scope: Scope) -> Source:
        if isinstance(node, exp.Lateral):
            inner = node.this
            if not isinstance(inner, exp.Subquery):
                raise refuse("LATERAL of anything but a query")
            source = self._derived(inner.this, node, scope)
            source.lateral = True
            return source
        if isinstance(node, exp.Subquery):
            if isinstance(node.this, exp.Table):
                return self._join_group(node, scope)
            return self._derived(node.this, node, None)
        if isinstance(node, exp.Values):
            return self._derived(node, node, None)
        if isinstance(node, exp.Table):
            return self._table(node)
        raise refuse(f"{type(node).__name__} in FROM", position_of(node))

    def _join_group(self, node: Any, scope: Scope) -> Source:
        """( a JOIN b … ): allowed where its names need not be told apart."""
        inner = exp.select("*").from_(node.this.copy())
        table = node.this.copy()
        joins = table.args.pop("joins", None) or []
        inner = exp.select("*").from_(table)
        inner.set("joins", joins)
        return self._derived(inner, node, None)

    def _derived(self, query_tree: Any, node: Any, lateral: Scope | None) -> Source:
        if query_tree.args.get("with_") is None and isinstance(query_tree, exp.Values):
            query_tree = query_tree.copy()
            query_tree.set("alias", None)
        child = self._child(self.ctes)
        child.parent = lateral if lateral is not None else self.parent
        query = child.bind(query_tree)
        alias, columns = _alias_of(node)
        return self._named(derived_source(self.statement, query, alias), columns)

    def _named(self, source: Source, columns: list[str]) -> Source:
        """Column aliases of a table alias; then unique names."""
        if columns:
            if len(columns) > len(source.columns):
                raise SqlSyntaxError(f'"{shown(source.name)}" has fewer columns than its alias')
            renamed = [
                (columns[i] if i < len(columns) else n, t)
                for i, (n, t) in enumerate(source.columns)
            ]
            source.columns = renamed
        return source

    def _table(self, node: Any) -> Source:
        for clause in ("pivots", "sample", "when", "only", "partition", "version", "laterals"):
            if node.args.get(clause):
                raise refuse(f"{clause.upper().rstrip('S')} of a table", position_of(node))
        if not isinstance(node.this, exp.Identifier):
            raise refuse("a function in FROM", position_of(node))
        parts = tuple(
            folded(p) for p in (node.args.get("catalog"), node.args.get("db"), node.this) if p
        )
        alias, columns = _alias_of(node)
        name = alias or parts[-1]
        if len(parts) == 1 and parts[0] in self.ctes:
            return self._cte_source(self.ctes[parts[0]], name, columns)
        if parts[-1] == "DUAL" and (len(parts) == 1 or parts[-2] == "SYS"):
            dummy = ("DUMMY", SqlType(Kind.VARCHAR, length=1))
            return Source(self.statement.new_alias(), name, "dual", [dummy])
        relation = self.statement.catalog.resolve(self.statement.schema, parts, position_of(node))
        if isinstance(relation, Sequence):
            raise refuse(f'selecting from sequence "{shown(relation.name)}"', position_of(node))
        self.statement.check_privilege(relation, "SELECT", position_of(node))
        if isinstance(relation, View):
            return self._view(relation, name, columns)
        return self._named(table_source(self.statement, relation, name), columns_refused(columns))

    def _cte_source(self, definition: CteDefinition, name: str, columns: list[str]) -> Source:
        if definition.recursive is not None:
            cte = definition.recursive
            alias = self.statement.new_alias()
            return Source(alias, name, "cte", list(cte.columns), cte=cte)
        query = self._child(definition.environment).bind(definition.tree)
        source = derived_source(self.statement, query, name)
        return self._named(source, columns or definition.columns)

    def _view(self, view: View, name: str, columns: list[str]) -> Source:
        statement = self.statement
        if view.id in statement.views_open or len(statement.views_open) > VIEW_DEPTH_MAX:
            raise DefinitionError(f'view "{shown(view.name)}" refers to itself')
        schema, statement.schema = statement.schema, view.schema
        user = statement.user
        statement.user = user and view.schema  # the owner's rights hold inside
        statement.views_open.append(view.id)
        statement.views_used[view.id] = None
        try:
            query = QueryBinder(statement, None).bind(parse_query(view.sql).tree)
        finally:
            statement.schema, statement.user = schema, user
            statement.views_open.pop()
        source = derived_source(statement, query, name)
        if view.columns and len(view.columns) == len(source.columns):
            columns = columns or [c.name for c in view.columns]
        source.schema = view.schema
        return self._named(source, columns)

    # -- WHERE, with ROWNUM and (+) ----------------------------------------------------------------
    def _where(self, tree: Any, scope: Scope, select: Select) -> None:
        clause = tree.args.get("where")
        if clause is None:
            return
        binder = ExpressionBinder(self.statement, scope)
        marked: list[tuple[Source, Expr]] = []
        for part in conjuncts(clause.this):
            limit = self._rownum_limit(part, binder)
            if limit is not None:
                if select.row_limit is not None:
                    limit = call("min({0}, {1})", select.row_limit, limit, type_=BIGINT)
                select.row_limit = limit
                continue
            marks = [c for c in part.find_all(exp.Column) if c.args.get("join_mark")]
            expr = binder.condition(part)
            if marks:
                sources = {id(s): s for s in (_source_of(binder.bind(m)) for m in marks)}
                if len(sources) != 1:
                    raise refuse("(+) on two tables in one condition")
                marked.append((next(iter(sources.values())), expr))
            else:
                select.where.append(expr)
        if marked:
            _apply_marks(scope, select, marked)

    def _rownum_limit(self, node: Any, binder: ExpressionBinder) -> Expr | None:
        """ROWNUM <= n, < n, = 1 (and mirrored) → how many rows."""
        while isinstance(node, exp.Paren):
            node = node.this
        ops = {exp.LTE: "<=", exp.LT: "<", exp.EQ: "=", exp.GTE: ">=", exp.GT: ">"}
        op = ops.get(type(node))
        if op is None:
            return None
        left, right = node.this, node.expression
        if _is_rownum(right, binder):
            left, right = right, left
            op = {"<=": ">=", ">=": "<=", "<": ">", ">": "<"}.get(op, op)
        if not _is_rownum(left, binder):
            return None
        bound = binder.bind(right)
        value = settle(bound, BIGINT)
        if op == "<=":
            return value
        if op == "<":
            return call("(tg_ceil({0}) - 1)", value, type_=BIGINT)
        if op == "=":
            return call("({0} = 1)", value, type_=BIGINT)
        if op == ">=":
            return call(
                "CASE WHEN {0} <= 1 THEN 9223372036854775807 ELSE 0 END", value, type_=BIGINT
            )
        return call("CASE WHEN {0} < 1 THEN 9223372036854775807 ELSE 0 END", value, type_=BIGINT)

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
            sources = sources_named(parts, scope)
            return [_item(n, column_of(s, n)) for s in sources for n, _ in s.columns]
        if not scope.sources:
            raise SqlSyntaxError("SELECT * with no tables")
        items: list[Item] = [_item(name, expr) for name, expr in scope.merged.items()]
        for source in scope.sources:
            for name, _ in source.columns:
                if name not in source.hidden and name not in scope.merged:
                    items.append(_item(name, column_of(source, name)))
        return items

    def _distinct(self, tree: Any, select: Select) -> None:
        clause = tree.args.get("distinct")
        if clause is None:
            return
        if clause.args.get("on") is not None:
            raise refuse("DISTINCT ON")
        select.distinct = True

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
            options = limit.args.get("limit_options")
            if options is not None and (
                options.args.get("percent") or options.args.get("with_ties")
            ):
                raise refuse("FETCH FIRST … PERCENT or WITH TIES")
            count = limit.args.get("count")
            query.limit = (
                settle(inner.bind(count), BIGINT) if count is not None else number_const("1")
            )
        elif limit is not None:
            if limit.args.get("expressions"):
                raise refuse("LIMIT BY")
            value = inner.bind(limit.expression)
            if not (isinstance(value, ConstExpr) and value.value is None):
                query.limit = settle(value, BIGINT)
        offset = tree.args.get("offset")
        if offset is not None:
            query.offset = settle(inner.bind(offset.expression), BIGINT)
        del binder

    def _lock(self, tree: Any, select: Select) -> None:
        locks = tree.args.get("locks") or []
        if not locks:
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
def table_source(statement: Statement, table: Table, name: str) -> Source:
    """A base table as a source."""
    statement.tables[table.id] = None
    columns = [(c.name, c.type) for c in table.columns]
    return Source(statement.new_alias(), name, "table", columns, table=table, schema=table.schema)


def columns_refused(columns: list[str]) -> list[str]:
    """Column aliases of a base table are refused."""
    if columns:
        raise refuse("column aliases of a base table")
    return columns


def _is_ordinal(node: Any) -> bool:
    """A whole number: in ORDER BY and GROUP BY the place of a result column."""
    return isinstance(node, exp.Literal) and not node.is_string and str(node.this).isdigit()


def _alias_of(node: Any) -> tuple[str, list[str]]:
    alias = node.args.get("alias")
    if alias is None:
        return "", []
    name = folded(alias.this) if alias.this is not None else ""
    return name, [folded(c) for c in alias.args.get("columns") or []]


def _names_table(node: Any, name: str) -> bool:
    return (
        not node.args.get("db")
        and isinstance(node.this, exp.Identifier)
        and folded(node.this) == name
    )


def _unique_columns(source: Source) -> list[tuple[str, SqlType]]:
    return source.columns


def _is_rownum(node: Any, binder: ExpressionBinder) -> bool:
    return (
        isinstance(node, exp.Column)
        and not node.args.get("table")
        and folded(node.this) == "ROWNUM"
        and not binder.scope.find("ROWNUM")
    )


def _source_of(expr: Expr) -> Source:
    if not isinstance(expr, ColumnExpr):
        raise refuse("(+) on anything but a column")
    return expr.source


def _apply_marks(scope: Scope, select: Select, marked: list[tuple[Source, Expr]]) -> None:
    """Conditions with (+) → ON conditions of LEFT joins; what they need is placed before them."""
    if any(s.join not in ("", "inner") for s in scope.sources):
        raise refuse("(+) together with outer joins")
    outer: dict[int, Source] = {}
    for source, expr in marked:
        outer[id(source)] = source
        source.on.append(expr)
    plain = [s for s in scope.sources if id(s) not in outer]
    if not plain:
        raise refuse("(+) on every table")
    placed = list(plain)
    waiting = [s for s in scope.sources if id(s) in outer]
    while waiting:
        known = {id(s) for s in placed}
        ready = [s for s in waiting if _needs(s) <= known | {id(s)}]
        if not ready:
            raise refuse("(+) conditions that go round in a circle")
        for source in ready:
            source.join = "left"
            placed.append(source)
            waiting.remove(source)
    placed[0].join = ""
    for source in plain[1:]:
        source.join = source.join or "inner"
    if plain[0].on:
        select.where += plain[0].on
        plain[0].on = []
    scope.sources[:] = placed


def _needs(source: Source) -> set[int]:
    return {id(e.source) for on in source.on for e in walk(on) if isinstance(e, ColumnExpr)}


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
        elif (
            isinstance(expr, ConstExpr)
            and type(expr.value) is int
            and expr.type.is_scaled
            and expr.type.scale == 0
        ):
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
    if isinstance(node, exp.Window | exp.WithinGroup | exp.Filter):
        return _name_of(node.this)
    if isinstance(node, exp.Anonymous):
        name = str(node.this).upper().removeprefix(PREFIX)
        if name.startswith("LITERAL_"):
            return name.removeprefix("LITERAL_")
        return name
    if isinstance(node, exp.Cast):
        inner = _name_of(node.this)
        return inner if inner != "?COLUMN?" else str(node.args["to"].this.value).upper()
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
