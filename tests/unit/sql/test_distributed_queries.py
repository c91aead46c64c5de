# ruff: noqa: E501 - queries stand on one line each
"""The same queries over 1, 2 and 3 replica sets, compared with one database that has all rows."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest

from tests.support.mini_grid import MiniGrid, sample_schema

FIRST = ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus", "Ida"]
LAST = ["Smith", "Jones", "Riley", "Abel", "O'Neil", "smith"]
EXTRA = """
CREATE TABLE orders (
    region TT_INTEGER NOT NULL, num TT_BIGINT NOT NULL, cust NUMBER(10), price NUMBER(18,4),
    qty TT_INTEGER, rate NUMBER, weight BINARY_DOUBLE, note VARCHAR2(50), placed DATE,
    PRIMARY KEY (region, num)
) DISTRIBUTE BY HASH (region);
CREATE TABLE events (cust NUMBER(10), kind CHAR(3), at TIMESTAMP, val NUMBER(5,1));
CREATE TABLE codes (code VARCHAR2(10) NOT NULL PRIMARY KEY, cust_id NUMBER(10) NOT NULL UNIQUE)
  DISTRIBUTE BY HASH (code);
CREATE VIEW rich AS SELECT c.cust_id, c.last_name, SUM(a.current_balance) AS total
  FROM customers c JOIN accounts a ON a.cust_id = c.cust_id GROUP BY c.cust_id, c.last_name;
