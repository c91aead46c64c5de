"""Bound queries and expressions → SQLite text with its parameters. Pure.

One printer makes one Fragment. In *element* form base tables are read where they are; in *scratch*
form every base table stands for the temporary table its rows were gathered into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from data.catalog.element_ddl import quoted, table_name
from data.sql.ir import (
    Agg,
    Call,
    ColumnExpr,
    ConstExpr,
    Cte,
    Expr,
    OrderItem,
    ParamExpr,
    Query,
    Select,
    SetColumn,
    SetOp,
    Source,
    SpecialExpr,
    SubqueryExpr,
    Values,
    WindowExpr,
    all_queries,
    query_exprs,
    walk,
)
from data.sql.operators import joined
from data.sql.plan_types import Const, Fragment, Param, ParamSource, Special, make_fragment
from data.sql.scope import PSEUDO_COLUMNS
from protocol.errors import InternalError
from protocol.sqltypes import BYTES_KINDS, FLOAT_KINDS, TEXT_KINDS, Kind, SqlType, StorageValue

COMPOUND_MAX = 400  # rows of VALUES as SELECTs; SQLite joins at most 500 by UNION ALL
_JOINS = {"inner": "JOIN", "left": "LEFT JOIN", "right": "RIGHT JOIN", "full": "FULL JOIN"}


def is_decimal_text(type_: SqlType) -> bool:
    """Stored as canonical decimal text: needs the collation "decimal" to be ordered."""
    return type_.kind is Kind.NUMBER and not type_.is_scaled


def _collated(text: str, type_: SqlType) -> str:
    """With the collation of its own type: SQLite lets one that stands inside decide otherwise."""
    if " COLLATE " not in text:
        return text
    if is_decimal_text(type_):
        return f"({text} COLLATE decimal)"
    return f"({text} COLLATE BINARY)" if type_.kind in TEXT_KINDS else text


def literal(value: StorageValue) -> str:
    """A storage value as SQLite literal; NUL characters and infinities need a parameter instead."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return repr(value)


