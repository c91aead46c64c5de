"""INSERT, UPDATE, DELETE and the row of COPY: bound and planned. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from data.catalog.catalog import Catalog
from data.catalog.element_ddl import full_row_columns, key_columns, quoted, table_name
from data.catalog.objects import Column, Distribution, Table
from data.sql.bind_expr import ExpressionBinder, conjuncts
from data.sql.bind_from import table_source
from data.sql.bind_query import QueryBinder, bind_query, settle_items
from data.sql.bind_where import both_limits, row_limit
from data.sql.convert import conversion
from data.sql.derived import derived_source
from data.sql.drawn import Drawn, draws, same_numbers
from data.sql.found_values import keyed_by_found
from data.sql.identity import refuse_given
from data.sql.in_place import (
    asks_of,
    key_values,
    keyed,
    look,
    one_place,
    rows_are_apart,
    where_text,
)
from data.sql.ir import (
    Call,
    ColumnExpr,
    ConstExpr,
    Expr,
    Item,
    ParamExpr,
    Query,
    Select,
    Source,
    SpecialExpr,
    SubqueryExpr,
    WindowExpr,
    walk,
)
from data.sql.operators import call, cast, is_unknown, null, number_const, settle
from data.sql.parse import Parsed, parse_expression, refuse
from data.sql.placement import block_route
from data.sql.plan import Planner, table_ids
from data.sql.plan_types import (
    ROUTE_ALL,
    ROUTE_LOCAL,
    Const,
    CurrVal,
    DeletePlan,
    Fragment,
    InsertPlan,
    NextVal,
    OnConflict,
    ParamValue,
    QueryPlan,
    ResultColumn,
    Returning,
    Route,
    RouteValue,
    SourceColumn,
    SpecialValue,
    SqlValue,
    UpdatePlan,
    ValueSource,
)
from data.sql.printer import Printer
from data.sql.row_printer import RowPrinter
from data.sql.scope import (
    Scope,
    Statement,
    column_of,
    folded,
    position_of,
    shown,
)
from protocol.errors import (
    DefinitionError,
    DuplicateObjectError,
    SqlSyntaxError,
    UnknownColumnError,
    UnknownTableError,
)
from protocol.sqltypes import (
    BIGINT,
    INTEGER_KINDS,
    MICROSECOND_KINDS,
    NUMBER,
    TEXT_KINDS,
    TIMESTAMP,
    VARCHAR,
    Kind,
    SqlType,
)


class Dml:
    """Compiles one INSERT, UPDATE or DELETE."""

    def __init__(self, catalog: Catalog, statement: Statement, parsed: Parsed) -> None:
        self.catalog = catalog
        self.statement = statement
        self.parsed = parsed
        self.tree = parsed.tree
        self.planner = Planner(catalog, statement)
        # bind_query sets the hook by which subqueries are bound
        bind_query(statement, exp.select("1"))

    def target(self, node: Any, privilege: str) -> tuple[Table, str]:
        """The table to change and the name by which the statement calls it."""
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            if isinstance(node, exp.Subquery):
                raise refuse("a query as the target of a change", position_of(node))
            raise refuse("this target of a change", position_of(node))
        parts = tuple(
            folded(p) for p in (node.args.get("catalog"), node.args.get("db"), node.this) if p
        )
        found = self.catalog.resolve(self.statement.schema, parts, position_of(node))
        if not isinstance(found, Table):
            raise refuse(f"changing {type(found).__name__.lower()} {shown(found.name)}")
        if found.materialized is not None:
            raise refuse(f"changing materialized view {shown(found.name)}", position_of(node))
        if found.system and self.statement.user not in ("", "SYS"):
            raise UnknownTableError(f'table "{shown(found.name)}" cannot be changed')
        self.statement.check_privilege(found, privilege)
        alias = node.args.get("alias")
        name = folded(alias.this) if alias is not None and alias.this is not None else parts[-1]
        return found, name

    # -- INSERT ------------------------------------------------------------------------------------
    def insert(self) -> InsertPlan:
        """INSERT … VALUES / SELECT / DEFAULT VALUES."""
        node = self.tree.this
        if isinstance(self.tree, exp.MultitableInserts):
            raise refuse("INSERT ALL and INSERT FIRST")
        names: list[Any] = []
        if isinstance(node, exp.Schema):
            node, names = node.this, list(node.expressions)
        table, alias = self.target(node, "INSERT")
        alias = self.parsed.alias or alias
        positions = [position_in(table, folded(n), n) for n in names]
        if len(set(positions)) != len(positions):
            raise DuplicateObjectError("a column is named twice")
        positions = positions or list(range(len(table.columns)))
        body = self.tree.expression
        source: QueryPlan | None = None
        rows: list[tuple[ValueSource, ...]] | None
        if self.tree.args.get("default") or body is None or self.parsed.default_values:
            rows = [self._row(table, {})]
        elif isinstance(body, exp.Values) and not body.args.get("order"):
            rows = self._value_rows(table, positions, body)
            if rows is None:
                source, rows = self._from_query(table, positions, body)
        else:
            source, rows = self._from_query(table, positions, body)
        return InsertPlan(
            table_id=table.id,
            rows=tuple(rows),
            source=source,
            returning=self._returning(table, alias),
            on_conflict=self._on_conflict(table, alias),
            tables=tuple(dict.fromkeys((table.id, *(source.tables if source else ())))),
        )

    def _row(self, table: Table, given: dict[int, ValueSource]) -> tuple[ValueSource, ...]:
        """A value source for every column: given, or the default."""
        return tuple(
            given[i] if i in given else self.default(table, column)
            for i, column in enumerate(table.columns)
        )

    def default(self, table: Table, column: Column) -> ValueSource:
        """The DEFAULT of a column, as the table's owner means it and may use it."""
        if column.sequence_id:
            return NextVal(column.sequence_id, conversion(BIGINT, column.type))
        if not column.default_sql:
            return Const(None)
        return self.value(self._default_expr(table, column), column)

    def _default_expr(self, table: Table, column: Column) -> Expr:
        statement = self.statement
        schema, user = statement.schema, statement.user
        statement.schema, statement.user = table.schema, user and table.schema
        try:
            return ExpressionBinder(statement, Scope()).bind(parse_expression(column.default_sql))
        finally:
            statement.schema, statement.user = schema, user

    def _value_rows(
        self, table: Table, positions: list[int], body: Any
    ) -> list[tuple[ValueSource, ...]] | None:
        """Rows of VALUES; None if a value needs a query."""
        binder = ExpressionBinder(self.statement, Scope())
        rows: list[tuple[ValueSource, ...]] = []
        for node in body.expressions:
            values = list(node.expressions) if isinstance(node, exp.Tuple) else [node]
            if len(values) != len(positions):
                more = "more" if len(values) > len(positions) else "fewer"
                raise SqlSyntaxError(f"INSERT has {more} expressions than target columns")
            given: dict[int, ValueSource] = {}
            for position, value in zip(positions, values, strict=True):
                if is_default(value):
                    continue
                refuse_given(table.columns[position])
                expr = binder.bind(value)
                if any(isinstance(e, SubqueryExpr) for e in walk(expr)):
                    return None
                column = table.columns[position]
                given[position] = self.value(expr, column)
            rows.append(self._row(table, given))
        return rows

    def value(self, expr: Expr, column: Column) -> ValueSource:
        """An expression without tables as a value of `column`."""
        target = column.type
        if isinstance(expr, ParamExpr):
            settle(expr, parameter_type(target))
            return ParamValue(expr.slot.index, expr.type, conversion(expr.type, target))
        if isinstance(expr, SpecialExpr):
            convert = conversion(expr.type, target)
            if expr.special.name == "nextval":
                return NextVal(expr.special.argument, convert)
            if expr.special.name == "currval":
                return CurrVal(expr.special.argument, convert)
            return SpecialValue(expr.special, convert)
        typed = cast(expr, target)
        if isinstance(typed, ConstExpr):
            return Const(typed.value)
        printer = Printer()
        return SqlValue(printer.fragment("SELECT " + printer.expr(typed)))

    def _from_query(
        self, table: Table, positions: list[int], body: Any
    ) -> tuple[QueryPlan, list[tuple[ValueSource, ...]]]:
        queries = QueryBinder(self.statement, None)
        queries.read_ctes(self.tree)
        query = queries.bind(body)
        for position in positions:
            refuse_given(table.columns[position])
        if len(query.items) != len(positions):
            more = "more" if len(query.items) > len(positions) else "fewer"
            raise SqlSyntaxError(f"INSERT has {more} expressions than target columns")
        given: dict[int, ValueSource] = {}
        kept: list[Item] = []
        plain = isinstance(query, Select) and not query.distinct
        if any(draws(item.expr) for item in query.items):
            return self._from_drawn(table, positions, query)
        for position, item in zip(positions, query.items, strict=True):
            given[position] = SourceColumn(len(kept))
            kept.append(item)
        targets = [table.columns[p].type for p in positions if isinstance(given[p], SourceColumn)]
        if plain:
            query.items = kept or [Item("1", number_const("1"))]
            for item, target in zip(kept, targets, strict=True):
                old = item.expr
                item.expr = cast(settle(old, parameter_type(target)), target)
                for order in query.order:
                    if order.expr is old and is_unknown(old):
                        order.expr = item.expr
        else:
            query = self._wrap(query, targets)
        return self.planner.plan(query, ships=True), [self._row(table, given)]

    def _from_drawn(
        self, table: Table, positions: list[int], query: Query
    ) -> tuple[QueryPlan, list[tuple[ValueSource, ...]]]:
        """The select list names NEXTVAL: such values are made of the rows, in their order."""
        if not isinstance(query, Select) or query.distinct or query.grouped:
            raise refuse("NEXTVAL with DISTINCT, GROUP BY or set operations")
        drawn = Drawn([])
        exprs = same_numbers([item.expr for item in query.items])
        given = {
            position: drawn.source(expr, table.columns[position].type)
            for position, expr in zip(positions, exprs, strict=True)
        }
        query.items = drawn.kept or [Item("1", number_const("1"))]
        return self.planner.plan(query), [self._row(table, given)]

    def _wrap(self, query: Query, targets: list[SqlType]) -> Select:
        """SELECT CAST(column) … FROM (query)."""
        source = derived_source(self.statement, query, "Q")
        outer = Select(sources=[source])
        outer.items = [
            Item(name, cast(column_of(source, name), target))
            for (name, _), target in zip(source.columns, targets, strict=True)
        ]
        return outer

    # -- RETURNING, ON CONFLICT --------------------------------------------------------------------
    def _returning(
        self,
        table: Table,
        alias: str,
        query: Select | None = None,
        *,
        others: Sequence[Source] = (),
    ) -> Returning | None:
        """RETURNING; columns of `others` are brought along by the query that finds the rows."""
        clause = self.tree.args.get("returning")
        if clause is None:
            return None
        if clause.args.get("into"):
            raise refuse("RETURNING … INTO outside PL/SQL")
        self.statement.check_privilege(table, "SELECT")  # it shows what is in the table
        source = table_source(self.statement, table, alias)
        scope = Scope(sources=[source, *others], preferred=source)
        select = exp.select(*[e.copy() for e in clause.expressions])
        items = self._returning_items(select, scope)
        positions = [_plain_position(table, i.expr, source) for i in items]
        columns = tuple(
            ResultColumn(shown(i.name), i.expr.type, i.table_id, i.column_number) for i in items
        )
        printer = RowPrinter([(source, table)])
        printer.add_pseudo_columns(source)
        extras: list[int] = []
        for found in [e for i in items for e in walk(i.expr)]:
            if isinstance(found, ColumnExpr) and found.source in others:
                assert query is not None
                if printer.add(found):
                    extras.append(len(query.items))
                    query.items.append(Item(f"EXTRA{len(extras)}", found))
        fragment = printer.row_fragment([i.expr for i in items])
        known = None if None in positions else tuple(p for p in positions if p is not None)
        return Returning(columns, known, fragment, tuple(extras))

    def _returning_items(self, tree: Any, scope: Scope) -> list[Item]:
        select = Select(sources=scope.sources)
        binder = ExpressionBinder(self.statement, scope)
        QueryBinder(self.statement, None)._items(list(tree.expressions), scope, select, binder)
        settle_items(select)
        if any(isinstance(e, SubqueryExpr) for i in select.items for e in walk(i.expr)):
            raise refuse("a subquery in RETURNING")
        return select.items

    def _on_conflict(self, table: Table, alias: str) -> OnConflict | None:
        clause = self.tree.args.get("conflict")
        if clause is None:
            return None
        if clause.args.get("duplicate"):
            raise refuse("ON DUPLICATE KEY")
        names = set()
        for key in clause.args.get("conflict_keys") or []:
            column = key.this if isinstance(key, exp.Ordered) else key
            names.add(folded(column.this if isinstance(column, exp.Column) else column))
        constraint = clause.args.get("constraint")
        ids = tuple(
            i.id
            for i in table.indexes
            if i.unique
            and (
                (names and set(i.columns) == names)
                or (constraint is not None and i.name == folded(constraint))
            )
        )
        if (names or constraint is not None) and not ids:
            raise DefinitionError(
                "there is no unique constraint matching the ON CONFLICT specification"
            )
        action = str(getattr(clause.args.get("action"), "name", "")).upper()
        if "NOTHING" in action:
            return OnConflict("nothing", ids)
        return self._conflict_update(table, alias, clause, ids)

    def _conflict_update(
        self, table: Table, alias: str, clause: Any, ids: tuple[int, ...]
    ) -> OnConflict:
        self.statement.check_privilege(table, "UPDATE")
        old = table_source(self.statement, table, alias)
        new = table_source(self.statement, table, "EXCLUDED")
        unqualified = Scope(sources=[old], parent=Scope(sources=[new]))
        binder = ExpressionBinder(self.statement, unqualified)
        assigned, exprs = self._assignments(table, clause.expressions, binder)
        where = clause.args.get("where")
        tests = binder.conditions(where.this) if where is not None else []
        flag = Call(
            "coalesce(" + " AND ".join(f"{{{i}}}" for i in range(len(tests))) + ", 0)"
            if tests
            else "1",
            tuple(tests),
            BIGINT,
        )
        if any(isinstance(e, SubqueryExpr) for x in (*exprs, flag) for e in walk(x)):
            raise refuse("a subquery in ON CONFLICT DO UPDATE")
        printer = RowPrinter([(old, table), (new, table)])
        fragment = printer.row_fragment([*exprs, flag])
        return OnConflict("update", ids, tuple(assigned), fragment, moves(table, assigned))

    # -- UPDATE ------------------------------------------------------------------------------------
    def update(self) -> UpdatePlan:
        """UPDATE t SET … [FROM …] [WHERE …]."""
        table, alias = self.target(self.tree.this, "UPDATE")
        scope, select, source = self._block(table, alias, self.tree.args.get("from_"))
        binder = ExpressionBinder(self.statement, scope)
        binder.allow_rownum = len(scope.sources) == 1
        assigned, exprs = self._assignments(table, self.tree.expressions, binder)
        binder.allow_rownum = False
        select.windowed = any(isinstance(e, WindowExpr) for x in exprs for e in walk(x))
        limit = self._conditions(select, binder)
        drawn = Drawn([], len(full_row_columns(table)))
        made: tuple[ValueSource, ...] = ()
        if any(draws(expr) for expr in exprs):
            types = [table.columns[p].type for p in assigned]
            pairs = zip(same_numbers(exprs), types, strict=True)
            made = tuple(drawn.source(expr, type_) for expr, type_ in pairs)
            exprs = [item.expr for item in drawn.kept]
        moving = moves(table, assigned)
        plain = len(select.sources) == 1 and not moving and limit is None and not made
        plain = plain and not select.windowed and not asks_of(table, exprs)
        select.items = [Item("", e) for e in exprs] or [Item("", number_const("1"))]
        route = self._route(select) if plain else None
        if route is None:
            query = self._rows_query(table, source, select, exprs, limit)
            returning = self._returning(table, alias, query, others=select.sources[1:])
            plan = self.planner.plan(query)
            return UpdatePlan(
                table.id,
                "general",
                ROUTE_ALL,
                None,
                None,
                tuple(assigned),
                moves_rows=moving,
                returning=returning,
                rows_query=plan,
                tables=tuple(dict.fromkeys((table.id, *plan.tables))),
                reasons=plan.reasons,
                made=made,
            )
        returning = self._returning(table, alias)
        printer = Printer()
        sets = ", ".join(
            f"{quoted(table.columns[p].name)} = {printer.expr(e)}"
            for p, e in zip(assigned, exprs, strict=True)
        )
        text = f"UPDATE {quoted(table_name(table))} AS {source.alias} SET {sets}"
        fragment = printer.fragment(text + where_text(printer, select))
        key = key_values(table, source, select)
        by_key, found = self._by_key(table, source, select, assigned, exprs, fragment, key)
        return UpdatePlan(
            table.id,
            "single" if one_place(route) else "co-located",
            route,
            fragment,
            self._match(table, source, select),
            tuple(assigned),
            key=key,
            returning=returning,
            tables=tuple(dict.fromkeys((table.id, *table_ids(select)))),
            reasons=tuple(self.planner.reasons),
            keyed=by_key,
            found=found,
            look="" if key is None else look(fragment, table, source, select, assigned, exprs),
        )

    def _block(self, table: Table, alias: str, extra: Any) -> tuple[Scope, Select, Source]:
        """The scope of UPDATE and DELETE: the target and further tables."""
        source = table_source(self.statement, table, alias)
        scope = Scope(sources=[source])
        select = Select(sources=scope.sources)
        queries = QueryBinder(self.statement, None)
        queries.read_ctes(self.tree)
        scope.ctes = queries.ctes
        select.ctes = queries.recursive
        nodes = extra if isinstance(extra, list) else [extra.this] if extra is not None else []
        for node in nodes:
            joins = node.args.get("joins") or []
            other = queries.source(node, scope)
            other.join = "inner"
            scope.sources.append(other)
            for join in joins:
                queries.join(join, scope, select)
        for join in (extra.args.get("joins") or []) if isinstance(extra, exp.From) else []:
            queries.join(join, scope, select)
        return scope, select, source

    def _assignments(
        self, table: Table, nodes: list[Any], binder: ExpressionBinder
    ) -> tuple[list[int], list[Expr]]:
        assigned: list[int] = []
        exprs: list[Expr] = []
        for node in nodes:
            if not isinstance(node, exp.EQ):
                raise SqlSyntaxError("SET column = value is expected")
            left, right = node.this, node.expression
            if isinstance(left, exp.Paren):
                left = exp.Tuple(expressions=[left.this])
            if isinstance(left, exp.Tuple):
                self._assign_row(table, left, right, binder, assigned, exprs)
                continue
            position = position_in(table, folded(left.this), left)
            assigned.append(position)
            exprs.append(self._assigned(table, table.columns[position], right, binder))
        if len(set(assigned)) != len(assigned):
            raise SqlSyntaxError("a column is assigned twice in one UPDATE")
        return assigned, exprs

    def _assigned(self, table: Table, column: Column, node: Any, binder: ExpressionBinder) -> Expr:
        if is_default(node):
            if not column.default_sql:
                return null(column.type)
            return cast(self._default_expr(table, column), column.type)
        refuse_given(column)
        expr = binder.bind(node)
        if is_unknown(expr) and isinstance(expr, ParamExpr):
            expr = settle(expr, parameter_type(column.type))
        return cast(expr, column.type)

    def _assign_row(
        self,
        table: Table,
        left: Any,
        right: Any,
        binder: ExpressionBinder,
        assigned: list[int],
        exprs: list[Expr],
    ) -> None:
        """SET (a, b) = (x, y) or (SELECT …)."""
        positions = [position_in(table, folded(c.this), c) for c in left.expressions]
        assigned += positions
        while isinstance(right, exp.Paren):
            right = right.this
        if isinstance(right, exp.Tuple):
            if len(right.expressions) != len(positions):
                raise SqlSyntaxError("number of columns does not match number of values")
            for position, node in zip(positions, right.expressions, strict=True):
                exprs.append(self._assigned(table, table.columns[position], node, binder))
            return
        if not isinstance(right, exp.Query):
            raise SqlSyntaxError("SET (columns) = (values) or (SELECT …) is expected")
        for number, position in enumerate(positions):
            query = binder.subquery(right.copy())
            if len(query.items) != len(positions):
                raise SqlSyntaxError("number of columns does not match number of values")
            if not isinstance(query, Select):
                raise refuse("SET (columns) = a set operation")
            query.items = [query.items[number]]
            value = SubqueryExpr("scalar", query, query.items[0].expr.type)
            exprs.append(cast(value, table.columns[position].type))

    # -- DELETE ------------------------------------------------------------------------------------
    def delete(self) -> DeletePlan:
        """DELETE [FIRST n] FROM t [USING …] [WHERE …]."""
        table, alias = self.target(self.tree.this, "DELETE")
        using = self.tree.args.get("using") or None
        scope, select, source = self._block(table, alias, using)
        limit = self._conditions(select, ExpressionBinder(self.statement, scope))
        plain = len(select.sources) == 1 and limit is None
        select.items = [Item("", number_const("1"))]
        route = self._route(select) if plain else None
        if route is None:
            query = self._rows_query(table, source, select, [], limit)
            returning = self._returning(table, alias, query, others=select.sources[1:])
            plan = self.planner.plan(query)
            return DeletePlan(
                table.id,
                "general",
                ROUTE_ALL,
                None,
                None,
                returning=returning,
                rows_query=plan,
                tables=tuple(dict.fromkeys((table.id, *plan.tables))),
                reasons=plan.reasons,
            )
        returning = self._returning(table, alias)
        printer = Printer()
        text = f"DELETE FROM {quoted(table_name(table))} AS {source.alias}"
        fragment = printer.fragment(text + where_text(printer, select))
        key = key_values(table, source, select)
        by_key, found = self._by_key(table, source, select, (), (), fragment, key)
        return DeletePlan(
            table.id,
            "single" if one_place(route) else "co-located",
            route,
            fragment,
            self._match(table, source, select),
            key=key,
            returning=returning,
            tables=tuple(dict.fromkeys((table.id, *table_ids(select)))),
            reasons=tuple(self.planner.reasons),
            keyed=by_key,
            found=found,
        )

    # -- shared by UPDATE and DELETE ---------------------------------------------------------------
    def _no_sequences(self, expr: Expr) -> None:
        if draws(expr):
            raise refuse("NEXTVAL in UPDATE of MERGE")

    def _conditions(self, select: Select, binder: ExpressionBinder) -> Expr | None:
        """WHERE into the block; how many rows at most: FIRST n, LIMIT n, ROWNUM <= n."""
        limit = self._first()
        where = self.tree.args.get("where")
        for part in conjuncts(where.this) if where is not None else []:
            rows = row_limit(part, binder)
            if rows is not None:
                limit = both_limits(limit, rows)
            else:
                select.where.append(binder.condition(part))
        return limit

    def _first(self) -> Expr | None:
        """How many rows at most: DELETE FIRST n, LIMIT n."""
        text = self.parsed.first
        if text is None:
            limit = self.tree.args.get("limit")
            if limit is None:
                return None
            binder = ExpressionBinder(self.statement, Scope())
            return settle(binder.bind(limit.expression), BIGINT)
        if text.startswith("$"):
            return settle(ParamExpr(self.statement.slot(int(text[1:]))), BIGINT)
        return number_const(text)

    def _route(self, select: Select) -> Route | None:
        """Where the statement runs by itself; None: it needs rows of other places."""
        if select.ctes:
            return None
        place = self.planner.placement.block(select)
        if not place.ok:
            self.planner.reasons.append(place.reason)
            return None
        if place.one:
            return ROUTE_LOCAL
        table = select.sources[0].table
        assert table is not None
        if table.distribution is Distribution.DUPLICATE:
            return None
        return block_route(self.catalog, place) or ROUTE_ALL

    def _by_key(
        self,
        table: Table,
        source: Source,
        select: Select,
        assigned: Sequence[int],
        exprs: Sequence[Expr],
        fragment: Fragment,
        key: tuple[RouteValue, ...] | None,
    ) -> tuple[str, Fragment | None]:
        """`keyed` and `found` of a plan."""
        if key is not None:
            return "", None
        if rows_are_apart(table, select, assigned):
            return keyed(fragment, table, source, select), None
        return keyed_by_found(table, source, select, assigned, exprs, fragment) or ("", None)

    def _match(self, table: Table, source: Source, select: Select) -> Fragment:
        printer = Printer()
        keys = ", ".join(f"{source.alias}.{quoted(k)}" for k in key_columns(table))
        text = f"SELECT {keys} FROM {quoted(table_name(table))} AS {source.alias}"
        return printer.fragment(text + where_text(printer, select))

    def _rows_query(
        self,
        table: Table,
        source: Source,
        select: Select,
        exprs: list[Expr],
        limit: Expr | None,
    ) -> Select:
        """SELECT full old row, new values."""
        types = {c.name: c.type for c in table.columns}
        items: list[Item] = []
        for name in full_row_columns(table):
            source.used.add(name)
            items.append(Item(name, ColumnExpr(source, name, types.get(name, BIGINT))))
        items += [Item(f"NEW{n}", e) for n, e in enumerate(exprs)]
        group: list[Expr] = []
        if len(select.sources) > 1:  # a row that several others match is changed once
            group = [ColumnExpr(source, k, types.get(k, BIGINT)) for k in key_columns(table)]
        return Select(
            sources=select.sources,
            where=select.where,
            group=group,
            grouped=bool(group),
            items=items,
            row_limit=limit,
            ctes=select.ctes,
            windowed=select.windowed,
        )


