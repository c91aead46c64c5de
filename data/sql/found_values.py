"""UPDATE and DELETE with subqueries, row by row: what they gave is found with the row. Pure.

In slices (decision 0112) a row is looked for in one committed state and changed later, when other
tables may have changed. So what the subqueries say of a row is taken from where it was found, as
long as the columns that they refer to are as they were then; else they are asked again, which is
what READ COMMITTED does with a row that was changed meanwhile.

Not where subqueries look at the statement's own table: its first slices are in that by then. A row
that was changed meanwhile ends the slices there (`tg_changed` raises RowChangedError), and the
statement is undone and done in one piece (data/txn/sliced.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data.catalog.element_ddl import full_row_columns, key_columns, quoted, table_name
from data.catalog.objects import Table
from data.sql.in_place import asks_of, assigns_unique_key, where_text
from data.sql.ir import (
    Call,
    ColumnExpr,
    Expr,
    Select,
    Source,
    SubqueryExpr,
    deep_exprs,
    walk,
)
from data.sql.plan_types import Fragment
from data.sql.printer import Printer


def keyed_by_found(
    table: Table,
    source: Source,
    select: Select,
    assigned: Sequence[int],
    exprs: Sequence[Expr],
    fragment: Fragment,
) -> tuple[str, Fragment] | None:
    """The text of an UPDATE (DELETE: nothing is assigned) for one row, and the query of its rows.

    What the query gives of a row follows the parameters of `fragment`. None: not in this way.
    """
    asking = [e for e in (*exprs, *select.where) if _asks(e)]
    if not asking or select.ctes or assigns_unique_key(table, assigned):
        return None
    basis: dict[str, int] = {}  # column of the row that subqueries refer to → its number
    for expr in (e for top in (*exprs, *select.where) for e in _deep(top)):
        if isinstance(expr, Call) and (expr.volatile or "random(" in expr.template):
            return None
    for expr in (e for top in asking for e in _deep(top)):
        if isinstance(expr, ColumnExpr) and expr.source is source:
            basis.setdefault(expr.name, len(basis))
    if not basis.keys() <= set(full_row_columns(table)):
        return None
    keys = key_columns(table)
    new = [e for e in exprs if _asks(e)]
    same = " AND ".join(
        f"{source.alias}.{quoted(c)} IS {_mark(len(keys) + at)}" for c, at in basis.items()
    )
    own = asks_of(table, asking)
    first = len(keys) + len(basis)
    text = _text(table, source, select, assigned, exprs, _Found(same or "1", own, first))
    if text.params != fragment.params:
        return None
    tests = (f"{source.alias}.{quoted(c)} = {_mark(at)}" for at, c in enumerate(keys))
    sql = f"{text.sql}{' AND ' if select.where else ' WHERE '}{' AND '.join(tests)}"
    for at in range(len(keys) + len(basis) + len(new)):
        sql = sql.replace(_mark(at), f"?{len(fragment.params) + 1 + at}")
    printer = Printer()
    items = [f"{source.alias}.{quoted(c)}" for c in (*keys, *basis)]
    items += [printer.expr(e) for e in new]
    query = f"SELECT {', '.join(items)} FROM {quoted(table_name(table))} AS {source.alias}"
    return sql, printer.fragment(query + where_text(printer, select))


@dataclass(frozen=True)
class _Found:
    """What was found with a row, in the text for one."""

    same: str  # whether the row is as it was
    own: bool  # subqueries look at the statement's table: they are not asked again
    first: int  # parameter of the first new value

    def value(self, number: int, asked: str) -> str:
        """The new value `number` of those with subqueries."""
        found = _mark(self.first + number)
        return f"CASE WHEN {self.same} THEN {found} {self._else(asked)}"

    def test(self, asked: str) -> str:
        """A condition with subqueries."""
        return f"CASE WHEN {self.same} THEN 1 {self._else(asked)}"

    def _else(self, asked: str) -> str:
        return f"{'WHEN tg_changed() THEN' if self.own else 'ELSE'} {asked} END"


def _text(
    table: Table,
    source: Source,
    select: Select,
    assigned: Sequence[int],
    exprs: Sequence[Expr],
    found: _Found,
) -> Fragment:
    """Without the key. All is printed in the order of the whole text: so are its parameters."""
    printer = Printer()
    sets, number = [], 0
    for position, expr in zip(assigned, exprs, strict=True):
        value = printer.expr(expr)
        if _asks(expr):
            value = found.value(number, value)
            number += 1
        sets.append(f"{quoted(table.columns[position].name)} = {value}")
    name = f"{quoted(table_name(table))} AS {source.alias}"
    text = f"UPDATE {name} SET {', '.join(sets)}" if sets else f"DELETE FROM {name}"
    tests = []
    for condition in select.where:
        test = printer.expr(condition)
        tests.append(found.test(test) if _asks(condition) else test)
    return printer.fragment(text + (f" WHERE {' AND '.join(tests)}" if tests else ""))


def _mark(number: int) -> str:
    return f"\0{number}\0"


def _asks(expr: Expr) -> bool:
    return any(isinstance(e, SubqueryExpr) for e in walk(expr))


def _deep(expr: Expr) -> Iterator[Expr]:
    """The expression and all below it, into subqueries."""
    for below in walk(expr):
        yield below
        if isinstance(below, SubqueryExpr):
            yield from deep_exprs(below.query)