class Printer:
    """Prints one statement; collects its parameters."""

    def __init__(self, gathered: Mapping[int, str] | None = None) -> None:
        self.gathered = gathered
        self.sources: list[ParamSource] = []
        self._numbers: dict[ParamSource, int] = {}
        self._columns: dict[tuple[int, str], str] = {}  # columns that stand for others just now
        self.names: dict[int, str] = {}  # source id → another alias ("" none): UPDATE's target

    def fragment(self, sql: str) -> Fragment:
        """The text with the parameters met so far."""
        return make_fragment(sql, tuple(self.sources))

    def parameter(self, source: ParamSource) -> str:
        """?n for that source."""
        number = self._numbers.get(source)
        if number is None:
            self.sources.append(source)
            number = self._numbers[source] = len(self.sources)
        return f"?{number}"

    # -- expressions -------------------------------------------------------------------------------
    def expr(self, expr: Expr) -> str:
        """The text of an expression."""
        if isinstance(expr, ColumnExpr):
            return self._column(expr)
        if isinstance(expr, ConstExpr):
            return self._const(expr.value)
        if isinstance(expr, ParamExpr):
            return self.parameter(Param(expr.slot.index))
        if isinstance(expr, Call):
            return _collated(self._call(expr), expr.type)
        if isinstance(expr, Agg):
            return self._aggregate(expr)
        if isinstance(expr, WindowExpr):
            return _collated(self._window(expr), expr.type)
        if isinstance(expr, SubqueryExpr):
            return self._subquery(expr)
        if isinstance(expr, SpecialExpr):
            return self.parameter(expr.special)
        raise InternalError(f"{type(expr).__name__} cannot be printed here")

    def _call(self, expr: Call) -> str:
        if not expr.args:
            return expr.template
        return expr.template.format(*[self.expr(a) for a in expr.args])

    def _const(self, value: StorageValue) -> str:
        if isinstance(value, str) and ("\0" in value or len(value) > 1000):
            return self.parameter(Const(value))
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            return self.parameter(Const(value))
        return literal(value)

    def _column(self, expr: ColumnExpr) -> str:
        stands_for = self._columns.get((id(expr.source), expr.name))
        if stands_for is not None:
            return stands_for
        if expr.source.lateral:
            return _unpacked(expr)
        gathered = self.gathered is not None and id(expr.source) in self.gathered
        if expr.name in PSEUDO_COLUMNS and expr.source.kind == "table" and not gathered:
            return PSEUDO_COLUMNS[expr.name][0]
        alias = self.names.get(id(expr.source), expr.source.alias)
        return f"{alias}.{quoted(expr.name)}" if alias else quoted(expr.name)

    def _aggregate(self, expr: Agg) -> str:
        args = ", ".join(self.expr(a) for a in expr.args) or "*"
        if expr.distinct:
            args = "DISTINCT " + args
        if expr.order:
            args += " ORDER BY " + self.order(expr.order)
        text = f"{expr.name}({args})"
        if expr.filter is not None:
            text += f" FILTER (WHERE {self.expr(expr.filter)})"
        return text

    def _window(self, expr: WindowExpr) -> str:
        parts: list[str] = []
        if expr.partition:
            parts.append("PARTITION BY " + ", ".join(self.expr(p) for p in expr.partition))
        if expr.order:
            parts.append("ORDER BY " + self.order(expr.order))
        if expr.frame:
            parts.append(expr.frame)
        called = expr.function
        text = self._call(called) if isinstance(called, Call) else self.expr(called)
        return f"{text} OVER ({' '.join(parts)})"

    def order(self, items: Sequence[OrderItem]) -> str:
        """The items of an ORDER BY inside an aggregate or window."""
        return ", ".join(self._order_text(self.expr(o.expr), o) for o in items)

    def _order_text(self, text: str, item: OrderItem) -> str:
        if is_decimal_text(item.expr.type):
            text += " COLLATE decimal"
        if item.descending:
            text += " DESC"
        return text + (" NULLS FIRST" if item.nulls_first else " NULLS LAST")

    def _subquery(self, expr: SubqueryExpr) -> str:
        if expr.kind == "exists":
            text = f"EXISTS ({self.query(expr.query)})"
        elif expr.kind == "in":
            left = ", ".join(self.expr(e) for e in expr.left)
            left = left if len(expr.left) == 1 else f"({left})"
            text = f"{left} IN ({self.query(expr.query)})"
        elif gives_one_row(expr.query):
            return f"({self.query(expr.query)})"
        else:
            return f'(SELECT tg_only("V") FROM ({self.query(expr.query, ["V"])}))'
        return f"(NOT {text})" if expr.negated else f"({text})"

    # -- queries -----------------------------------------------------------------------------------
    def query(self, query: Query, names: Sequence[str] | None = None) -> str:
        """The text of a query; its columns are called `names`."""
        prefix = self._ctes(query.ctes)
        if isinstance(query, Select):
            return prefix + self._select(query, names)
        if isinstance(query, SetOp):
            text = self._set_operation(query, names)
        else:
            assert isinstance(query, Values)
            text = self._values(query, names)
        if query.order:
            keys = [
                self._order_text(str(o.expr.position + 1), o)
                for o in query.order
                if isinstance(o.expr, SetColumn)
            ]
            text += " ORDER BY " + ", ".join(keys)
        return prefix + text + self._limit(query.limit, query.offset)

    def _ctes(self, ctes: Sequence[Cte]) -> str:
        if not ctes:
            return ""
        texts: list[str] = []
        for cte in ctes:
            assert cte.query is not None
            names = [n for n, _ in cte.columns]
            columns = ", ".join(quoted(n) for n in names)
            texts.append(f"{cte.alias}({columns}) AS ({self.query(cte.query)})")
        return "WITH RECURSIVE " + ", ".join(texts) + " "

    def _set_operation(self, query: SetOp, names: Sequence[str] | None) -> str:
        left = self._operand(query.left, names, is_left=True)
        right = self._operand(query.right, None, is_left=False)
        return f"{left} {query.op} {right}"

    def _operand(self, query: Query, names: Sequence[str] | None, *, is_left: bool) -> str:
        bare = not query.order and query.limit is None and query.offset is None and not query.ctes
        if isinstance(query, Select) and query.row_limit is not None:
            bare = False
        if bare and (isinstance(query, Select) or (is_left and isinstance(query, SetOp))):
            return self.query(query, names)
        if names is None:
            names = [f"C{i}" for i in range(len(query.items))]
        return f"SELECT * FROM ({self.query(query, names)})"

    def _values(self, query: Values, names: Sequence[str] | None) -> str:
        if len(query.rows) > COMPOUND_MAX:
            return self._many_values(query, names)
        rows: list[str] = []
        for row in query.rows:
            texts = [self.expr(e) for e in row]
            if names is not None and not rows:
                texts = [f"{t} AS {quoted(n)}" for t, n in zip(texts, names, strict=True)]
            rows.append("SELECT " + ", ".join(texts))
        return " UNION ALL ".join(rows)

    def _many_values(self, query: Values, names: Sequence[str] | None) -> str:
        rows = ", ".join(f"({', '.join([self.expr(e) for e in row])})" for row in query.rows)
        columns = ", ".join(
            f"column{n}" + ("" if names is None else f" AS {quoted(names[n - 1])}")
            for n in range(1, len(query.items) + 1)
        )
        return f"SELECT {columns} FROM (VALUES {rows})"

    def _limit(self, limit: Expr | None, offset: Expr | None) -> str:
        text = ""
        if limit is not None:
            text += f" LIMIT max({self.expr(limit)}, 0)"
        if offset is not None:
            text += ("" if limit is not None else " LIMIT -1") + f" OFFSET {self.expr(offset)}"
        return text

    def _select(self, query: Select, names: Sequence[str] | None) -> str:
        wraps = query.row_limit is not None and (
            query.grouped
            or query.distinct
            or query.order
            or query.windowed
            or query.limit is not None
            or query.offset is not None
        )
        origin = self._from_where(query)
        saved = dict(self._columns)
        if wraps:
            origin = self._cut_rows(query, origin)
        texts = [self.expr(i.expr) for i in query.items]
        if names is not None:
            texts = [f"{t} AS {quoted(n)}" for t, n in zip(texts, names, strict=True)]
        text = f"SELECT {'DISTINCT ' if query.distinct else ''}{', '.join(texts)}{origin}"
        if query.group:
            text += " GROUP BY " + ", ".join(self._group_key(g) for g in query.group)
        if query.having:
            text += " HAVING " + joined("AND", [self.expr(h) for h in query.having])
        keys = [o for o in query.order if not isinstance(o.expr, ConstExpr | ParamExpr)]
        if keys:
            text += " ORDER BY " + self.order(keys)
        self._columns = saved
        if query.row_limit is not None and not wraps:
            return text + self._limit(query.row_limit, None)
        return text + self._limit(query.limit, query.offset)

    def _group_key(self, expr: Expr) -> str:
        text = self.expr(expr)
        return f"CAST({text} AS BLOB)" if isinstance(expr, ConstExpr | ParamExpr) else text

    def _cut_rows(self, query: Select, origin: str) -> str:
        """ROWNUM <= n under grouping or ordering: cut the rows first."""
        own = {id(s) for s in query.sources}
        assert query.row_limit is not None
        limit = self._limit(query.row_limit, None)
        columns: dict[tuple[int, str], str] = {}
        for part in all_queries(query):
            if part in [s.query for s in query.sources]:
                continue
            for top in query_exprs(part):
                for expr in walk(top):
                    if isinstance(expr, ColumnExpr) and id(expr.source) in own:
                        key = (id(expr.source), expr.name)
                        if key not in columns:
                            columns[key] = self._column(expr)
        inner = ", ".join(f"{text} AS c{n}" for n, text in enumerate(columns.values())) or "1"
        for number, key in enumerate(columns):
            self._columns[key] = f"cut.c{number}"
        return f" FROM (SELECT {inner}{origin}{limit}) AS cut"

    def _from_where(self, query: Select) -> str:
        text = ""
        sources = query.sources
        if sources and not (len(sources) == 1 and _is_plain_dual(sources[0])):
            text = " FROM " + self.source(sources[0])
            for source in sources[1:]:
                word = "CROSS JOIN" if source.in_order else _JOINS[source.join or "inner"]
                text += f" {word} {self.source(source)}"
                if source.on:
                    text += " ON " + joined("AND", [self.expr(e) for e in source.on])
                elif source.join in ("left", "right", "full"):
                    text += " ON 1"
        if query.where:
            text += " WHERE " + joined("AND", [self.expr(w) for w in query.where])
        return text

    def _lateral(self, source: Source) -> str:
        """A query for each row to the left: SQLite has that only for arguments of json_each."""
        assert source.query is not None
        names = [f"c{n}" for n in range(len(source.columns))]
        packed = [_packed(n, t) for n, (_, t) in zip(names, source.columns, strict=True)]
        rows = f"SELECT json_group_array(json_array({', '.join(packed)}))"
        return f"json_each(({rows} FROM ({self.query(source.query, names)}))) AS {source.alias}"

    def source(self, source: Source) -> str:
        """One item of a FROM clause."""
        if source.lateral:
            return self._lateral(source)
        if source.kind == "dual":
            return f"(SELECT 'X' AS \"DUMMY\") AS {source.alias}"
        if source.kind == "cte":
            assert source.cte is not None
            return f"{source.cte.alias} AS {source.alias}"
        if source.kind == "shipped":
            return self._shipped(source)
        gathered = (self.gathered or {}).get(id(source))
        if gathered is not None:
            return f"{quoted(gathered)} AS {source.alias}"
        if source.kind == "query":
            assert source.query is not None
            names = [n for n, _ in source.columns]
            return f"({self.query(source.query, names)}) AS {source.alias}"
        assert source.table is not None
        return f"{quoted(table_name(source.table))} AS {source.alias}{source.index_hint}"

    def _shipped(self, source: Source) -> str:
        """Rows as JSON. MATERIALIZED: read once, and SQLite may make an index for itself."""
        texts = []
        for number, (name, type_) in enumerate(source.columns):
            text = f"value ->> {number}"
            if type_.kind in BYTES_KINDS:
                text = f"unhex({text})"
            elif is_decimal_text(type_):
                text = f"({text}) COLLATE decimal"
            texts.append(f"{text} AS {quoted(name)}")
        rows = f"SELECT {', '.join(texts) or '1'} FROM json_each({self.parameter_of(source)})"
        return f"(WITH r AS MATERIALIZED ({rows}) SELECT * FROM r) AS {source.alias}"

    def parameter_of(self, source: Source) -> str:
        """The parameter that holds the rows of a shipped source."""
        return self.parameter(Special("rows", source.shipped))


