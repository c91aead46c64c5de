"""Random queries: joins, subqueries, groups, windows, set operations, WITH, row limits."""

from __future__ import annotations

import random

from tests.sql.expressions import Expressions, Source, variants
from tests.sql.nodes import NOTHING, Node, many, maybe
from tests.sql.schemas import Table

JOINS = ("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN")
COMPARED = ("=", "=", "=", "<", ">=")

FRAMES = (
    " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
    " ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING",
    " ROWS UNBOUNDED PRECEDING",
    " RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
)


class Queries(Expressions):
    """Makes queries over some tables."""

    def __init__(self, rng: random.Random, tables: list[Table]) -> None:
        super().__init__(rng)
        self._tables = tables
        self._names = 0
        self._common: list[tuple[str, list[tuple[str, str]]]] = []  # WITH: name, (column, symbol)

    def make(self) -> Node:
        """A whole query."""
        self._names, self._common = 0, []
        with_ = NOTHING
        if self.rng.random() < 0.15:
            with_ = self._with()
        kind = self.rng.random()
        if kind < 0.12:
            body = self.set_operation(2)
        else:
            body, _ = self.select(2, [], outermost=True)
        return Node("statement", (with_, body))

    def name(self, letter: str) -> str:
        """A new alias."""
        self._names += 1
        return f"{letter}{self._names}"

    # -- FROM -------------------------------------------------------------------------------------
    def table(self, depth: int, outer: list[Source]) -> tuple[Node, list[Source], list[str]]:
        """One thing in FROM: its text, columns, and those that make a row unique (if known)."""
        rng = self.rng
        alias = self.name("t")
        if self._common and rng.random() < 0.3:
            name, columns = rng.choice(self._common)
            return Node("table", (f"{name} {alias}",)), _sources(alias, columns), []
        if depth > 0 and rng.random() < 0.2:
            inner, symbols = self.select(depth - 1, [], named=True)
            columns = [(f"x{n}", symbol) for n, symbol in enumerate(symbols)]
            return Node("table", ("(", inner, f") {alias}")), _sources(alias, columns), []
        table = rng.choice(self._tables)
        columns = [(c.name, c.symbol) for c in table.columns]
        keys = [f"{alias}.{name}" for name in table.key]
        return Node("table", (f"{table.name} {alias}",)), _sources(alias, columns), keys

    def origin(self, depth: int, outer: list[Source]) -> tuple[Node, list[Source], list[str]]:
        """The FROM clause's content; the keys are empty where a row may come twice."""
        rng = self.rng
        text, scope, keys = self.table(depth, outer)
        whole = bool(keys)
        parts: list[str | Node] = [text]
        for _ in range(rng.choice((0, 0, 1, 1, 1, 2, 2, 3))):
            if rng.random() < 0.06:
                lateral, columns = self.lateral(scope)
                parts.append(lateral)
                scope, whole = scope + columns, False
                continue
            table, columns, more = self.table(depth, outer)
            join = rng.choice(JOINS)
            on = self.link(scope, columns)
            if on is None or join == "CROSS JOIN":
                small = len(parts) < 3
                parts.append(maybe(" CROSS JOIN ", table) if small else NOTHING)
                if not small:
                    continue
            else:
                if join not in ("FULL JOIN", "RIGHT JOIN") and rng.random() < 0.3:
                    more_on = self.condition(scope + columns, 1)
                    on = Node("on", (on, maybe(" AND ", more_on)))
                parts.append(maybe(f" {join} ", table, " ON ", on))
            scope = scope + columns
            whole = whole and bool(more)
            keys = keys + more
        return Node("origin", tuple(parts)), scope, keys if whole else []

    def lateral(self, scope: list[Source]) -> tuple[Node, list[Source]]:
        """A derived table that may refer to those before it."""
        inner, symbols = self.select(0, scope, named=True)
        alias = self.name("t")
        head, end = self.rng.choice(
            ((" CROSS JOIN LATERAL (", ""), (" LEFT JOIN LATERAL (", " ON 1 = 1"))
        )
        columns = [(f"x{n}", symbol) for n, symbol in enumerate(symbols)]
        text = Node("optional", (head, inner, f") {alias}{end}"), is_portable=False)
        return text, _sources(alias, columns)

    def outer_marks(self) -> tuple[Node, list[Source], Node] | None:
        """FROM a, b WHERE a.x = b.y(+): text, columns, WHERE."""
        (one, left, _), (two, right, _) = self.table(0, []), self.table(0, [])
        pairs = [(a, b) for a in left for b in right if a.symbol == b.symbol]
        if not pairs:
            return None
        a, b = self.rng.choice(pairs)
        text = Node(
            "origin", (one, ", ", two), (one, " LEFT JOIN ", two, f" ON {a.text} = {b.text}")
        )
        more = self.condition(left + right, 1)
        where = Node(
            "where", (f" WHERE {a.text} = {b.text}(+)", maybe(" AND ", more)),
            (maybe(" WHERE ", more),),
        )  # fmt: skip
        return text, left + right, where

    def value(self, symbol: str, scope: list[Source], depth: int) -> Node:
        """Sometimes a scalar subquery."""
        if depth > 1 and scope and self.rng.random() < 0.04:
            text, inside, _ = self.origin(0, scope)
            link = self.link(scope, inside) or self.condition(inside, 0)
            one = self.aggregate(symbol, inside)
            return Node(symbol, ("(SELECT ", one, " FROM ", text, maybe(" WHERE ", link), ")"))
        return super().value(symbol, scope, depth)

    def link(self, left: list[Source], right: list[Source]) -> Node | None:
        """A join condition."""
        pairs = [(a, b) for a in left for b in right if a.symbol == b.symbol]
        if not pairs:
            return None
        likely = [p for p in pairs if p[0].text.endswith(("id", ".a", ".b", ".c", "k1", "k2"))]
        first = self.rng.choice(likely or pairs)
        test = Node("bool", (first[0].node(), " = ", first[1].node()))
        if self.rng.random() < 0.2:
            second = self.rng.choice(pairs)
            more = (second[0].node(), f" {self.rng.choice(COMPARED)} ", second[1].node())
            return many("conditions", [test, Node("bool", more)], " AND ")
        return test

    # -- SELECT -----------------------------------------------------------------------------------
    def select(
        self, depth: int, outer: list[Source], *, outermost: bool = False, named: bool = False,
        symbols: list[str] | None = None,
    ) -> tuple[Node, list[str]]:  # fmt: skip
        """A query block and the symbols of its columns; `symbols`: which it is to have."""
        rng = self.rng
        text, scope, keys = self.origin(depth, outer)
        where = NOTHING
        if rng.random() < 0.65:
            parts = [self.condition(scope + outer, 2) for _ in range(rng.choice((1, 1, 2)))]
            where = maybe(" WHERE ", many("conditions", parts, " AND "))
        if not outer and rng.random() < 0.06 and (marked := self.outer_marks()) is not None:
            (text, scope, where), keys = marked, []
        kind = rng.random()
        if kind < 0.4:
            items, symbols, tail = self.grouped(scope, symbols)
        else:
            free = symbols is None
            symbols = symbols or [rng.choice(("num", "num", "text", "date")) for _ in range(3)]
            items, tail = [self.value(s, scope, 2) for s in symbols], NOTHING
            if kind > 0.85 and not outer and (free or symbols[0] == "num"):
                items[0], symbols[0] = self.window(scope, keys), "num"
        distinct = maybe("DISTINCT ") if rng.random() < 0.15 else NOTHING
        if named:
            items = [Node("item", (item, f" AS x{n}")) for n, item in enumerate(items)]
        end = self.ending(len(items)) if outermost or (named and rng.random() < 0.2) else NOTHING
        shown = many("items", items)
        return Node(
            "select", ("SELECT ", distinct, shown, " FROM ", text, where, tail, end)
        ), symbols  # fmt: skip

    def ending(self, width: int) -> Node:
        """ORDER BY all columns, perhaps a limit: then the answer is one."""
        rng = self.rng
        if rng.random() < 0.45:
            return NOTHING
        terms = []
        for at in rng.sample(range(1, width + 1), width):
            way, nulls = rng.choice(("", " DESC")), rng.choice((" NULLS FIRST", " NULLS LAST"))
            default = " NULLS FIRST" if way else " NULLS LAST"
            grid = rng.choice((nulls, "")) if nulls == default else nulls
            terms.append(
                Node("term", (f"{at}{way}{grid}",), (f"{at}{way}{nulls}",), (f"{at}{way}{nulls}",))
            )
        limit = NOTHING
        if rng.random() < 0.4:
            count, skip = rng.randint(0, 8), rng.choice((0, 0, 2))
            plain = f" LIMIT {count}" + (f" OFFSET {skip}" if skip else "")
            fetch = (f" OFFSET {skip} ROWS" if skip else "") + f" FETCH FIRST {count} ROWS ONLY"
            limit = Node("optional", (rng.choice((plain, fetch)),), (plain,))
        return Node("optional", (" ORDER BY ", many("terms", terms), limit))

    def grouped(
        self, scope: list[Source], wanted: list[str] | None
    ) -> tuple[list[Node], list[str], Node]:
        """Items, their symbols, GROUP BY and HAVING."""
        rng = self.rng
        if wanted is not None:
            return [self.aggregate(s, scope) for s in wanted], wanted, NOTHING
        by = [self.value(rng.choice(("num", "text")), scope, rng.choice((0, 0, 1)))
              for _ in range(rng.choice((0, 1, 1, 2)))]  # fmt: skip
        by = [b for b in by if "." in b.text() and "t" in b.text()]  # constants are no groups
        symbols = [rng.choice(("num", "num", "text", "date")) for _ in range(rng.choice((1, 2, 2)))]
        items = by + [self.aggregate(s, scope) for s in symbols]
        symbols = [b.symbol for b in by] + symbols
        if not by:
            return items, symbols, NOTHING
        having = NOTHING
        if rng.random() < 0.3:
            test = (self.aggregate("num", scope), f" {rng.choice(COMPARED)} ", self.literal("num"))
            having = maybe(" HAVING ", Node("bool", test))
        sets = rng.random()
        listed = many("groups", [Node("group", (one,)) for one in by])
        if sets < 0.85:
            return items, symbols, Node("tail", (" GROUP BY ", listed, having))
        form = rng.choice(("ROLLUP (", "CUBE (")) if sets < 0.95 else "GROUPING SETS ((), "
        tail = Node("tail", (f" GROUP BY {form}", listed, ")", having), is_portable=False)
        return items, symbols, tail

    def aggregate(self, symbol: str, scope: list[Source]) -> Node:
        """One value of a group."""
        rng = self.rng
        one = self.value(symbol, scope, rng.choice((0, 0, 1)))
        extreme = rng.choice(("MIN", "MAX"))
        if symbol == "text" and rng.random() < 0.3:
            of = ("(", one, ", ',') WITHIN GROUP (ORDER BY ", one, ")")
            return variants(
                "text", ("LISTAGG", *of), ("STRING_AGG(", one, ", ',' ORDER BY ", one, ")"), None
            )
        if symbol != "num":
            return Node(symbol, (f"{extreme}(", one, ")"))
        kind = rng.randrange(9)
        if kind == 0:
            return Node("num", ("COUNT(*)",))
        if kind == 1:
            other = self.value(rng.choice(("text", "date", "num")), scope, 1)
            return Node("num", ("COUNT(", rng.choice(("", "DISTINCT ")), other, ")"))
        if kind == 2:
            return Node("num", ("SUM(DISTINCT ", one, ")"))
        if kind == 3:
            call = ("ROUND(AVG(", one, "), 6)")
            there = ("ROUND(AVG(CAST(", one, " AS NUMERIC)), 6)")
            return variants("num", call, there, call)
        if kind == 4:
            name = rng.choice(("STDDEV", "VARIANCE"))
            zero = ("CASE WHEN COUNT(", one, f") = 1 THEN 0 ELSE {name}(CAST(", one)
            zero += (" AS NUMERIC)) END",)
            return variants(
                "num", (f"ROUND({name}(", one, "), 4)"), ("ROUND(", *zero, ", 4)"), None
            )
        if kind == 5:
            test = self.condition(scope, 1)
            return Node("num", ("SUM(CASE WHEN ", test, " THEN ", one, " ELSE 0 END)"))
        if kind == 6:
            return Node("num", ("MIN(", one, ") + COUNT(*)"))
        if kind == 7 and rng.random() < 0.5:
            middle = ("ROUND((PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY ", one, "))::numeric, 4)")
            return variants("num", ("ROUND(MEDIAN(", one, "), 4)"), middle, None)
        if kind == 7:
            test = maybe(" FILTER (WHERE ", self.condition(scope, 1), ")")
            return Node("num", ("SUM(", one, ")", test))
        return Node("num", (f"{rng.choice(('SUM', extreme))}(", one, ")"))

    def window(self, scope: list[Source], keys: list[str]) -> Node:
        """An analytic function whose answer does not depend on the order of equal rows."""
        rng = self.rng
        one = self.value("num", scope, 1)
        part = NOTHING
        if rng.random() < 0.7:
            part = maybe("PARTITION BY ", self.leaf(rng.choice(("num", "text")), scope))
        order = Node("num", (self.leaf("num", scope), rng.choice((" NULLS FIRST", " NULLS LAST"))))
        if rng.random() < 0.5 or not keys:
            names = ("RANK()", "DENSE_RANK()", "PERCENT_RANK()", "CUME_DIST()")
            call: tuple[str | Node, ...] = (rng.choice(names),)
            if rng.random() < 0.6:
                call = (f"{rng.choice(('SUM', 'COUNT', 'MIN', 'MAX'))}(", one, ")")
            frame = " ORDER BY "
            return Node("window", (*call, " OVER (", part, frame, order, ")"))
        unique = ", ".join(f"{key} NULLS FIRST" for key in keys)
        calls: tuple[tuple[str | Node, ...], ...] = (
            ("ROW_NUMBER()",), ("LAG(", one, ")"), ("LEAD(", one, ", 2)"),
            ("FIRST_VALUE(", one, ")"), ("LAST_VALUE(", one, ")"), ("NTILE(3)",),
        )  # fmt: skip
        call, frame = rng.choice(calls), ""
        if rng.random() < 0.3:
            call = (f"{rng.choice(('SUM', 'COUNT', 'MAX'))}(", one, ")")
            frame = rng.choice(FRAMES)
        order = Node("order", (maybe(order, ", "), unique))
        return Node("window", (*call, " OVER (", part, " ORDER BY ", order, frame, ")"))

    # -- beyond one block -------------------------------------------------------------------------
    def set_operation(self, depth: int) -> Node:
        """Two or three blocks with the same columns."""
        rng = self.rng
        symbols = [rng.choice(("num", "text", "date")) for _ in range(2)]
        blocks = [self.select(depth - 1, [], symbols=list(symbols))[0]
                  for _ in range(rng.choice((2, 2, 3)))]  # fmt: skip
        operator = rng.choice((" UNION ", " UNION ALL ", " INTERSECT ", " MINUS "))
        theirs = operator.replace("MINUS", "EXCEPT")
        mine: list[str | Node] = [blocks[0]]
        other: list[str | Node] = [blocks[0]]
        for block in blocks[1:]:
            mine += [operator, block]
            other += [theirs, block]
        end = self.ending(2)
        return Node("sets", (*mine, end), (*other, end))

    def _with(self) -> Node:
        rng = self.rng
        if rng.random() < 0.3:
            table = rng.choice([t for t in self._tables if t.name in ("p", "s", "q")])
            self._common.append(("w0", [("n", "num"), ("v", "num")]))
            text = (
                f"WITH RECURSIVE w0 (n, v) AS (SELECT 1, MIN(id) FROM {table.name} UNION ALL "
                f"SELECT w0.n + 1, {table.name}.id FROM w0 JOIN {table.name} "
                f"ON {table.name}.id = w0.v + 1 WHERE w0.n < 6) "
            )
            return Node("optional", (text,))
        parts = []
        for number in range(rng.choice((1, 1, 2))):
            inner, symbols = self.select(1, [], named=True)
            parts.append(Node("common", (f"w{number} AS (", inner, ")")))
            self._common.append((f"w{number}", [(f"x{n}", s) for n, s in enumerate(symbols)]))
        return Node("optional", ("WITH ", many("commons", parts), " "))

    def asked(self, scope: list[Source], depth: int) -> Node:
        """IN, EXISTS, a comparison with a scalar subquery, ANY, ALL."""
        rng = self.rng
        kind = rng.randrange(6)
        symbol = rng.choice(("num", "num", "text"))
        one = self.leaf(symbol, scope)
        if kind == 0:
            inner, _ = self.select(0, [], symbols=[symbol])
            return Node("bool", (one, f" {self.maybe_not()}IN (", inner, ")"))
        if kind in (1, 2):
            text, inside, _ = self.origin(0, scope)
            link = self.link(scope, inside) or self.condition(inside, 0)
            tests = many(
                "conditions",
                [link, *[self.condition(inside + scope, 1)] * rng.randint(0, 1)],
                " AND ",
            )
            exists = ("EXISTS (SELECT 1 FROM ", text, " WHERE ", tests, ")")
            return Node("bool", (self.maybe_not(), *exists))
        if kind == 3:
            inner, _ = self.select(0, [], symbols=[symbol])
            operator = rng.choice(("= ANY", "<> ALL", "> ANY", "<= ALL"))
            return Node("bool", (one, f" {operator} (", inner, ")"), is_portable=False)
        text, inside, _ = self.origin(0, scope)
        tests = [self.link(scope, inside) or self.condition(inside, 0)]
        value = self.aggregate(symbol, inside)
        where = maybe(" WHERE ", many("conditions", tests, " AND "))
        return Node(
            "bool", (one, f" {rng.choice(COMPARED)} (SELECT ", value, " FROM ", text, where, ")")
        )


def _sources(alias: str, columns: list[tuple[str, str]]) -> list[Source]:
    return [Source(f"{alias}.{name}", symbol) for name, symbol in columns]
