"""What DDL planning asks the compiler: CHECK conditions, view columns, DEFAULT values. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from data.catalog.catalog import Catalog
from data.catalog.objects import Column, Materialized, Table
from data.sql.bind_expr import ExpressionBinder
from data.sql.bind_from import table_source
from data.sql.bind_query import bind_query, settle_items
from data.sql.compiler import Compiler
from data.sql.ddl_tables import stored_type
from data.sql.ir import (
    Call,
    ColumnExpr,
    ConstExpr,
    Query,
    Select,
    SpecialExpr,
    SubqueryExpr,
    all_sources,
    deep_exprs,
    walk,
)
from data.sql.operators import cast
from data.sql.parse import parse_expression, parse_query, refuse
from data.sql.plan_types import Special
from data.sql.printer import Printer, literal
from data.sql.scope import Scope, Statement, shown
from protocol.errors import DefinitionError, GridError, NotSupportedError
from protocol.sqltypes import SqlType, StorageValue

Evaluate = Callable[[str, tuple[StorageValue, ...]], StorageValue]


class CompilerHooks:
    """The DdlHooks of data/sql/ddl_build.py."""

    def __init__(
        self,
        compiler: Compiler,
        evaluate: Evaluate,
        now_us: Callable[[], int],
        database: str = "",
    ) -> None:
        """evaluate: runs a SELECT of one value with all SQL functions; now_us: the wall clock."""
        self._catalog = compiler.catalog
        self._evaluate = evaluate
        self.now_us = now_us
        self.database = database

    def compile_check(self, table: Table, condition: str) -> str:
        """A CHECK condition as SQLite text over the bare columns of the table."""
        statement = Statement(self._catalog, table.schema, "", ())
        source = table_source(statement, table, table.name)
        binder = ExpressionBinder(statement, Scope(sources=[source]))
        tree = parse_expression(condition)
        refuse_queries(tree, "a CHECK")
        expr = binder.condition(tree)
        for node in walk(expr):
            if isinstance(node, SubqueryExpr | SpecialExpr):
                raise refuse("a CHECK with a subquery or the time or user")
        printer = _CheckPrinter()
        printer.names[id(source)] = ""
        return printer.expr(expr)

    def compile_conversion(self, table: Table, text: str, sql_type: SqlType) -> str:
        """An expression over a table's columns as a value of a type, as SQLite text."""
        statement = Statement(self._catalog, table.schema, "", ())
        source = table_source(statement, table, table.name)
        binder = ExpressionBinder(statement, Scope(sources=[source]))
        tree = parse_expression(text)
        refuse_queries(tree, "a conversion")
        expr = cast(binder.bind(tree), sql_type)
        for node in walk(expr):
            if isinstance(node, SubqueryExpr | SpecialExpr):
                raise refuse("a conversion with a subquery or the time or user")
        printer = _CheckPrinter()
        printer.names[id(source)] = ""
        return printer.expr(expr)

    def describe_query(
        self, text: str, schema: str, user: str, catalog: Catalog
    ) -> tuple[tuple[Column, ...], tuple[int, ...]]:
        """Result columns of a query, and the ids of the tables, views and sequences it names."""
        statement = Statement(catalog, schema, user, ())
        query = bind_query(statement, parse_query(text).tree)
        settle_items(query)
        if statement.slots:
            raise DefinitionError("a view or CREATE TABLE AS cannot have parameters")
        columns = tuple(Column(i.name, i.expr.type) for i in query.items)
        used = {s.table.id: None for s in all_sources(query) if s.table is not None}
        used.update(dict.fromkeys(statement.views_used))
        for expr in deep_exprs(query):
            if isinstance(expr, SpecialExpr) and expr.special.name in ("nextval", "currval"):
                used[expr.special.argument] = None
        return columns, tuple(used)

    def describe_materialized(
        self, text: str, schema: str, user: str, catalog: Catalog
    ) -> tuple[Table, tuple[Column, ...], Materialized]:
        """The one table, the columns and the making of a materialized view with that query.

        Raises NotSupportedError for what is not rows of one table: joins, groups, subqueries….
        """
        statement = Statement(catalog, schema, user, ())
        query = bind_query(statement, parse_query(text).tree)
        settle_items(query)
        detail = _only_table(query, statement)
        assert isinstance(query, Select)
        (source,) = query.sources
        printer = _CheckPrinter()
        printer.names[id(source)] = ""
        columns: list[Column] = []
        shows: list[str] = []
        items: list[str] = []
        for item in query.items:
            sql_type = stored_type(item.expr.type)
            nullable = True
            if isinstance(item.expr, ColumnExpr):
                column = detail.column(item.expr.name)
                if column is None:
                    raise refuse(f"{shown(item.expr.name)} in a materialized view")
                sql_type, nullable = column.type, column.nullable
                shows.append(column.name)
                items.append(printer.expr(item.expr))
            else:
                shows.append("")
                items.append(printer.expr(cast(item.expr, sql_type)))
            columns.append(Column(item.name, sql_type, nullable))
        where = " AND ".join(f"({printer.expr(c)})" for c in query.where)
        made = Materialized(detail.id, text, tuple(shows), tuple(items), where)
        return detail, tuple(columns), made

    def constant(self, text: str, sql_type: SqlType) -> StorageValue:
        """The value of an expression without columns; None for one that draws a sequence."""
        statement = Statement(self._catalog, "", "", ())
        bind = ExpressionBinder(statement, Scope())
        try:
            expr = cast(bind.bind(parse_expression(text)), sql_type)
        except GridError as error:
            if "nextval" in text.lower():
                return None
            raise error
        if isinstance(expr, ConstExpr):
            return expr.value
        printer = Printer()
        sql = "SELECT " + printer.expr(expr)
        specials = [s for s in printer.sources if isinstance(s, Special)]
        if any(s.name in ("nextval", "currval") for s in specials):
            return None
        now_us = self.now_us()
        values = tuple(
            _special_now(s, now_us) if isinstance(s, Special) else None for s in printer.sources
        )
        return self._evaluate(sql, values)


