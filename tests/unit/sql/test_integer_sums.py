"""SUM of products: by integers where they are exact, and always what Decimals give."""

# ruff: noqa: E501 - one expression per line

from __future__ import annotations

import random
from decimal import Decimal, localcontext

import pytest

from tests.support.mini_grid import MiniGrid

COLUMNS = {"p": (15, 2), "q": (15, 2), "k": (6, 3), "w": (18, 0)}
EXPRESSIONS = {
    "p * q": lambda r: r["p"] * r["q"],
    "p * (1 - k) * (1 + k)": lambda r: r["p"] * (1 - r["k"]) * (1 + r["k"]),
    "p * q - q * k": lambda r: r["p"] * r["q"] - r["q"] * r["k"],
    "w * w": lambda r: r["w"] * r["w"],
    "w + p * q": lambda r: r["w"] + r["p"] * r["q"],
    "case when k > 0 then p * q else 0 end": lambda r: r["p"] * r["q"] if r["k"] > 0 else Decimal(0),
    "case when k > 0 then p * q when k < 0 then 0.125 end": lambda r: (
        r["p"] * r["q"] if r["k"] > 0 else Decimal("0.125") if r["k"] < 0 else None
    ),
}  # fmt: skip


def _value(rng: random.Random, digits: int, scale: int) -> Decimal:
    size = rng.choice([1, 3, digits // 2, digits])
    return Decimal(rng.randint(-(10**size) + 1, 10**size - 1)).scaleb(-scale)


@pytest.mark.parametrize("seed", range(3))
def test_sums_are_exact_at_any_size(seed: int) -> None:
    rng = random.Random(seed)
    grid = MiniGrid(2)
    grid.user()
    types = ", ".join(f"{name} NUMBER({d},{s})" for name, (d, s) in COLUMNS.items())
    grid.script(f"create table m (id tt_integer not null primary key, {types})")
    rows: list[dict[str, Decimal]] = []
    for number in range(60):
        row = {name: _value(rng, *size) for name, size in COLUMNS.items()}
        rows.append(row)
        grid.run(f"insert into m values ({number}, {', '.join(map(str, row.values()))})")
    with localcontext() as context:
        context.prec = 100
        for text, expression in EXPRESSIONS.items():
            values = [v for v in map(expression, rows) if v is not None]
            ((found,),) = grid.run(f"select sum({text}) from m")
            exact = sum(values, Decimal(0))
            if len(exact.as_tuple().digits) <= 38:
                assert Decimal(found) == exact, text


def test_nothing_and_null_sum_to_null() -> None:
    grid = MiniGrid(2)
    grid.user()
    grid.script("create table m (id tt_integer not null primary key, p NUMBER(15,2))")
    assert grid.run("select sum(p * p) from m") == [(None,)]
    grid.run("insert into m values (1, null)")
    assert grid.run("select sum(p * p), avg(p * p) from m") == [(None, None)]
    grid.run("insert into m values (2, 1.5)")
    assert grid.run("select sum(p * p), avg(p * p) from m") == [("2.25", "2.25")]
