# ruff: noqa: E501 - queries stand on one line each
"""What the planner makes of queries that no distribution makes local, and that answers stay right."""

from __future__ import annotations

from functools import cache

import pytest

from data.sql.plan_types import QueryPlan
from tests.support.mini_grid import MiniGrid
from tests.unit.sql.test_distributed_queries import fill, grid, rounded

# query, kind of its plan, what runs first
LOCAL = [
    # scalar subqueries that depend on nothing are parameters
    ("select count(*) from accounts where current_balance > (select avg(current_balance) from accounts)", "scalar"),
    ("select cust_id, (select max(amount) from transactions) from customers where cust_id = 3", "scalar"),
    ("select last_name, count(*) from customers group by last_name having count(*) >= (select max(n) from (select count(*) n from customers group by last_name))", "scalar"),
    # small tables go to the rows of the large one
    ("select sum(t.amount) from transactions t, events e where e.cust = t.transaction_id and e.kind = 'a'", "rows"),
    ("select o.note, count(*) from orders o join customers c on c.cust_id = o.cust where c.last_name = 'Smith' group by o.note", "rows"),
    ("select c.cust_id, o.num from customers c left join orders o on o.cust = c.cust_id and o.qty > 20", "rows"),
    ("select c.cust_id, x.n from customers c join (select cust, count(*) n from events group by cust) x on x.cust = c.cust_id", "rows"),
    ("select c.cust_id, x.cust from customers c, (select cust from events order by val desc, cust fetch first 3 rows only) x where x.cust = c.cust_id", "rows"),
    ("select r.cust_id, t.amount from transactions t join rich r on r.cust_id = t.transaction_id", "rows"),
    # lists of IN, and EXISTS with one equality
    ("select cust_id from customers where cust_id in (select cust from events where val > 20)", "rows"),
    ("select cust_id from customers where cust_id not in (select cust from orders where cust is not null)", "rows"),
    ("select cust_id from customers where cust_id not in (select cust from orders)", "rows"),
    ("select cust_id from customers c where exists (select 1 from orders o where o.cust = c.cust_id and o.qty > 10)", "rows"),
    ("select cust_id from customers c where not exists (select 1 from orders o where o.cust = c.cust_id and o.qty > 10)", "rows"),
    ("select num from orders o where not exists (select 1 from customers c where c.cust_id = o.cust)", "rows"),
    ("select cust_id from customers where (cust_id, 1) in (select cust, qty from orders) or cust_id = 5", "rows"),
    # what all branches of an OR have in common joins
    ("select count(*) from customers c, accounts a where (c.cust_id = a.cust_id and a.status = 10) or (c.cust_id = a.cust_id and a.status = 20)", ""),
    ("select count(*) from customers c, accounts a where (c.cust_id = a.cust_id and a.status = 10) or c.cust_id = a.cust_id", ""),
    ("select count(*) from customers c, orders o where (c.cust_id = o.cust and o.qty = 10 and c.zipcode = '10001') or (c.cust_id = o.cust and o.qty = 20)", "rows"),
]  # fmt: skip
GENERAL = [
    # correlated with other rows than those beside it; keys of the small side go along
    "select num from orders o where qty > (select avg(val) from events e where e.cust = o.cust)",
    "select c.cust_id from customers c where c.last_name = 'Jones' and exists (select 1 from orders o where o.cust = c.cust_id and o.qty > c.cust_id)",
    "select c.cust_id, o.num from customers c right join orders o on o.cust = c.cust_id and o.qty > 5",
    "select c.cust_id, o.num from customers c full join orders o on o.cust = c.cust_id",
    "with w as (select min(c.zipcode) x from customers c join orders o on 1 = 1 group by rollup (o.qty)) select 1 from events e left join w on 1 = 1",
    "with recursive w (n) as (select 1 from dual union all select n + 1 from w where n < 3) select x.cust_id from (select c.cust_id from w join customers c on 1 = 1) x cross join codes",
    "select weight from orders o, events e where e.cust = o.num and o.weight > 3",
    "select c.last_name, o.num, x.val from customers c left join orders o on o.cust = c.cust_id left join events x on x.cust = o.num",
]  # fmt: skip


@cache
def _no_room(sets: int) -> MiniGrid:
    made = fill(MiniGrid(sets))
    made.ship_bytes_max = 0
    return made


def _plan(sql: str) -> QueryPlan:
    plan = grid(3).compile(sql).plan
    assert isinstance(plan, QueryPlan)
    return plan


def _same_everywhere(sql: str) -> None:
    expected = sorted(rounded(grid(0).run(sql)), key=repr)
    assert expected or "not in (select cust from orders)" in sql  # it has NULLs
    for made in (grid(1), grid(2), grid(3), _no_room(3)):
        assert sorted(rounded(made.run(sql)), key=repr) == expected, (sql, made.sets)


@pytest.mark.parametrize(("sql", "first"), LOCAL)
def test_a_query_is_made_local(sql: str, first: str) -> None:
    plan = _plan(sql)
    assert plan.kind in ("single", "co-located")
    assert {f.kind for f in plan.firsts} == ({first} if first else set())
    assert (plan.otherwise is not None) == (first == "rows")
    _same_everywhere(sql)


@pytest.mark.parametrize("sql", GENERAL)
def test_the_general_plan_is_right(sql: str) -> None:
    _same_everywhere(sql)


def test_keys_of_the_smaller_side_restrict_what_is_gathered() -> None:
    sql = (
        "select c.cust_id, (select sum(t.amount) from transactions t where t.account_id = c.cust_id) "
        "from customers c where c.cust_id = 3 and c.last_name > 'A'"
    )
    plan = _plan(sql)
    assert plan.kind == "general"
    keyed = [g for g in plan.gathers if g.keys]
    assert [g.keys[0].gather for g in keyed] == ["g1"]
    _same_everywhere(sql)


def test_only_what_the_final_step_needs_is_gathered() -> None:
    plan = _plan(
        "select c.cust_id from customers c full join orders o on o.cust = c.cust_id and o.num > 3"
    )
    columns = {g.name: {n for n, _ in g.columns} for g in plan.gathers}
    assert columns == {"g1": {"CUST_ID"}, "g2": {"CUST", "NUM"}}


def test_a_value_is_exact_after_it_was_sent_along() -> None:
    for made in (grid(0), grid(3)):
        rows = made.run(
            "select o.rate, o.price, e.at from events e join orders o on e.cust = o.num "
            "where o.rate is not null and e.kind = 'a' order by 1, 2, 3"
        )
        assert rows
        assert rows == grid(0).run(
            "select o.rate, o.price, e.at from events e join orders o on e.cust = o.num "
            "where o.rate is not null and e.kind = 'a' order by 1, 2, 3"
        )


def test_the_source_of_an_insert_is_made_local_too() -> None:
    made = fill(MiniGrid(3))
    made.script("create table found (num tt_bigint not null primary key, note varchar2(50))")
    query = "select o.num, c.last_name from orders o join customers c on c.cust_id = o.cust"
    before = made.shipped
    assert made.run(f"insert into found {query}") == len(grid(0).run(query))
    assert made.shipped == before + 1
    assert sorted(made.run("select * from found")) == sorted(grid(0).run(query))
