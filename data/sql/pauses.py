"""pg_sleep(seconds) in a query: the query waits before it begins. Pure.

PostgreSQL calls it wherever the query comes by. Here the calls of a SELECT that reads no table are
taken out (each is NULL then) and the session waits for their sum, on the event loop, once.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from data.sql.ir import ParamExpr
from data.sql.operators import settle
from data.sql.parse import PREFIX, refuse
from data.sql.scope import Statement, position_of
from protocol.errors import SqlSyntaxError
from protocol.sqltypes import DOUBLE

PAUSE_MAX_S = 1e8  # three years
Pause = float | int  # seconds, or the place of the parameter that has them


def take_pauses(statement: Statement, tree: Any) -> tuple[Pause, ...]:
    """Take the calls out of a query. Raises NotSupportedError, SqlSyntaxError."""
    return tuple(_take(statement, call) for call in list(tree.find_all(exp.Anonymous)) if _is(call))


def _is(call: Any) -> bool:
    return str(call.this).upper().removeprefix(PREFIX) == "PG_SLEEP"


def _take(statement: Statement, call: Any) -> Pause:
    if len(call.expressions) != 1:
        raise SqlSyntaxError("pg_sleep needs a number of seconds", position=position_of(call))
    select, table = call.find_ancestor(exp.Select), call.parent
    source = select.args.get("from_") if select is not None else None
    is_source = isinstance(table, exp.Table)
    alone = source is None or source.this is table or _is_dual(source.this)
    if select is None or select.parent is not None or not alone or select.args.get("joins"):
        raise refuse("pg_sleep in a query that reads tables", position_of(call))
    pause = _seconds(statement, call.expressions[0])
    if is_source:
        name = table.alias or "PG_SLEEP"
        row = exp.select(exp.alias_(exp.Null(), name, quoted=True)).from_("dual")
        alias = exp.TableAlias(this=exp.to_identifier(name, quoted=True))
        table.replace(exp.Subquery(this=row, alias=alias))
    elif table is select:
        call.replace(exp.alias_(exp.Null(), "PG_SLEEP", quoted=True))
    else:
        call.replace(exp.Null())
    return pause


def _is_dual(table: Any) -> bool:
    return isinstance(table, exp.Table) and table.name.upper() == "DUAL"


def _seconds(statement: Statement, node: Any) -> Pause:
    while isinstance(node, exp.Cast | exp.Paren):
        node = node.this
    name = str(getattr(node, "name", ""))
    if isinstance(node, exp.Column | exp.Var) and name[:1] == "$" and name[1:].isdigit():
        slot = statement.slot(int(name[1:]))
        settle(ParamExpr(slot), DOUBLE)
        return slot.index
    if isinstance(node, exp.Null):
        return 0.0
    minus = isinstance(node, exp.Neg)
    node = node.this if minus else node
    try:
        seconds = float(str(node.this))
    except ValueError:
        raise refuse("pg_sleep of what is no number or parameter", position_of(node)) from None
    return 0.0 if minus else seconds


def seconds_of(pauses: tuple[Pause, ...], values: tuple[object, ...]) -> float:
    """How long the statement waits; NULL and what is below 0 are no wait."""
    total = 0.0
    for pause in pauses:
        value = values[pause] if isinstance(pause, int) else pause
        total += max(0.0, float(str(value))) if value is not None else 0.0  # NaN: 0
    return min(total, PAUSE_MAX_S)
