"""COPY … FROM STDIN and TO STDOUT, in PostgreSQL's two syntaxes. Pure."""

from __future__ import annotations

import re

from sqlglot import exp

from data.catalog.objects import Table
from data.sql.dml import Dml
from data.sql.parse import Parsed, parse_query, refuse
from data.sql.plan_types import CopyPlan, QueryPlan, SourceColumn, ValueSource
from data.sql.scope import Statement, shown
from data.sql.utility import Words
from protocol.errors import ParameterError, SqlSyntaxError, UnknownColumnError

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
        words.expect("STDOUT")
        query = parse_query(query_text)
        statement.hints = {**parsed.hints, **query.hints}
        return _out(statement, query, None, (), words)
    words = Words(text)
    words.expect("COPY")
    words.take("BINARY")
    table, name = _table(statement, words)
    columns = _columns(table, words)
    if words.take("TO"):
        words.expect("STDOUT")
        picked = [table.columns[p].name for p in columns]
        select = exp.select(*[exp.column(exp.to_identifier(n, quoted=True)) for n in picked]).from_(
            exp.Table(
                this=exp.to_identifier(table.name, quoted=True),
                db=exp.to_identifier(table.schema, quoted=True),
            )
        )
        return _out(statement, Parsed("query", text, tree=select), table, columns, words)
    words.expect("FROM")
    if not words.take("STDIN"):
        raise refuse("COPY from a file")
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
    return _with_options(CopyPlan("in", table.id, columns, row), words)


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
) -> CopyPlan:
    from data.sql.bind_query import bind_query, settle_items
    from data.sql.plan import Planner

    query = bind_query(statement, parsed.tree)
    settle_items(query)
    plan: QueryPlan = Planner(statement.catalog, statement).plan(query)
    copy = CopyPlan("out", table.id if table is not None else 0, columns, (), plan)
    return _with_options(copy, words)


def _with_options(plan: CopyPlan, words: Words) -> CopyPlan:
    """WITH (FORMAT csv, …) or the older WITH CSV HEADER …"""
    options: dict[str, str] = {}
    words.take("WITH")
    if words.take("("):
        while True:
            name = words.name()
            value = "true"
            if words.peek() not in (",", ")"):
                if words.take("("):
                    while words.peek() not in (")", ""):
                        words.at += 1
                    words.expect(")")
                else:
                    value = words.value()
            options[name] = value
            if words.take(")"):
                break
            words.expect(",")
    else:
        while words.at < len(words.items) and words.peek() != "WHERE":
            name = words.name()
            if name in ("CSV", "BINARY", "TEXT"):
                options["FORMAT"] = name
            elif name in ("DELIMITER", "NULL", "QUOTE", "ESCAPE", "ENCODING"):
                words.take("AS")
                options[name] = words.value()
            else:
                options[name] = "true"
    if words.take("WHERE"):
        raise refuse("COPY … WHERE")
    words.end()
    return _made(plan, options)


_KNOWN = frozenset(
    [
        "FORMAT",
        "FREEZE",
        "DELIMITER",
        "NULL",
        "HEADER",
        "QUOTE",
        "ESCAPE",
        "ENCODING",
        "OIDS",
        "DEFAULT",
        "FORCE_QUOTE",
    ]
)


def _made(plan: CopyPlan, options: dict[str, str]) -> CopyPlan:
    unknown = set(options) - _KNOWN
    if unknown or "DEFAULT" in options:
        raise refuse(f"COPY option {sorted(unknown or {'DEFAULT'})[0].lower()}")
    form = options.get("FORMAT", "text").lower()
    if form not in ("text", "csv", "binary"):
        raise ParameterError(f'COPY format "{form}" not recognized')
    csv = form == "csv"
    delimiter = options.get("DELIMITER", "," if csv else "\t")
    delimiter = delimiter.replace("\\t", "\t")
    if len(delimiter) != 1:
        raise ParameterError("COPY delimiter must be a single character")
    quote = options.get("QUOTE", '"')
    return CopyPlan(
        plan.direction,
        plan.table_id,
        plan.columns,
        plan.row,
        plan.query,
        format=form,  # type: ignore[arg-type]
        delimiter=delimiter,
        null=options.get("NULL", "" if csv else "\\N"),
        header=options.get("HEADER", "false").lower() in ("true", "on", "1", "match"),
        quote=quote,
        escape=options.get("ESCAPE", quote),
    )
