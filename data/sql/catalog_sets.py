"""Set-returning functions and LATERAL in catalog queries, as joins with json_each. Pure.

`FROM unnest(a) AS x`, `SELECT unnest(a), generate_subscripts(a, 1)` and `generate_series` become
`json_each(…)`, which SQLite lets refer to tables before it in FROM, as LATERAL would.
"""

from __future__ import annotations

import json

from sqlglot import exp

from protocol.errors import SqlSyntaxError

_VECTORS = frozenset({"indkey", "indclass", "indoption", "indcollation", "proargtypes"})
KEYWORDS = """access add aging alter audit batch begin binary_double binary_float call comment
    commit compress connect current currval decode duplicate elementid# elementidcompute explain
    first global hash identified increment index level local lock merge minus mode modify nextval
    nowait number nvl offline online package pages procedure profile public raw rename replicasetid#
    resource rollback rowid rownum rows savepoint sequence session share skip start synonym sysdate
    truncate tt_bigint tt_date tt_integer tt_time tt_timestamp uid user validate varchar2 view
    wait""".split()  # noqa: SIM905 - of our language, beyond SQL's own
_EMPTY_SETS = frozenset(
    {"pg_partition_ancestors", "pg_partition_tree", "pg_listening_channels", "pg_options_to_table"}
)
_COLUMNS = {
    "pg_get_keywords": ["word"],
    "_pg_expandarray": ["x", "n"],
    "pg_options_to_table": ["option_name", "option_value"],
    "pg_partition_tree": ["relid", "parentrelid"],
}


def rewrite_sets(tree: exp.Expr) -> None:
    """Changes the tree in place."""
    for values in list(tree.find_all(exp.Values)):
        _name_values(values)
    for select in list(tree.find_all(exp.Select)):
        _inline_laterals(select)
        _from_functions(select)
    for select in list(tree.find_all(exp.Select)):
        _select_functions(select)


def _name_values(values: exp.Values) -> None:
    """(VALUES (1, 'a'), …) AS t(x, y): SQLite names columns only where they are selected."""
    alias = values.args.get("alias")
    if alias is None or not alias.columns:
        return
    names = [column.copy() for column in alias.columns]
    rows = [row.expressions if isinstance(row, exp.Tuple) else [row] for row in values.expressions]
    if any(len(row) != len(names) for row in rows):
        raise SqlSyntaxError(f"VALUES of {alias.name} have not {len(names)} columns")
    query: exp.Query = exp.select(
        *(exp.alias_(v.copy(), n) for v, n in zip(rows[0], names, strict=True))
    )
    for row in rows[1:]:
        query = exp.union(query, exp.select(*(v.copy() for v in row)), distinct=False)
    values.replace(query.subquery(alias.this.copy()))


def _call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _is_vector(node: exp.Expr) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() in _VECTORS


def _array_of(function: exp.Expr) -> exp.Expr | None:
    """The JSON array a set-returning function runs through; None: it is none."""
    if isinstance(function, exp.Dot):
        return _array_of(function.expression)
    if isinstance(function, (exp.Explode, exp.Unnest)):
        inner = function.expressions[0] if isinstance(function, exp.Unnest) else function.this
        return _call("pg_array", inner.copy())
    if isinstance(function, (exp.ExplodingGenerateSeries, exp.GenerateSeries)):
        start, end = function.args["start"], function.args["end"]
        step = function.args.get("step")
        bounds = [start.copy(), end.copy(), *([step.copy()] if step else [])]
        return _call("pg_series", *bounds)
    if isinstance(function, exp.Anonymous):
        name, arguments = function.name.lower(), function.expressions
        if name == "generate_subscripts":
            first = exp.Literal.number(0 if _is_vector(arguments[0]) else 1)
            return _call("pg_subscripts", _call("pg_array", arguments[0].copy()), first)
        if name in ("unnest", "_pg_expandarray"):
            return _call("pg_array", arguments[0].copy())
        if name == "generate_series":
            return _call("pg_series", *(a.copy() for a in arguments))
        if name == "pg_get_keywords":
            return exp.Literal.string(json.dumps(KEYWORDS))
        if name in _EMPTY_SETS:
            return exp.Literal.string("[]")
    return None


def _is_expandarray(function: exp.Expr) -> bool:
    if isinstance(function, exp.Dot):
        return _is_expandarray(function.expression)
    return isinstance(function, exp.Anonymous) and function.name.lower() == "_pg_expandarray"


def _column_names(function: exp.Expr) -> list[str]:
    """Of what a function with several gives, where the query does not name them."""
    if isinstance(function, exp.Dot):
        return _column_names(function.expression)
    name = function.name.lower() if isinstance(function, exp.Anonymous) else ""
    return _COLUMNS.get(name, [])