CREATE VIEW active AS SELECT * FROM accounts WHERE status = 10;
"""


def fill(grid: MiniGrid) -> MiniGrid:
    rng = random.Random(7)
    grid.user()
    grid.script(sample_schema())
    grid.script(EXTRA)
    for i in range(1, 41):
        zipcode = None if i % 7 == 0 else str(10000 + i % 5)
        grid.run(
            "insert into customers values ($1, $2, $3, $4, null, $5, date '2020-01-31' + $1)",
            (i, rng.choice(FIRST), rng.choice(LAST), f"{i} Main St", zipcode),
        )
    number = 0
    for i in range(1, 36):
        for _ in range(rng.randint(0, 3)):
            number += 1
            grid.run(
                "insert into accounts values (?,?,?,?,?,?,date '2021-03-01' + ?,?)",
                (
                    number,
                    f"555-{number:04}",
                    rng.choice("IFHBPQ"),
                    rng.choice((10, 20, 30)),
                    f"{rng.randint(-5000, 99999) / 100:.2f}",
                    "0.10",
                    str(rng.randint(0, 300)),
                    i,
                ),
            )
    for i in range(150):
        grid.run(
            "insert into transactions values (?, ?, timestamp '2022-01-01 00:00:00.5' + ?, ?, ?, ?)",
            (
                i,
                rng.randint(1, number),
                str(rng.randint(0, 500)),
                rng.choice([None, "fee", "call", "sms"]),
                rng.choice("ABC"),
                f"{rng.randint(-9999, 9999) / 100:.2f}",
            ),
        )
    for i in range(60):
        grid.run(
            "insert into orders values (?,?,?,?,?,?,?,?,date '2023-01-01' + ?)",
            (
                i % 6,
                i,
                rng.choice([None, *range(1, 45)]),
                f"{rng.randint(1, 10**13)}.{rng.randint(0, 9999):04}",
                rng.randint(-5, 50),
                rng.choice(
                    [None, "0.1", "0.2", "3.333333333333333333333333", "-12345678901234567890"]
                ),
                rng.randint(0, 100) / 8,
                rng.choice([None, "x", "Y", "long note"]),
                str(i),
            ),
        )
        grid.run(
            "insert into events values (?,?,systimestamp - ?,?)",
            (rng.randint(1, 40), rng.choice(["a", "bb", "ccc"]), str(i), f"{i / 2:.1f}"),
        )
    for i in range(1, 20):
        grid.run("insert into codes values (?, ?)", (f"c{i}", i * 2))
    return grid


@cache
def grid(sets: int) -> MiniGrid:
    """0: everything in one database."""
    return fill(MiniGrid(max(sets, 1), duplicate=sets == 0))


QUERIES = """
select count(*) from customers
select count(*), count(zipcode), count(distinct last_name), min(last_name), max(member_since) from customers
select last_name, count(*) from customers group by last_name order by 2 desc, 1
select last_name, count(*) n from customers group by last_name having count(*) > 5 order by n, last_name
select cust_id, count(*) from accounts group by cust_id order by cust_id
select cust_id, sum(current_balance) s from accounts group by cust_id having sum(current_balance) > 500 order by s desc
select sum(current_balance), avg(current_balance), min(current_balance), max(current_balance) from accounts
select avg(current_balance * 1.1), sum(current_balance * prev_balance) from accounts
select sum(price), avg(price), sum(price * qty), min(price), max(price) from orders
select sum(rate), avg(rate), min(rate), max(rate), count(rate) from orders
select sum(weight), avg(weight), max(weight) from orders
select sum(qty), avg(qty), sum(num), avg(num) from orders
select region, sum(price), avg(rate) from orders group by region order by region
select qty, sum(rate) from orders group by qty order by qty
select count(distinct cust), sum(distinct qty), count(*) from orders
select region, count(distinct cust), sum(qty) from orders group by region order by 1
select note, count(distinct cust), count(distinct qty), sum(qty) from orders group by note order by 1
select distinct last_name from customers order by 1
select distinct last_name, zipcode from customers order by last_name desc, zipcode nulls first
select distinct status from accounts where current_balance > 100 order by 1
select * from customers order by cust_id
select * from customers order by last_name, first_name, cust_id fetch first 7 rows only
select * from customers order by cust_id offset 5 rows fetch next 6 rows only
select first 5 cust_id, last_name from customers order by cust_id desc
select rows 4 to 9 cust_id from customers order by cust_id
select cust_id from customers order by last_name || first_name, cust_id limit 10 offset 3
select cust_id + 1 as n, upper(last_name) u from customers where cust_id between 3 and 12 order by u, n
select c.cust_id, a.account_id from customers c join accounts a on a.cust_id = c.cust_id order by 1, 2
select c.cust_id, a.account_id from customers c, accounts a where a.cust_id = c.cust_id and a.status = 10 order by 1, 2
select c.cust_id, a.account_id from customers c left join accounts a on a.cust_id = c.cust_id order by 1, 2 nulls first
select c.cust_id, a.account_id from customers c, accounts a where c.cust_id = a.cust_id(+) order by 1, 2
select c.cust_id, a.account_id from customers c, accounts a where c.cust_id = a.cust_id(+) and a.status(+) = 20 order by 1, 2
select c.cust_id, count(a.account_id) from customers c left join accounts a on a.cust_id = c.cust_id group by c.cust_id order by 1
select c.cust_id from customers c left join accounts a on a.cust_id = c.cust_id where a.account_id is null order by 1
select c.last_name, sum(t.amount) from customers c join accounts a on a.cust_id = c.cust_id join transactions t on t.account_id = a.account_id group by c.last_name order by 1
select a.account_id, sum(t.amount), count(*) from accounts a join transactions t on t.account_id = a.account_id group by a.account_id order by 1
select c.cust_id, t.amount from customers c join accounts a using (cust_id) join transactions t using (account_id) where t.amount > 50 order by 1, 2
select s.description, count(*), sum(a.current_balance) from accounts a join account_status s on s.status = a.status group by s.description order by 1
select t.description, s.description, count(*) from accounts a join account_type t on t.type = a.account_type join account_status s on s.status = a.status group by t.description, s.description order by 1, 2
select s.description, count(a.account_id) from account_status s left join accounts a on a.status = s.status group by s.description order by 1
select s.status, a.account_id from accounts a right join account_status s on s.status = a.status order by 1, 2
select s.status, a.account_id from account_status s full join accounts a on a.status = s.status and a.account_id < 10 order by 1, 2
select a.cust_id, b.cust_id from customers a join customers b on a.last_name = b.last_name and a.cust_id < b.cust_id order by 1, 2
select a.cust_id, b.cust_id from customers a join customers b on a.cust_id = b.cust_id order by 1
select a.cust_id, b.cust_id from customers a join customers b on a.cust_id = b.cust_id + 1 order by 1
select o.num, c.last_name from orders o join customers c on c.cust_id = o.cust order by 1
select o.region, count(c.cust_id) from orders o left join customers c on c.cust_id = o.cust group by o.region order by 1
select a.region, a.num, b.num from orders a join orders b on a.region = b.region and a.num < b.num and a.qty = b.qty order by 1, 2, 3
select c.cust_id from customers c where exists (select 1 from accounts a where a.cust_id = c.cust_id) order by 1
select c.cust_id from customers c where not exists (select 1 from accounts a where a.cust_id = c.cust_id and a.status = 10) order by 1
select cust_id from customers where cust_id in (select cust_id from accounts where current_balance > 300) order by 1
select cust_id from customers where cust_id not in (select cust_id from accounts) order by 1
select cust_id from customers where cust_id not in (select cust from orders) order by 1
select cust_id from customers where cust_id not in (select cust from orders where cust is not null) order by 1
select cust_id from customers where cust_id in (select cust from orders) order by 1
select cust_id from customers where last_name in (select note from orders) or cust_id in (1, 2) order by 1
select cust_id, (select count(*) from accounts a where a.cust_id = c.cust_id) n from customers c order by 1
select cust_id, (select max(o.price) from orders o where o.cust = c.cust_id) from customers c order by 1
select account_id from accounts where current_balance > (select avg(current_balance) from accounts) order by 1
select account_id from accounts a where current_balance = (select max(current_balance) from accounts b where b.cust_id = a.cust_id) order by 1
select account_id from accounts a where current_balance >= all (select current_balance from accounts b where b.status = a.status) order by 1
select cust_id from customers c where cust_id > any (select qty from orders) order by 1
select x.last_name, x.n from (select last_name, count(*) n from customers group by last_name) x where x.n > 3 order by 1
select x.cust_id, x.total, c.first_name from (select cust_id, sum(current_balance) total from accounts group by cust_id) x join customers c on c.cust_id = x.cust_id order by 1
select avg(n) from (select count(*) n from accounts group by cust_id)
select max(total) from (select cust_id, sum(current_balance) total from accounts group by cust_id) q
select * from rich order by cust_id
select last_name, sum(total) from rich group by last_name order by 1
select r.cust_id, r.total from rich r where r.cust_id = 5
select a.status, count(*) from active a group by a.status
select v.account_id, c.last_name from active v join customers c on c.cust_id = v.cust_id order by 1
with big as (select cust_id, sum(current_balance) s from accounts group by cust_id) select count(*), max(s) from big where s > 100
with a as (select * from customers where cust_id < 10), b as (select * from accounts) select a.cust_id, b.account_id from a join b on b.cust_id = a.cust_id order by 1, 2
with r(n) as (select 1 from dual union all select n + 1 from r where n < 10) select sum(n), count(*) from r
with r(n) as (select 1 from dual union all select n + 1 from r where n < 10) select c.cust_id, r.n from customers c join r on r.n = c.cust_id order by 1
select cust_id from customers where cust_id < 5 union select cust from orders where cust < 8 order by 1
select last_name from customers union all select note from orders where note is not null order by 1
select cust_id from customers intersect select cust from orders order by 1
select cust_id from customers minus select cust_id from accounts order by 1
select status from account_status union all select status from accounts order by 1
select status from account_status union select status from accounts order by 1
select status from account_status minus select status from accounts order by 1
select cust_id, rank() over (order by member_since desc) from customers order by 1
select account_id, row_number() over (partition by cust_id order by account_id) rn from accounts order by 1
select account_id, sum(current_balance) over (partition by cust_id order by account_id) from accounts order by 1
select account_id, sum(current_balance) over (order by account_id) from accounts order by 1
select account_id, lag(account_id, 1, 0) over (order by account_id), first_value(phone) over (partition by status order by account_id) from accounts order by 1
select * from (select account_id, row_number() over (partition by status order by current_balance desc, account_id) rn from accounts) where rn <= 2 order by 1
select account_type, status, sum(current_balance) from accounts group by rollup (account_type, status) order by 1 nulls last, 2 nulls last
select account_type, status, grouping(status), count(*) from accounts group by cube (account_type, status) order by 1, 2, 3, 4
select case when status = 10 then 'active' else 'other' end k, count(*) from accounts group by case when status = 10 then 'active' else 'other' end order by k
select decode(status, 10, 'a', 20, 'b', 'c') d, count(*) from accounts group by decode(status, 10, 'a', 20, 'b', 'c') order by 1
select to_char(member_since, 'YYYY-MM') m, count(*) from customers group by to_char(member_since, 'YYYY-MM') order by m
select extract(month from date_created) m, count(*) from accounts group by extract(month from date_created) order by 1
select trunc(transaction_ts) d, sum(amount) from transactions group by trunc(transaction_ts) order by d fetch first 10 rows only
select cust_id from customers where member_since > date '2020-02-20' and member_since <= to_date('2020-03-01', 'YYYY-MM-DD') order by 1
select listagg(first_name, ',') within group (order by first_name) from customers where cust_id < 6
select last_name, listagg(cust_id, '-') within group (order by cust_id) from customers group by last_name order by 1
select median(current_balance), stddev(current_balance), variance(qty) from accounts, orders where account_id = num
select stddev(current_balance) from accounts
select count(*) from customers where last_name like 'S%'
select count(*) from customers where last_name like '%''%' or first_name like '_o%'
select kind, sum(val), count(*) from events group by kind order by kind
select e.kind, c.last_name, sum(e.val) from events e join customers c on c.cust_id = e.cust group by e.kind, c.last_name order by 1, 2
select count(*) from events where kind = 'a' or kind = 'bb '
select cust_id, first_name from customers where cust_id = 7
select * from accounts where account_id = 11
select * from accounts where account_id = 11 and cust_id = 1000
select a.account_id, t.transaction_id from accounts a join transactions t on t.account_id = a.account_id where a.account_id = 4 order by 2
select c.last_name, a.account_id from customers c join accounts a on a.cust_id = c.cust_id where c.cust_id = 3 order by 2
select cust_id from customers where cust_id in (1, 5, 9, 9999) order by 1
select code from codes where cust_id = 10
select c.code, k.last_name from codes c join customers k on k.cust_id = c.cust_id order by 1
select region, num from orders where region in (1, 2) and qty > 10 order by 2
select count(*) from orders where region = 3
select count(*), sum(amount), nvl(max(amount), 0) from transactions where account_id = 99999
select count(*) from accounts where account_id = 99999 having count(*) = 0
select count(*) from customers where cust_id = cast(null as number)
select 1 + 1, 'a' || 'b' from dual
select count(*) from account_status
select a.type, s.status from account_type a cross join account_status s order by 1, 2
select sum(status) from account_status
select status from account_status order by status fetch first 2 rows only
select cust_id from customers where rownum <= 0
select count(*) from (select cust_id from customers where rownum <= 7)
select count(*) from customers where 1 = 0
select sum(current_balance), count(*) from accounts where account_id < 0
select last_name, sum(cust_id) from customers where cust_id < 0 group by last_name
select count(*), (select count(*) from accounts) from customers
select (select sum(current_balance) from accounts) / (select count(*) from customers) from dual
select c.cust_id, x.n from customers c left join (select cust_id, count(*) n from accounts group by cust_id) x on x.cust_id = c.cust_id order by 1
select nvl(zipcode, 'none') z, count(*) from customers group by nvl(zipcode, 'none') order by 1
select coalesce(note, 'x') n, sum(nvl(rate, 0)) from orders group by coalesce(note, 'x') order by 1
select round(avg(current_balance), 2), trunc(sum(rate), 5) from accounts, orders where account_id = num
select greatest(status, 15), least(account_id, 5), count(*) from accounts group by greatest(status, 15), least(account_id, 5) order by 1, 2
select count(*) filter (where status = 10), sum(current_balance) filter (where status = 20) from accounts
select sum(case when status = 10 then current_balance else 0 end) from accounts
select cust_id, count(*) from customers natural join accounts group by cust_id order by 1
select c1.cust_id from customers c1 where exists (select 1 from customers c2 where c2.last_name = c1.last_name and c2.cust_id <> c1.cust_id) order by 1
select a.account_id from accounts a where a.status in (select s.status from account_status s where s.description like 'A%') order by 1
select s.description from account_status s where exists (select 1 from accounts a where a.status = s.status) order by 1
select a.cust_id from accounts a left join transactions t on t.account_id = a.account_id left join customers c on c.cust_id = a.cust_id where t.amount is null order by 1, a.account_id
select b.account_id, c.cust_id from accounts b join customers c on c.last_name = 'Smith' left join transactions t on t.account_id = b.account_id and c.cust_id = b.cust_id where b.account_id < 8 order by 1, 2
select a.account_id, b.account_id from accounts a left join accounts b on a.status = b.status and b.account_id < 4 left join customers c on c.cust_id = a.cust_id and c.cust_id = b.cust_id order by 1, 2
select replicasetid# is not null, count(*) from customers group by replicasetid# is not null
select t.amount, count(*) over () from transactions t where t.account_id = 5 order by 1
select max(cust_id) keep_me, min(last_name) from customers having count(*) > 1
select last_name from customers group by last_name order by count(*) desc, last_name fetch first 1 row only
select count(*) from customers a, customers b where a.cust_id < 4 and b.cust_id > 38
select o.placed, o.placed + 1, o.placed - date '2023-01-01', months_between(o.placed, date '2022-12-01') from orders o order by 1 fetch first 3 rows only
select (c.cust_id, c.last_name) in (select a.cust_id, 'Smith' from accounts a) x, count(*) from customers c group by (c.cust_id, c.last_name) in (select a.cust_id, 'Smith' from accounts a)
""".strip().splitlines()
QUERIES = [q for q in QUERIES if "(c.cust_id, c.last_name) in" not in q]


def ordered(sql: str) -> bool:
    return "order by" in sql.rpartition(")")[2].lower()


def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Sums of floats depend on the order: compare ten digits."""
    return [tuple(float(f"{v:.10g}") if isinstance(v, float) else v for v in r) for r in rows]