def _is_plain_dual(source: Source) -> bool:
    return source.kind == "dual" and not source.used


def _packed(name: str, type_: SqlType) -> str:
    """A column as JSON holds it without loss."""
    if type_.kind in FLOAT_KINDS:
        return f"iif({name} IS NULL, NULL, format('%!.17g', {name}))"
    return f"iif({name} IS NULL, NULL, hex({name}))" if type_.kind in BYTES_KINDS else name


def _unpacked(expr: ColumnExpr) -> str:
    """A column of a lateral source."""
    place = [n for n, _ in expr.source.columns].index(expr.name)
    text = f"({expr.source.alias}.value ->> {place})"
    if expr.type.kind in FLOAT_KINDS:
        return f"CAST({text} AS REAL)"
    return f"unhex({text})" if expr.type.kind in BYTES_KINDS else text


def gives_one_row(query: Query) -> bool:
    """Provably at most one row: an aggregate of everything, LIMIT 1, a unique key bound."""
    if isinstance(query.limit, ConstExpr) and query.limit.value in (0, 1):
        return True
    if not isinstance(query, Select):
        return isinstance(query, Values) and len(query.rows) == 1
    if query.grouped and not query.group:
        return True
    if all(s.kind == "dual" for s in query.sources):
        return True
    if len(query.sources) != 1 or query.sources[0].table is None:
        return False
    source = query.sources[0]
    bound = {name for name, _ in bound_columns(source, query.where)}
    return any(i.unique and set(i.columns) <= bound for i in query.sources[0].table.indexes)


def bound_columns(source: Source, where: Sequence[Expr]) -> list[tuple[str, Expr]]:
    """Columns of `source` that a conjunct sets equal to something without it."""
    found: list[tuple[str, Expr]] = []
    for condition in where:
        if not isinstance(condition, Call) or not condition.template.startswith("({0} = {1}"):
            continue
        left, right = condition.args
        for one, other in ((left, right), (right, left)):
            if isinstance(one, ColumnExpr) and one.source is source:
                inside = any(isinstance(e, ColumnExpr) and e.source is source for e in walk(other))
                if not inside and not any(isinstance(e, SubqueryExpr) for e in walk(other)):
                    found.append((one.name, other))
    return found
