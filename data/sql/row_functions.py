"""Functions in FROM: generate_series, unnest of a list, and any function of one value. Pure.

Each is a query, built as a tree around the arguments as they were written, so that whatever holds
for queries holds for them: types, columns of tables to the left, where they run.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlglot import exp

from data.sql.parse import PREFIX, parse_query, refuse
from data.sql.scope import position_of
from protocol.errors import ParameterError, SqlSyntaxError
from protocol.sqltypes import Kind, SqlType

_SERIES = """WITH TG_SERIES (N) AS (SELECT $1 FROM dual WHERE {test} UNION ALL
  SELECT N + $3 FROM TG_SERIES WHERE {again}) SELECT N FROM TG_SERIES"""
_WHOLE = (Kind.UNKNOWN, Kind.TINYINT, Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT)
_BIGINT = parse_query("SELECT CAST(1 AS TT_BIGINT) FROM dual").tree.expressions[0].args["to"]
_UP, _DOWN = "{0} <= $2", "{0} >= $2"
_EITHER = "($1 + ($3) > $1 AND {0} <= $2 OR $1 + ($3) < $1 AND {0} >= $2)"  # a step of 0: no rows


def function_query(
    node: Any, named: Any, type_of: Callable[[Any], SqlType]
) -> tuple[Any, str, list[str]]:
    """The query for a function in FROM, the function's name, and what its columns are called.

    `named` holds WITH ORDINALITY; `type_of`: of an argument. Raises NotSupportedError.
    """
    call = node.this if isinstance(node, exp.Table) else node
    if isinstance(node, exp.Unnest):
        query, name = _unnest(node.expressions), "UNNEST"
        ordinality = node.args.get("offset")
    else:
        name = str(call.this).upper().removeprefix(PREFIX)
        ordinality = named.args.get("ordinality")
        if name == "TABLE":
            raise refuse("TABLE (collection) in FROM", position_of(node))
        if name == "GENERATE_SERIES":
            query = _series(call.expressions, type_of)
        elif name == "UNNEST":
            query = _unnest(call.expressions)
        else:
            query = exp.select(exp.alias_(call.copy(), name, quoted=True))
    names = [name]
    if name == "UNNEST":
        names += [f"{name}{i}" for i in range(1, len(call.expressions))]
    if not ordinality:
        return query, name, names
    alias = exp.TableAlias(this=exp.to_identifier("TG_ROWS"))
    inner = exp.Subquery(this=query, alias=alias)
    numbered = parse_query("SELECT TG_ROWS.*, ROWNUM AS ORDINALITY FROM dual").tree
    numbered.set("from_", exp.From(this=inner))
    columns = [*names, "ORDINALITY"]
    if isinstance(ordinality, exp.Identifier):  # u(a, b) WITH ORDINALITY: sqlglot takes b away
        given = [str(c.this) for c in named.args["alias"].args.get("columns") or []]
        named.args["alias"].set("columns", None)
        columns = [c.upper() for c in (*given, str(ordinality.this))]
    return numbered, name, columns


def _series(arguments: list[Any], type_of: Callable[[Any], SqlType]) -> Any:
    if len(arguments) not in (2, 3):
        raise SqlSyntaxError("generate_series needs a start, a stop and perhaps a step")
    values = [*arguments, exp.Literal.number(1)][:3]
    step = values[2]
    sign = _sign(step)
    if sign == 0:
        raise ParameterError("step size cannot equal zero")
    test = _UP if sign == 1 else _DOWN if sign == -1 else _EITHER
    if all(_is_whole(type_of(argument)) for argument in arguments):
        values = [exp.Cast(this=value.copy(), to=_BIGINT.copy()) for value in values]
    text = _SERIES.format(test=test.format("($1)"), again=test.format("N + ($3)"))
    return _with_arguments(parse_query(text).tree, values)


def _is_whole(kind: SqlType) -> bool:
    """A whole number that BIGINT holds, or a parameter that nothing tells the type of."""
    if kind.kind is Kind.NUMBER:
        return kind.scale == 0 and 0 < kind.precision <= 18
    return kind.kind in _WHOLE


def _sign(step: Any) -> int | None:
    """Of a number as it is written; None: not known before it is computed."""
    minus = isinstance(step, exp.Neg)
    number = step.this if minus else step
    if not isinstance(number, exp.Literal) or number.is_string:
        return None
    value = Decimal(str(number.this))
    return 0 if value == 0 else -1 if minus else 1


def _with_arguments(tree: Any, values: list[Any]) -> Any:
    """The tree with the arguments in the places of $1, $2, …"""

    def put(part: Any) -> Any:
        name = str(getattr(part, "name", ""))
        if isinstance(part, exp.Column | exp.Var) and name[:1] == "$":
            return exp.Paren(this=values[int(name[1:]) - 1].copy())
        return part

    return tree.transform(put)


_ELEMENTS = """WITH TG_PLACES (N) AS (SELECT 1 FROM dual WHERE {most} > 0 UNION ALL
  SELECT N + 1 FROM TG_PLACES WHERE N < {most}) SELECT {items} FROM TG_PLACES"""


def _elements(arrays: list[Any]) -> Any:
    """The elements of arrays side by side, NULL behind the end of a shorter one."""
    counts = [f"cardinality(${i + 1})" for i in range(len(arrays))]
    most = counts[0] if len(counts) == 1 else f"greatest({', '.join(counts)})"
    items = ", ".join(f"(${i + 1})[N] AS UNNEST{i or ''}" for i in range(len(arrays)))
    tree = parse_query(_ELEMENTS.format(most=most, items=items)).tree
    return _with_arguments(tree, arrays)


def _unnest(arguments: list[Any]) -> Any:
    if len(arguments) != 1 or not isinstance(arguments[0], exp.Array):
        return _elements(arguments)
    items = arguments[0].expressions
    if not items:
        raise refuse("unnest of an empty array")
    return exp.Values(expressions=[exp.Tuple(expressions=[i.copy()]) for i in items])