def test_there_are_enough_queries() -> None:
    assert len(QUERIES) > 130
    assert sum(" join " in q or "from customers c, " in q for q in QUERIES) > 30


@pytest.mark.parametrize("sets", [1, 2, 3])
@pytest.mark.parametrize("sql", QUERIES)
def test_answers_do_not_depend_on_the_number_of_sets(sql: str, sets: int) -> None:
    expected, found = rounded(grid(0).run(sql)), rounded(grid(sets).run(sql))
    if not ordered(sql):
        expected, found = sorted(expected, key=repr), sorted(found, key=repr)
    assert found == expected


def test_the_reference_needs_no_planning() -> None:
    for sql in QUERIES:
        plan = grid(0).compile(sql).plan
        assert plan is not None
        assert plan.kind == "single"  # type: ignore[union-attr]


def test_all_kinds_of_plans_are_used() -> None:
    kinds: dict[str, int] = {}
    for sql in QUERIES:
        plan = grid(2).compile(sql).plan
        kind = plan.kind  # type: ignore[union-attr]
        kinds[kind] = kinds.get(kind, 0) + 1
    assert kinds["single"] >= 10
    assert kinds["co-located"] >= 50
    assert kinds["general"] >= 20


def test_an_aggregate_over_no_place_gives_its_row() -> None:
    for sql in (
        "select count(*), max(last_name) from customers where cust_id = ?",
        "select count(*), max(phone) from accounts where account_id = ?",
        "select count(*), max(phone) from accounts where account_id in (?, ?)",
    ):
        nothing = (None,) * sql.count("?")
        assert grid(3).run(sql, nothing) == [(0, None)]