# -- helpers ---------------------------------------------------------------------------------------
def parameter_type(column: SqlType) -> SqlType:
    """The type an untyped parameter takes when it is stored in a column: checked on conversion."""
    if column.kind in INTEGER_KINDS:
        return column
    if column.is_scaled and column.scale == 0:
        return BIGINT
    if column.kind is Kind.NUMBER:
        return NUMBER
    if column.kind in (Kind.DATE, Kind.TIMESTAMP, Kind.TT_TIMESTAMP):
        return TIMESTAMP
    if column.kind in MICROSECOND_KINDS:
        return column
    if column.kind in TEXT_KINDS and column.kind not in (Kind.JSON, Kind.UUID):
        return VARCHAR
    if column.kind in (Kind.BINARY, Kind.VARBINARY):
        return SqlType(Kind.VARBINARY)
    return column


def is_default(node: Any) -> bool:
    """The keyword DEFAULT as a value."""
    if isinstance(node, exp.Var):
        return str(node.name).upper() == "DEFAULT"
    return (
        isinstance(node, exp.Column)
        and not node.args.get("table")
        and isinstance(node.this, exp.Identifier)
        and not node.this.args.get("quoted")
        and folded(node.this) == "DEFAULT"
    )


def position_in(table: Table, name: str, node: Any) -> int:
    """Row position of a column. Raises UnknownColumnError."""
    for number, column in enumerate(table.columns):
        if column.name == name:
            return number
    raise UnknownColumnError(
        f'column "{shown(name)}" of table "{shown(table.name)}" does not exist',
        position=position_of(node),
    )


def _plain_position(table: Table, expr: Expr, source: Source) -> int | None:
    if not isinstance(expr, ColumnExpr) or expr.source is not source:
        return None
    return next((n for n, c in enumerate(table.columns) if c.name == expr.name), None)


def moves(table: Table, assigned: list[int]) -> bool:
    """Does changing these columns change where the row belongs?"""
    names = {table.columns[p].name for p in assigned}
    if table.distribution is Distribution.HASH:
        return bool(names & set(table.distribution_key))
    if table.distribution is Distribution.REFERENCE:
        for key in table.foreign_keys:
            if key.name == table.reference_key:
                return bool(names & set(key.columns))
    return False


__all__ = ["Dml", "RowPrinter", "call", "is_default", "parameter_type"]
