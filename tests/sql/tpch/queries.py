"""The queries of queries.sql with their parameters, and answers in a form that compares. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent
NUMBERS = range(1, 23)
DIGITS = 12  # of quotients that are compared: they end somewhere
FRACTION_EXACT = 6  # numbers with no more digits than this behind the point compare exactly

PARAMETERS = {
    "size": "15", "metal": "BRASS", "nation1": "FRANCE", "nation2": "GERMANY",
    "brazil": "BRAZIL", "america": "AMERICA", "type": "ECONOMY ANODIZED STEEL",
    "germany": "GERMANY", "fraction": "0.0001", "brand": "Brand#23", "containers": "'MED BOX'",
    "quantity": "300", "brand12": "Brand#12", "brand23": "Brand#23", "brand34": "Brand#34",
    "width": "5", "colour": "forest", "canada": "CANADA", "saudi": "SAUDI ARABIA",
}  # fmt: skip
SMALL_SCALE = 0.05  # below it there are too few suppliers and parts to find some of those
SMALL = {
    "metal": "S%", "containers": "'MED BOX', 'JUMBO PKG', 'WRAP JAR'", "quantity": "230",
    "width": "40", "colour": "%a",
    "type": "MEDIUM PLATED NICKEL", "brazil": "GERMANY", "fraction": "0.005",
    "canada": "INDIA", "saudi": "KENYA", "brand": "Brand#1",
}  # fmt: skip


def parameters(scale: float) -> dict[str, str]:
    """For a scale: the specification's, but for data too small for them."""
    found = {**PARAMETERS, "fraction": f"{0.0001 / scale:.6f}"}
    return {**found, **SMALL} if scale < SMALL_SCALE else found


def texts(scale: float) -> dict[str, str]:
    """Name (q1 … q22) → statement."""
    found = {}
    for part in re.split(r"^-- (?=q\d+:)", (HERE / "queries.sql").read_text(), flags=re.M)[1:]:
        title, _, text = part.partition("\n")
        for name, value in parameters(scale).items():
            text = text.replace(f"{{{name}}}", value)
        found[title.partition(":")[0]] = text.strip().rstrip(";")
    assert list(found) == [f"q{n}" for n in NUMBERS]
    return found


def postgresql_schema() -> str:
    """The same tables for a PostgreSQL server."""
    text = (HERE / "schema.sql").read_text()
    text = re.sub(r"\)\s*(DUPLICATE|DISTRIBUTE BY[^;]*);", ");", text)
    for ours, theirs in (
        ("TT_INTEGER", "integer"), ("TT_BIGINT", "bigint"), ("VARCHAR2", "varchar"),
        ("NUMBER", "numeric"), (" DATE ", " date "),
    ):  # fmt: skip
        text = text.replace(ours, theirs)
    return text


def comparable(value: object) -> str:
    """One form for what both give."""
    if value is None:
        return "-"
    if isinstance(value, int | float | Decimal):
        number = Decimal(str(value))
        if number == 0:
            return "0"
        exact = number.normalize()
        if -int(exact.as_tuple().exponent) > FRACTION_EXACT:
            exact = round(number, DIGITS - 1 - number.adjusted()).normalize()
        return f"{exact:f}"
    if isinstance(value, str):
        return value.rstrip()
    return str(value)[:10]  # a date, with or without a time of day


def answer(rows: Iterable[Sequence[object]]) -> list[str]:
    """Rows as lines, in their order."""
    return ["|".join(map(comparable, row)) for row in rows]


def differences(found: list[str], expected: list[str]) -> str:
    """What differs, in words; "" if nothing does. Rows that sort alike may stand in any order."""
    if sorted(found) == sorted(expected):
        return ""
    extra = [line for line in found if line not in expected]
    missing = [line for line in expected if line not in found]
    counts = f"{len(found)} rows, expected {len(expected)}"
    return f"{counts}\n  too much: {extra[:3]}\n  missing: {missing[:3]}"
