"""Make a bound query give columns of other types: set operands, IN subqueries. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data.sql.ir import Expr, Query, SetColumn, SetOp, Values
from data.sql.operators import convert_to
from protocol.sqltypes import SqlType

Convert = Callable[[Expr, SqlType], Expr]


def retype_query(query: Query, types: Sequence[SqlType], convert: Convert = convert_to) -> None:
    """Change the items of `query` in place so that they have these types."""
    if isinstance(query, SetOp):
        if [i.expr.type for i in query.items] == list(types):
            return
        retype_query(query.left, types, convert)
        retype_query(query.right, types, convert)
        for item, type_ in zip(query.items, types, strict=True):
            assert isinstance(item.expr, SetColumn)
            item.expr.type = type_
        return
    if isinstance(query, Values):
        for row in query.rows:
            row[:] = [convert(e, t) for e, t in zip(row, types, strict=True)]
        for item, type_ in zip(query.items, types, strict=True):
            item.expr.type = type_
        return
    for item, type_ in zip(query.items, types, strict=True):
        item.expr = convert(item.expr, type_)
