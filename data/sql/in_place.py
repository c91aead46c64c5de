"""UPDATE and DELETE where the rows are: the row's key in WHERE, rows that stand apart. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from data.catalog.element_ddl import full_row_columns, key_columns, quoted, table_name
from data.catalog.objects import Table
from data.sql.convert import int_scale
from data.sql.ir import Call, ColumnExpr, Expr, Select, Source, SubqueryExpr, all_sources, walk
from data.sql.operators import joined
from data.sql.placement import route_value
from data.sql.plan_types import Fragment, Route, RouteValue
from data.sql.printer import Printer
from protocol.sqltypes import MICROSECOND_KINDS, TEXT_KINDS, Kind, SqlType


def one_place(route: Route) -> bool:
    """Does it lead to one replica set?"""
    if route.kind == "global_index":
        return not route.many
    return route.kind == "local" or (route.kind == "keys" and len(route.keys) == 1)


def where_text(printer: Printer, select: Select) -> str:
    """The WHERE of a block, "" without conditions."""
    if not select.where:
        return ""
    return " WHERE " + joined("AND", [printer.expr(w) for w in select.where])


def assigns_unique_key(table: Table, assigned: Sequence[int]) -> bool:
    """Is a column of one assigned?"""
    unique = {*key_columns(table)}
    unique.update(c for index in table.indexes if index.unique for c in index.columns)
    return any(table.columns[at].name in unique for at in assigned)


def rows_are_apart(table: Table, select: Select, assigned: Sequence[int]) -> bool:
    """What becomes of a row does not depend on other rows, nor on what was done to them before.

    And looking at it twice gives the same.
    """
    if assigns_unique_key(table, assigned):
        return False
    exprs = [item.expr for item in select.items] + select.where
    return not any(
        isinstance(e, SubqueryExpr) or (isinstance(e, Call) and "random(" in e.template)
        for expr in exprs
        for e in walk(expr)
    )


def asks_of(table: Table, exprs: Sequence[Expr]) -> bool:
    """Do new values ask for other rows of their table?

    SQLite answers that row by row, with the rows that the statement has changed before.
    """
    return any(
        source.table is not None and source.table.id == table.id
        for expr in exprs
        for e in walk(expr)
        if isinstance(e, SubqueryExpr)
        for source in all_sources(e.query)
    )


def keyed(fragment: Fragment, table: Table, source: Source, select: Select) -> str:
    """The text of an UPDATE or DELETE for one row: its key follows the parameters."""
    tests = " AND ".join(
        f"{source.alias}.{quoted(column)} = ?{number}"
        for number, column in enumerate(key_columns(table), len(fragment.params) + 1)
    )
    return f"{fragment.sql}{' AND ' if select.where else ' WHERE '}{tests}"


def look(
    fragment: Fragment,
    table: Table,
    source: Source,
    select: Select,
    assigned: Sequence[int],
    exprs: Sequence[Expr],
) -> str:
    """`UpdatePlan.look` of an UPDATE by key."""
    if table.checks or not rows_are_apart(table, select, assigned):
        return ""
    printer = Printer()  # meets the parameters in the order in which the UPDATE did
    news = [printer.expr(e) for e in exprs]
    olds = [f"{source.alias}.{quoted(name)}" for name in full_row_columns(table)]
    text = f"SELECT {', '.join(olds + news)} FROM {quoted(table_name(table))} AS {source.alias}"
    text += where_text(printer, select)
    return text if printer.fragment(text).params == fragment.params else ""


def key_values(table: Table, source: Source, select: Select) -> tuple[RouteValue, ...] | None:
    """The values of the primary key if the conditions are just these equalities."""
    if table.row_key or not table.primary_key or len(select.where) != len(table.primary_key):
        return None
    types = {c.name: c.type for c in table.columns}
    found: dict[str, RouteValue] = {}
    for condition in select.where:
        if not isinstance(condition, Call) or condition.template not in (
            "({0} = {1})",
            "({0} = {1} COLLATE decimal)",
        ):
            return None
        left, right = condition.args
        if not isinstance(left, ColumnExpr):
            left, right = right, left
        if not isinstance(left, ColumnExpr) or left.source is not source:
            return None
        if left.name not in types:  # a pseudo-column
            return None
        value = route_value(right) if not isinstance(right, Call) else None
        if value is None or not _same_storage(value.type, types[left.name]):
            return None
        found[left.name] = value
    if set(found) != set(table.primary_key):
        return None
    return tuple(found[name] for name in table.primary_key)


def _same_storage(a: SqlType, b: SqlType) -> bool:
    if int_scale(a) is not None or int_scale(b) is not None:
        return int_scale(a) == int_scale(b)
    if a.kind in TEXT_KINDS and b.kind in TEXT_KINDS:
        return a.kind is b.kind or b.kind in (Kind.VARCHAR, Kind.NVARCHAR)
    if a.kind in MICROSECOND_KINDS and b.kind in MICROSECOND_KINDS:
        return True
    return a.kind is b.kind
