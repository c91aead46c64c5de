"""How a SQL function is written down: name → (least, most arguments, builder). Pure.

`fn("tg_lpad", "tit?")` says it all for most: the function of SQLite that does the work and what its
arguments are, by letters: t text, i integer, n NUMBER, f float, m moment, s span (day to second),
b bytes, a as it is (an untyped literal becomes text). "?" after a letter: it and what follows may
be left out; "*": the last one may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data.sql.ir import Call, ConstExpr, Expr, SpecialExpr
from data.sql.operators import (
    cast,
    is_moment,
    settle,
    to_dec,
    to_float,
    to_int,
    to_number,
    to_text,
)
from data.sql.plan_types import Special
from protocol.sqltypes import BYTES_KINDS, NUMBER, TIMESTAMP, VARCHAR, Kind, SqlType

Builder = Callable[[list[Expr]], Expr]
Entry = tuple[int, int, Builder]
Runtime = dict[str, Callable[..., Any]]
ARGUMENTS_MAX = 100  # SQLite's own limit is 127
SPAN = SqlType(Kind.INTERVAL_DS)
MONTHS = SqlType(Kind.INTERVAL_YM)
BYTES = SqlType(Kind.VARBINARY)


def moment_arg(expr: Expr) -> Expr:
    """As a date or timestamp; texts are read."""
    return expr if is_moment(expr) else cast(expr, TIMESTAMP)


def bytes_arg(expr: Expr) -> Expr:
    """As bytes; a text is hexadecimal, as in Oracle."""
    return expr if expr.type.kind in BYTES_KINDS else cast(settle(expr, BYTES), BYTES)


_ARGUMENTS: dict[str, Builder | Callable[[Expr], Expr]] = {
    "t": to_text,
    "i": to_int,
    "n": lambda e: to_dec(to_number(settle(e, NUMBER))),
    "f": lambda e: to_float(to_number(settle(e, NUMBER))),
    "m": moment_arg,
    "s": lambda e: cast(e, SPAN),
    "b": bytes_arg,
    "a": lambda e: settle(e, VARCHAR),
}


def fn(function: str, kinds: str, result: SqlType = VARCHAR, *, volatile: bool = False) -> Entry:
    """One function whose work is done by `function`, a name SQLite knows or a template."""
    repeats = kinds.endswith("*")
    letters = kinds.removesuffix("*").replace("?", "")
    least = len(kinds.partition("?")[0].removesuffix("*"))
    if "?" in kinds:
        least -= 1
    most = ARGUMENTS_MAX if repeats else len(letters)

    def build(args: list[Expr]) -> Expr:
        spread = letters + letters[-1:] * (len(args) - len(letters))
        typed = tuple(
            _ARGUMENTS[k](a)  # type: ignore[arg-type]
            for a, k in zip(args, spread, strict=False)
        )
        if "{" in function or "(" in function:
            return Call(function, typed, result, volatile=volatile)
        marks = ", ".join(f"{{{i}}}" for i in range(len(typed)))
        return Call(f"{function}({marks})", typed, result, volatile=volatile)

    return least, most, build


def special(name: str, type_: SqlType) -> Entry:
    """A value the executor supplies."""
    return 0, 0, lambda _args: SpecialExpr(Special(name), type_)


def const_text(expr: Expr) -> str | None:
    """The text of a string literal, None for anything else."""
    if isinstance(expr, ConstExpr) and type(expr.value) is str:
        return expr.value
    return None


def refused(message: str) -> Entry:
    """A function that is refused by name."""
    from protocol.errors import NotSupportedError

    def build(_args: list[Expr]) -> Expr:
        raise NotSupportedError(message)

    return 0, 255, build
