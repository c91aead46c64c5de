"""Derived tables: sources over bound queries. Pure."""

from __future__ import annotations

from data.sql.ir import Query, Source
from data.sql.operators import is_unknown, settle
from data.sql.scope import Statement
from protocol.sqltypes import VARCHAR, SqlType


def derived_source(statement: Statement, query: Query, name: str) -> Source:
    """A derived table over a bound query; its columns keep the items' names, made unique."""
    columns: list[tuple[str, SqlType]] = []
    taken: set[str] = set()
    for number, item in enumerate(query.items):
        if is_unknown(item.expr):
            item.expr = settle(item.expr, VARCHAR)
        unique = item.name if item.name not in taken else f"{item.name}\x01{number}"
        taken.add(unique)
        columns.append((unique, item.expr.type))
    return Source(statement.new_alias(), name, "query", columns, query=query)
