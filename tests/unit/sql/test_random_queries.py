# ruff: noqa: E501 - statements stand on one line each
"""Random queries over three replica sets against one database: whatever the plan, the same rows."""

from __future__ import annotations

import random
from functools import cache

import pytest

from data.sql.plan_types import QueryPlan
from protocol.errors import GridError
from tests.support.mini_grid import MiniGrid
from tests.unit.sql.test_distributed_queries import fill, grid, rounded

TABLES = {
    "customers": ["cust_id", "first_name", "last_name", "zipcode", "member_since"],
    "accounts": ["account_id", "account_type", "status", "current_balance", "cust_id"],
    "transactions": ["transaction_id", "account_id", "description", "optype", "amount"],
    "account_status": ["status", "description"],
    "orders": ["region", "num", "cust", "price", "qty", "rate"],
    "events": ["cust", "kind", "val"],
    "codes": ["code", "cust_id"],
}
# columns that compare with each other: what joins are made of
FAMILIES = {
    "customer": {"customers": "cust_id", "accounts": "cust_id", "orders": "cust", "events": "cust",
                 "codes": "cust_id"},
    "account": {"accounts": "account_id", "transactions": "account_id", "orders": "num"},
    "status": {"accounts": "status", "account_status": "status", "orders": "qty"},
    "region": {"orders": "region", "account_status": "status"},
}  # fmt: skip
NUMBERS = {"cust_id", "account_id", "status", "current_balance", "transaction_id", "amount", "region",
           "num", "cust", "price", "qty", "rate", "val"}  # fmt: skip


