"""Random expressions and conditions over the columns in scope."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.sql.nodes import Node, many
from tests.sql.schemas import WORDS

SYMBOLS = ("num", "num", "num", "text", "text", "date")
COMPARISONS = ("=", "=", "<>", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class Source:
    """A column in scope, by the text that names it."""

    text: str
    symbol: str

    def node(self) -> Node:
        """It, as an expression."""
        return Node(self.symbol, (self.text,))


def variants(symbol: str, grid: tuple[str | Node, ...], pg: tuple[str | Node, ...],
             lite: tuple[str | Node, ...] | None = ()) -> Node:  # fmt: skip
    """What is said differently; `lite` None: not to be said there."""
    return Node(symbol, grid, pg, lite or (), is_portable=lite is not None)


def day(text: str) -> Node:
    """A moment as a literal."""
    return variants("date", (f"TIMESTAMP '{text}'",), (f"TIMESTAMP '{text}'",), (f"'{text}'",))


class Expressions:
    """Makes them; `subquery` is given by the maker of queries."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    # -- leaves -----------------------------------------------------------------------------------
    def literal(self, symbol: str) -> Node:
        """A constant."""
        rng = self.rng
        if symbol == "num":
            return Node(
                "num", (rng.choice(("0", "1", "2", "3", "7", "10", "-1", "0.5", "1.25", "12.99")),)
            )
        if symbol == "text":
            return Node("text", (f"'{rng.choice(WORDS)}'",))
        return day(
            f"2024-0{rng.randint(1, 3)}-{rng.choice(('01', '15'))} {rng.choice(('00', '12'))}:00:00"
        )

    def leaf(self, symbol: str, scope: list[Source]) -> Node:
        """A column or a constant."""
        fitting = [source for source in scope if source.symbol == symbol]
        if fitting and self.rng.random() < 0.85:
            return self.rng.choice(fitting).node()
        return self.literal(symbol)

    # -- values -----------------------------------------------------------------------------------
    def value(self, symbol: str, scope: list[Source], depth: int) -> Node:
        """An expression of a type."""
        if depth <= 0 or self.rng.random() < 0.4:
            return self.leaf(symbol, scope)
        if self.rng.random() < 0.25:
            return self.choice(symbol, scope, depth)
        return getattr(self, symbol)(scope, depth - 1)

    def choice(self, symbol: str, scope: list[Source], depth: int) -> Node:
        """CASE, COALESCE and their like."""
        one, two = (self.value(symbol, scope, depth - 1) for _ in range(2))
        kind = self.rng.randrange(6)
        if kind == 0:
            test = self.condition(scope, depth - 1)
            return Node(symbol, ("CASE WHEN ", test, " THEN ", one, " ELSE ", two, " END"))
        if kind == 1:
            test = self.condition(scope, depth - 1)
            return Node(symbol, ("CASE WHEN ", test, " THEN ", one, " END"))
        if kind == 2:
            return variants(
                symbol, ("NVL(", one, ", ", two, ")"), ("COALESCE(", one, ", ", two, ")")
            )
        if kind == 3:
            return Node(symbol, ("NULLIF(", one, ", ", two, ")"))
        if kind == 4:
            of, equal = (self.value("num", scope, 0) for _ in range(2))
            ends = (" THEN ", one, " ELSE ", two, " END")
            return variants(
                symbol, ("DECODE(", of, ", ", equal, ", ", one, ", ", two, ")"),
                ("CASE WHEN ", of, " IS NOT DISTINCT FROM ", equal, *ends),
                ("CASE WHEN ", of, " IS ", equal, *ends),
            )  # fmt: skip
        return Node(symbol, ("COALESCE(", one, ", ", two, ")"))

    def num(self, scope: list[Source], depth: int) -> Node:
        """A number."""
        kind = self.rng.randrange(12)
        one = self.value("num", scope, depth)
        if kind < 4:
            operator = self.rng.choice((" + ", " - ", " * "))
            return Node("num", ("(", one, operator, self.value("num", scope, 0), ")"))
        if kind == 4:
            by = self.rng.choice(("2", "3", "7", "0.25"))
            return variants(
                "num", ("ROUND((1.0 * ", one, f") / {by}, 6)"),
                ("ROUND(", one, f"::numeric / {by}, 6)"),
                ("ROUND(1.0 * ", one, f" / {by}, 6)"),
            )  # fmt: skip
        if kind == 5:
            by = self.rng.choice(("2", "3", "7"))
            return variants(
                "num", ("MOD(", one, f", {by})"), ("MOD(", one, f"::numeric, {by})"), None
            )
        if kind == 6:
            return Node("num", ("ABS(", one, ")"))
        if kind == 7:
            name = self.rng.choice(("FLOOR", "CEIL", "SIGN"))
            return Node("num", (f"{name}(", one, ")"), is_portable=False)
        if kind == 8:
            digits = self.rng.choice(("", ", 1", ", -1"))
            name = self.rng.choice(("ROUND", "TRUNC"))
            return variants(
                "num",
                (f"{name}(", one, f"{digits})"),
                (f"{name}(", one, f"::numeric{digits})"),
                None,
            )
        if kind == 9:
            text = self.value("text", scope, depth)
            return Node("num", ("LENGTH(", text, ")"))
        if kind == 10:
            when = self.value("date", scope, depth)
            part = self.rng.choice(("YEAR", "MONTH", "DAY"))
            return Node("num", (f"EXTRACT({part} FROM ", when, ")"), is_portable=False)
        two = self.value("num", scope, 0)
        name = self.rng.choice(("GREATEST", "LEAST"))
        call = (f"{name}(", one, ", ", two, ")")
        return variants(
            "num", call,
            ("CASE WHEN (", one, ") + (", two, ") IS NOT NULL THEN ", *call, " END"),
            (f"{'max' if name == 'GREATEST' else 'min'}(", one, ", ", two, ")"),
        )  # fmt: skip

    def text(self, scope: list[Source], depth: int) -> Node:
        """A string; an empty one is NULL."""
        one = self.value("text", scope, depth)
        kind = self.rng.randrange(8)
        if kind == 0:
            two = self.value("text", scope, 0)
            return variants(
                "text", ("(", one, " || ", two, ")"), ("NULLIF(CONCAT(", one, ", ", two, "), '')"),
                ("NULLIF(COALESCE(", one, ", '') || COALESCE(", two, ", ''), '')"),
            )  # fmt: skip
        if kind == 1:
            name = self.rng.choice(("UPPER", "LOWER"))
            return Node("text", (f"{name}(", one, ")"), is_portable=False)
        if kind == 2:
            begin, count = self.rng.randint(1, 4), self.rng.randint(1, 3)
            call = ("SUBSTR(", one, f", {begin}, {count})")
            return variants("text", call, ("NULLIF(", *call, ", '')"))
        if kind == 3:
            call = ("REPLACE(", one, f", '{self.rng.choice('aox')}', 'yy')")
            return Node("text", call)
        if kind == 4:
            call = ("REPLACE(", one, f", '{self.rng.choice('aox')}', '')")
            return variants("text", call, ("NULLIF(", *call, ", '')"))
        if kind == 5:
            name, width = self.rng.choice(("LPAD", "RPAD")), self.rng.randint(2, 6)
            return Node("text", (f"{name}(", one, f", {width}, '*')"), is_portable=False)
        if kind == 6:
            when = self.value("date", scope, 0)
            return Node("text", ("TO_CHAR(", when, ", 'YYYY-MM-DD')"), is_portable=False)
        call = ("TRIM(", one, ")")
        return variants("text", call, ("NULLIF(", *call, ", '')"))

    def date(self, scope: list[Source], depth: int) -> Node:
        """A moment."""
        one = self.value("date", scope, depth)
        kind = self.rng.randrange(3)
        if kind == 0:
            days = self.rng.choice(("1", "30", "0.5"))
            return variants(
                "date",
                ("(", one, f" + {days})"),
                ("(", one, f" + {days} * INTERVAL '1 day')"),
                None,
            )
        if kind == 1:
            return variants("date", ("TRUNC(", one, ")"), ("DATE_TRUNC('day', ", one, ")"), None)
        return variants(
            "date", ("TRUNC(", one, ", 'MM')"), ("DATE_TRUNC('month', ", one, ")"), None
        )

    # -- conditions -------------------------------------------------------------------------------
    def condition(self, scope: list[Source], depth: int) -> Node:
        """True, false or unknown."""
        rng = self.rng
        kind = rng.randrange(11) if depth > 0 else rng.randrange(6)
        symbol = rng.choice(SYMBOLS)
        one = self.value(symbol, scope, depth - 1)
        if kind < 3:
            two = self.value(symbol, scope, depth - 1)
            return Node("bool", (one, f" {rng.choice(COMPARISONS)} ", two))
        if kind == 3:
            return Node("bool", (one, f" IS {rng.choice(('', 'NOT '))}NULL"))
        if kind == 4 and rng.random() < 0.2:
            other = self.leaf("text", scope)
            rows = [
                Node("row", ("(", self.literal(symbol), ", ", self.literal("text"), ")"))
                for _ in range(2)
            ]
            return Node("bool", ("(", one, ", ", other, ") IN (", many("rows", rows), ")"))
        if kind == 4:
            values = [self.leaf(symbol, scope) for _ in range(rng.randint(1, 4))]
            return Node("bool", (one, f" {self.maybe_not()}IN (", many("values", values), ")"))
        if kind == 5:
            pattern = rng.choice(("a%", "%o%", "_o%", "%e", "B__", "%", "a!_%' ESCAPE '!"))
            text = self.value("text", scope, depth - 1)
            return Node("bool", (text, f" {self.maybe_not()}LIKE '{pattern}'"))
        if kind == 6:
            low, high = (self.value(symbol, scope, 0) for _ in range(2))
            return Node("bool", (one, f" {self.maybe_not()}BETWEEN ", low, " AND ", high))
        if kind in (7, 8):
            parts = [self.condition(scope, depth - 1) for _ in range(2)]
            joined = many("conditions", parts, rng.choice((" AND ", " OR ")))
            return Node("bool", ("(", joined, ")"))
        if kind == 9:
            return Node("bool", ("NOT (", self.condition(scope, depth - 1), ")"))
        return self.asked(scope, depth)

    def maybe_not(self) -> str:
        """NOT, now and then."""
        return self.rng.choice(("", "", "NOT "))

    def asked(self, scope: list[Source], depth: int) -> Node:
        """A condition with a subquery; made by the maker of queries."""
        return self.condition(scope, depth - 1)
