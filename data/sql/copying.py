"""COPY … FROM STDIN and TO STDOUT, in PostgreSQL's two syntaxes. Pure."""

from __future__ import annotations

import re

from sqlglot import exp

from data.catalog.objects import Table
from data.sql.copy_options import with_options
from data.sql.dml import Dml
from data.sql.parse import Parsed, parse_query, refuse
from data.sql.plan_types import CopyPlan, QueryPlan, SourceColumn, ValueSource
from data.sql.scope import Statement, shown
from data.sql.utility import Words
from protocol.errors import SqlSyntaxError, UnknownColumnError

_INNER = re.compile(r"\s*copy\s*\(", re.IGNORECASE)


def plan_copy(statement: Statement, parsed: Parsed) -> CopyPlan:
    """Raises SqlSyntaxError, NotSupportedError, UnknownTableError, …"""
    text = parsed.text
    match = _INNER.match(text)
    if match is not None:
        end = _closing(text, match.end() - 1)
        query_text = text[match.end() : end]
        words = Words(text[end + 1 :])
        words.expect("TO")
        _expect_stream(words, "STDOUT")
        query = parse_query(query_text)
        statement.hints = {**parsed.hints, **query.hints}
        return _out(statement, query, None, (), words)
    words = Words(text)
    words.expect("COPY")
    binary = words.take("BINARY")
    table, name = _table(statement, words)
    columns = _columns(table, words)
    if words.take("TO"):
        _expect_stream(words, "STDOUT")
        picked = [table.columns[p].name for p in columns]
        select = exp.select(*[exp.column(exp.to_identifier(n, quoted=True)) for n in picked]).from_(
            exp.Table(
                this=exp.to_identifier(table.name, quoted=True),
                db=exp.to_identifier(table.schema, quoted=True),
            )
        )
        parsed = Parsed("query", text, tree=select)
        return _out(statement, parsed, table, columns, words, binary=binary)
    words.expect("FROM")
    _expect_stream(words, "STDIN")
    if table.materialized is not None:
        raise refuse(f"COPY to materialized view {shown(table.name)}")
    statement.check_privilege(table, "INSERT")
    dml = Dml(statement.catalog, statement, Parsed("copy", text))
    given: dict[int, ValueSource] = {p: SourceColumn(i) for i, p in enumerate(columns)}
    row = tuple(
        given[i] if i in given else dml.default(table, column)
        for i, column in enumerate(table.columns)
    )
    del name
    names = [table.columns[p].name for p in columns]
    return with_options(CopyPlan("in", table.id, columns, row), words, names, binary=binary)


def _expect_stream(words: Words, name: str) -> None:
    if words.take("PROGRAM"):
        raise refuse("COPY with a program")
    if words.peek()[:1] == "'":
        raise refuse("COPY with a file of the server")
    words.expect(name)


def _closing(text: str, start: int) -> int:
    depth = 0
    quote = ""
    for at in range(start, len(text)):
        char = text[at]
        if quote:
            if char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return at
    raise SqlSyntaxError("COPY (query): a parenthesis is not closed")


def _table(statement: Statement, words: Words) -> tuple[Table, str]:
    parts: list[str] = []
    kind, text, start = words.items[words.at] if words.at < len(words.items) else ("", "", 0)
    if kind == "word":
        words.at += 1
        parts = text.upper().rstrip(".").split(".")
        if text.endswith("."):
            parts.append(words.name())
    else:
        parts = [words.name()]
        if words.peek() == ".":
            words.at += 1
            parts.append(words.name())
    relation = statement.catalog.resolve(statement.schema, tuple(parts), start + 1)
    if not isinstance(relation, Table):
        raise refuse(f"COPY of {type(relation).__name__.lower()} {shown(relation.name)}")
    return relation, parts[-1]


def _columns(table: Table, words: Words) -> tuple[int, ...]:
    names = [c.name for c in table.columns]
    if not words.take("("):
        return tuple(range(len(names)))
    found: list[int] = []
    while True:
        name = words.name()
        if name not in names:
            raise UnknownColumnError(
                f'column "{shown(name)}" of table "{shown(table.name)}" does not exist'
            )
        if names.index(name) in found:
            raise SqlSyntaxError(f'column "{shown(name)}" specified more than once')
        found.append(names.index(name))
        if words.take(")"):
            return tuple(found)
        words.expect(",")


def _out(
    statement: Statement,
    parsed: Parsed,
    table: Table | None,
    columns: tuple[int, ...],
    words: Words,
    *,
    binary: bool = False,
) -> CopyPlan:
    from data.sql.bind_query import bind_query, settle_items
    from data.sql.plan import Planner

    query = bind_query(statement, parsed.tree)
    settle_items(query)
    plan: QueryPlan = Planner(statement.catalog, statement).plan(query)
    copy = CopyPlan("out", table.id if table is not None else 0, columns, (), plan)
    return with_options(copy, words, [c.name for c in plan.columns], binary=binary)