class Maker:
    """Makes one random query."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.sources: list[tuple[str, str]] = []  # alias, table

    def column(self, *, number: bool = False) -> str:
        alias, table = self.rng.choice(self.sources)
        names = [c for c in TABLES[table] if not number or c in NUMBERS]
        return f"{alias}.{self.rng.choice(names or TABLES[table])}"

    def number(self) -> str:
        for _ in range(20):
            name = self.column(number=True)
            if name.partition(".")[2] in NUMBERS:
                return name
        return "1"

    def condition(self) -> str:
        rng = self.rng
        kind = rng.randrange(7)
        if kind == 0:
            return f"{self.number()} > {rng.randint(0, 30)}"
        if kind == 1:
            return f"{self.number()} = {rng.randint(1, 20)}"
        if kind == 2:
            return f"{self.number()} in ({rng.randint(1, 20)}, {rng.randint(1, 20)}, 7)"
        if kind == 3:
            return f"{self.column()} is {rng.choice(['', 'not '])}null"
        if kind == 4:
            return f"({self.condition()} or {self.condition()})"
        if kind == 5:
            return self.subquery()
        link = self.link(self.sources[-1][1])
        return link or f"{self.number()} <= 12"

    def subquery(self) -> str:
        rng = self.rng
        table = rng.choice(list(TABLES))
        alias = f"s{rng.randrange(1000)}"
        for family in FAMILIES.values():
            holders = [(a, family[t]) for a, t in self.sources if t in family]
            if table in family and holders:
                outer, column = rng.choice(holders)
                inner = family[table]
                extra = rng.choice(["", f" and {alias}.{inner} > 3"])
                negation = rng.choice(["", "not "])
                if rng.random() < 0.5:
                    return (
                        f"{negation}exists (select 1 from {table} {alias} "
                        f"where {alias}.{inner} = {outer}.{column}{extra})"
                    )
                where = f"where {alias}.{inner} is not null{extra}"
                return f"{outer}.{column} {negation}in (select {alias}.{inner} from {table} {alias} {where})"
        return (
            f"{self.number()} < (select max({alias}.{TABLES[table][0]}) from {table} {alias}) or 1 = 1"
            if (TABLES[table][0] in NUMBERS)
            else "1 = 1"
        )

    def link(self, table: str, alias: str = "") -> str:
        """An equality between `table` (as `alias`) and a source before it."""
        rng = self.rng
        families = [f for f in FAMILIES.values() if table in f]
        rng.shuffle(families)
        for family in families:
            holders = [(a, family[t]) for a, t in self.sources if t in family and a != alias]
            if holders:
                other, column = rng.choice(holders)
                return f"{alias or self.sources[-1][0]}.{family[table]} = {other}.{column}"
        return ""

    def make(self) -> str:
        rng = self.rng
        first = rng.choice(list(TABLES))
        self.sources.append(("a", first))
        text = f"{first} a"
        for alias in "bcd"[: rng.choice([0, 1, 1, 2, 2, 3])]:
            table = rng.choice(list(TABLES))
            join = rng.choice(["join", "join", "left join", "left join", "full join", "right join"]
                              if rng.random() < 0.2 else ["join", "left join"])  # fmt: skip
            on = self.link(table, alias)
            if not on:
                continue
            self.sources.append((alias, table))
            if rng.random() < 0.2:
                on += f" and {alias}.{rng.choice(TABLES[table])} is not null"
            if rng.random() < 0.15:
                extra = self.link(table, alias)
                on += f" and {extra}" if extra else ""
            text += f" {join} {table} {alias} on {on}"
        where = " and ".join(self.condition() for _ in range(rng.choice([0, 0, 1, 1, 2])))
        tail = f" where {where}" if where else ""
        return self.select(text, tail)

    def select(self, origin: str, tail: str) -> str:
        rng = self.rng
        if rng.random() < 0.45:
            groups = list(dict.fromkeys(self.column() for _ in range(rng.choice([0, 1, 1, 2]))))
            aggregates = [
                rng.choice(["count(*)", f"count({self.column()})", f"sum({self.number()})",
                            f"avg({self.number()})", f"min({self.column()})", f"max({self.column()})",
                            f"count(distinct {self.column()})", f"sum({self.number()} + 1)"])
                for _ in range(rng.choice([1, 2, 3]))
            ]  # fmt: skip
            items = groups + aggregates
            sql = f"select {', '.join(items)} from {origin}{tail}"
            if groups:
                sql += f" group by {', '.join(groups)}"
                if rng.random() < 0.3:
                    sql += " having count(*) > 1"
        else:
            items = list(dict.fromkeys(self.column() for _ in range(rng.choice([1, 2, 3]))))
            distinct = rng.choice(["", "", "distinct "])
            sql = f"select {distinct}{', '.join(items)} from {origin}{tail}"
        order = ", ".join(
            f"{n + 1}{rng.choice([' desc', '', ' nulls first'])}" for n in range(len(items))
        )
        if rng.random() < 0.6:
            sql += f" order by {order}"
            if rng.random() < 0.5:
                sql += f" fetch first {rng.randint(0, 12)} rows only"
        return sql


def check(seed: int) -> str:
    """Compare one random query; the kind of its plan."""
    sql = Maker(seed).make()
    try:
        expected = rounded(grid(0).run(sql))
    except GridError as error:
        with pytest.raises(type(error)):
            grid(3).run(sql)
        return "error"
    found = rounded(grid(3).run(sql))
    if " order by 1" not in sql:
        expected, found = sorted(expected, key=repr), sorted(found, key=repr)
    assert found == expected, sql
    plan = grid(3).compile(sql).plan
    assert isinstance(plan, QueryPlan)
    if plan.otherwise is not None or any(g.keys for g in plan.gathers):
        without = rounded(without_shipping().run(sql))  # what is taken when the rows are too many
        if " order by 1" not in sql:
            without = sorted(without, key=repr)
        assert without == expected, sql
    return str(plan.kind)


@cache
def without_shipping() -> MiniGrid:
    """Three sets that send no rows along, however few they are."""
    made = fill(MiniGrid(3))
    made.ship_bytes_max = 0
    return made


@pytest.mark.parametrize("block", range(8))
def test_random_queries_give_the_same_rows(block: int) -> None:
    kinds = [check(block * 100 + n) for n in range(100)]
    assert kinds.count("error") < 10
    assert kinds.count("co-located") > 10
    assert kinds.count("general") > 1
    assert grid(3).shipped > 20