def _only_table(query: Query, statement: Statement) -> Table:
    """The table of a query that a materialized view can have. Raises NotSupportedError."""
    if not isinstance(query, Select):
        raise refuse("UNION, INTERSECT or MINUS in a materialized view")
    for there, what in (
        (query.grouped or query.group_sets, "GROUP BY or an aggregate"),
        (query.distinct, "DISTINCT"),
        (query.windowed, "an analytic function"),
        (query.order, "ORDER BY"),
        (query.row_limit or query.limit or query.offset, "a limit of rows"),
        (query.ctes, "WITH"),
        (query.lock, "FOR UPDATE"),
        (statement.slots, "a parameter"),
    ):
        if there:
            raise refuse(f"{what} in a materialized view")
    if len(query.sources) != 1 or query.sources[0].kind != "table":
        raise NotSupportedError(
            "a materialized view shows one table: no joins, views or subqueries in FROM",
            hint="join the materialized view itself with other tables",
        )
    for node in deep_exprs(query):
        if isinstance(node, SubqueryExpr | SpecialExpr) or (
            isinstance(node, Call) and node.volatile
        ):
            raise refuse("a subquery, a sequence, the time or the user in a materialized view")
    table = query.sources[0].table
    assert table is not None
    return table


def refuse_queries(tree: Any, where: str) -> None:
    """Raises NotSupportedError for subqueries."""
    if tree.find(exp.Query, exp.Exists) is not None:
        raise refuse(f"{where} with a subquery")


class _CheckPrinter(Printer):
    """Prints every literal in the text: a CHECK has no parameters."""

    def _const(self, value: StorageValue) -> str:
        if isinstance(value, str) and "\0" in value:
            raise refuse("a CHECK with a NUL character")
        return literal(value)


def _special_now(special: Special, now: int) -> StorageValue:
    known = {
        "sysdate": now - now % 1_000_000,
        "systimestamp": now,
        "today": now - now % 86_400_000_000,
    }
    return known.get(special.name, "")