# -- LATERAL ---------------------------------------------------------------------------------------
def _inline_laterals(select: exp.Select) -> None:
    """CROSS JOIN LATERAL (SELECT expression) AS o(n): o.n becomes the expression."""
    for join in list(select.args.get("joins") or []):
        lateral = join.this
        if not isinstance(lateral, exp.Lateral) or not isinstance(lateral.this, exp.Subquery):
            continue
        inner = lateral.this.this
        if not isinstance(inner, exp.Select) or inner.args.get("from_") or inner.args.get("where"):
            continue
        alias = lateral.args.get("alias")
        names = [c.name.lower() for c in (alias.args.get("columns") or [])] if alias else []
        values = [e.this if isinstance(e, exp.Alias) else e for e in inner.expressions]
        if not names:
            names = [e.alias_or_name.lower() for e in inner.expressions]
        wanted = dict(zip(names, values, strict=False))
        table = lateral.alias_or_name.lower()
        join.pop()
        for column in list(select.find_all(exp.Column)):
            if column.table.lower() == table and column.name.lower() in wanted:
                column.replace(exp.Paren(this=wanted[column.name.lower()].copy()))


# -- functions in FROM -----------------------------------------------------------------------------
def _from_functions(select: exp.Select) -> None:
    sources: list[exp.Expr] = []
    start = select.args.get("from_")
    if start is not None:
        sources.append(start.this)
    sources += [join.this for join in select.args.get("joins") or []]
    sources += list(select.args.get("laterals") or [])
    for source in sources:
        function = source if isinstance(source, exp.Unnest) else source.this
        if isinstance(source, (exp.Subquery, exp.Query)) or not isinstance(function, exp.Expr):
            continue
        array = _array_of(function)
        if array is None:
            continue
        alias = source.args.get("alias")
        given = alias.this.name if alias is not None and alias.this is not None else ""
        columns = [c.name.lower() for c in (alias.args.get("columns") or [])] if alias else []
        name = given or (function.name.lower() if isinstance(function, exp.Anonymous) else "unnest")
        columns = columns or _column_names(function)
        each = exp.Table(
            this=_call("json_each", array), alias=exp.TableAlias(this=exp.to_identifier(name))
        )
        source.replace(each)
        first = columns[0] if columns else name.lower()
        second = columns[1] if len(columns) > 1 else "ordinality"
        _rename_columns(select, name, first, second)


def _value(alias: str) -> exp.Expr:
    return exp.column("value", table=alias)


def _ordinal(alias: str) -> exp.Expr:
    key = exp.column("key", table=alias)
    return exp.Paren(this=exp.Add(this=key, expression=exp.Literal.number(1)))


def _rename_columns(select: exp.Select, alias: str, first: str, second: str) -> None:
    for column in list(select.find_all(exp.Column)):
        table, name = column.table.lower(), column.name.lower()
        if table and table != alias.lower():
            continue
        new: exp.Expr
        if name == first or (not table and name == alias.lower()):
            new = _value(alias)
        elif name == second and (table or second != "ordinality"):
            new = _ordinal(alias)
        else:
            continue
        if isinstance(column.parent, exp.Select):
            new = exp.alias_(new, column.name, quoted=True)
        column.replace(new)


# -- functions in the select list ------------------------------------------------------------------
def _select_functions(select: exp.Select) -> None:
    """SELECT unnest(a), generate_subscripts(a, 1): both run in step."""
    aliases: dict[str, str] = {}
    for projection in list(select.expressions):
        for node in list(projection.walk()):
            if not isinstance(node, exp.Expr) or node.find_ancestor(exp.Select) is not select:
                continue
            if isinstance(node.parent, exp.Dot) and node.parent.expression is node:
                continue
            array = _array_of(node)
            if array is None:
                continue
            text = array.sql("sqlite") + str(_is_expandarray(node))
            if text not in aliases:
                alias = f"_srf{len(aliases)}"
                _join_each(select, array, alias, next(iter(aliases.values()), ""))
                aliases[text] = alias
            alias = aliases[text]
            new = _value(alias)
            if _is_expandarray(node):
                names = (exp.Literal.string("x"), exp.Literal.string("n"))
                new = _call("json_object", names[0], _value(alias), names[1], _ordinal(alias))
            if node is projection:
                projection = new
            node.replace(new)


def _join_each(select: exp.Select, array: exp.Expr, alias: str, in_step_with: str) -> None:
    each = exp.Table(
        this=_call("json_each", array), alias=exp.TableAlias(this=exp.to_identifier(alias))
    )
    if select.args.get("from_") is None:
        select.set("from_", exp.From(this=each))
        return
    join = exp.Join(this=each, kind="CROSS")
    if in_step_with:
        equal = exp.EQ(
            this=exp.column("key", table=alias), expression=exp.column("key", table=in_step_with)
        )
        join = exp.Join(this=each, on=equal)
    select.append("joins", join)
