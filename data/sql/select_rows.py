"""Functions that give rows in a select list: SELECT generate_series(1, 3). Pure.

They become functions in FROM, beside what is there: a row of FROM comes once for each row of the
function, as in PostgreSQL. Several run in step there; here several `unnest` do.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from data.sql.parse import PREFIX, refuse
from data.sql.scope import position_of

_NAMES = ("GENERATE_SERIES", "UNNEST")
_ALIAS = "TG_S_ROWS"


def hoist_row_functions(tree: Any) -> None:
    """Change a SELECT in place; a second time it has nothing to do. Raises NotSupportedError."""
    found = [call for node in tree.expressions for call in _calls(node, tree)]
    if not found:
        return
    if tree.args.get("group") or tree.args.get("having"):
        raise refuse("a function that gives rows beside aggregates", position_of(found[0]))
    kinds = {_name(call) for call in found}
    different = {call.sql(): call for call in found}
    if kinds == {"UNNEST"}:
        arguments = [a for call in different.values() for a in call.expressions]
        if len(arguments) != len(different):
            raise refuse("unnest of several arrays outside of FROM", position_of(found[0]))
        names = ["UNNEST", *(f"UNNEST{i}" for i in range(1, len(arguments)))]
        call: Any = exp.Anonymous(this="UNNEST", expressions=[a.copy() for a in arguments])
    elif len(different) == 1:
        names, call = ["GENERATE_SERIES"], found[0].copy()
    else:
        raise refuse("several functions that give rows in a select list", position_of(found[0]))
    for node in found:
        _replace(tree, node, names[list(different).index(node.sql())])
    columns = [exp.to_identifier(name, quoted=True) for name in names]
    alias = exp.TableAlias(this=exp.to_identifier(_ALIAS), columns=columns)
    table = exp.Table(this=call, alias=alias)
    if tree.args.get("from_") is None:
        tree.set("from_", exp.From(this=table))
    else:
        tree.append("joins", exp.Join(this=table, kind="CROSS"))


def _calls(node: Any, tree: Any) -> list[Any]:
    """In this select list, not in a query inside it."""
    return [
        inner
        for inner in node.find_all(exp.Anonymous, exp.Unnest, exp.Explode)
        if _name(inner) in _NAMES and inner.find_ancestor(exp.Select) is tree
    ]


def _name(node: Any) -> str:
    if isinstance(node, exp.Unnest | exp.Explode):
        return "UNNEST"
    return str(node.this).upper().removeprefix(PREFIX)


def _replace(tree: Any, node: Any, name: str) -> None:
    column = exp.column(exp.to_identifier(name, quoted=True), table=_ALIAS)
    if node.parent is tree:  # unnest's second column is still called so
        column = exp.alias_(column, _name(node), quoted=True)
    node.replace(column)


__all__ = ["hoist_row_functions"]
