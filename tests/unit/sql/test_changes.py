# ruff: noqa: E501 - queries stand on one line each
"""INSERT, UPDATE, DELETE over replica sets: same tables as one database would have."""

from __future__ import annotations

from typing import Any

import pytest

from data.sql.plan_types import DeletePlan, InsertPlan, NextVal, QueryPlan, UpdatePlan
from protocol.errors import NotSupportedError, UniqueViolationError
from protocol.sqltypes import BIGINT, Kind, SqlType
from tests.support.mini_grid import MiniGrid, sample_schema

EXTRA = """
CREATE TABLE p (k NUMBER(10) NOT NULL PRIMARY KEY, v NUMBER(8,2) DEFAULT 1.5, s VARCHAR2(20) DEFAULT 'none',
  made DATE DEFAULT SYSDATE, u NUMBER(6) UNIQUE) DISTRIBUTE BY HASH (k);
CREATE TABLE h (a NUMBER(5), b VARCHAR2(10));
"""


def made(sets: int, *, duplicate: bool = False) -> MiniGrid:
    grid = MiniGrid(sets, duplicate=duplicate)
    grid.user()
    grid.script(sample_schema())
    grid.script(EXTRA)
    for i in range(1, 31):
        grid.run("insert into p (k, v, u) values (?, ?, ?)", (i, str(i * 1.25), 1000 + i))
        grid.run("insert into h values (?, ?)", (i % 7, f"b{i % 3}"))
        grid.run(
            "insert into customers values (?, 'A', ?, null, null, null, sysdate)", (i, f"N{i % 4}")
        )
        grid.run(
            "insert into accounts values (?, '1', 'I', ?, ?, 0, sysdate, ?)",
            (i + 100, (i % 5 + 1) * 10, str(i), i),
        )
    return grid


CHANGES = [
    "update p set v = v + 1 where k = 3",
    "update p set v = v * 2, s = s || '!' where k in (1, 2, 99)",
    "update p set v = default, s = default where v > 20",
    "update p set s = 'u' where u = 1005",
    "update p set (v, s) = (select max(current_balance), min(phone) from accounts) where k < 5",
    "update p set k = k + 100 where k > 25",
    "update p set v = (select count(*) from h where h.a = p.k) where k < 10",
    "update accounts set current_balance = current_balance - 0.25 where account_id = 107",
    "update accounts a set prev_balance = (select max(c.cust_id) from customers c where c.cust_id = a.cust_id)",
    "update accounts set status = 20 where cust_id in (select cust_id from customers where last_name = 'N1')",
    "update accounts set status = 30 where status in (select status from account_status where description like 'P%')",
    "update accounts set status = 10 where current_balance > (select avg(current_balance) from accounts)",
    "update account_status set description = description || '.' where status >= 30",
    "update p set v = c.cust_id from customers c where c.cust_id = p.k and c.last_name = 'N2'",
    "update h set b = 'x' where a = 3",
    "delete from p where k = 4",
    "delete from p where u = 1006",
    "delete from p where k in (select a from h)",
    "delete h where b = 'b1'",
    "delete from accounts a where not exists (select 1 from customers c where c.cust_id = a.cust_id and c.last_name <> 'N3')",
    "delete from p using customers c where c.cust_id = p.k and c.last_name = 'N0'",
    "insert into h select account_id, phone from accounts where account_id < 110",
    "insert into h (a) select cust_id from customers union select status from account_status",
    "insert into p (k, s) select max(k) + 1, 'new' from p",
    "insert into p (k, v) values ((select min(k) from p) - 5000, 1), (-1, 2)",
    "insert into h values (1, 'm'), (2, null), (3, upper('q'))",
    "insert into account_status select status + 1, 'more' from account_status where status < 30",
]
TABLES = ("p", "h", "accounts", "account_status", "customers")

# an UPDATE sees its table as it was, also where another row's new value is made from it
SELF_READING = [
    ("(SELECT COUNT(o.a) FROM t o WHERE t.id > 0)", [3, 3, 3, 3]),
    ("(SELECT SUM(o.a) FROM t o WHERE o.id <= t.id)", [1, 3, 6, 6]),
    ("CASE WHEN id > 2 THEN (SELECT SUM(a) FROM t o) ELSE 100 END", [100, 100, 6, 6]),
    (
        "(SELECT MAX(x) FROM (SELECT 1 x FROM dual UNION ALL SELECT a FROM t o WHERE o.id < t.id) d)",
        [1, 1, 2, 3],
    ),
    ("(SELECT a FROM v WHERE v.id = t.id - 1)", [None, 1, 2, 3]),
]


@pytest.mark.parametrize("placement", ["DUPLICATE", "DISTRIBUTE BY HASH (id)"])
@pytest.mark.parametrize(("value", "after"), SELF_READING)
def test_an_update_sees_its_table_as_it_was(
    placement: str, value: str, after: list[int | None]
) -> None:
    for sets in (1, 3):
        grid = MiniGrid(sets)
        grid.user()
        grid.script(
            f"CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a INT) {placement};"
            "CREATE VIEW v AS SELECT id, a FROM t"
        )
        grid.run("insert into t values (1, 1), (2, 2), (3, 3), (4, null)")
        assert grid.run(f"update t set a = {value}") == 4
        assert [row[0] for row in grid.run("select a from t order by id")] == after


def content(grid: MiniGrid) -> list[list[tuple[Any, ...]]]:
    return [sorted(grid.run(f"select * from {t}"), key=repr) for t in TABLES]


@pytest.mark.parametrize("sql", CHANGES)
def test_a_change_does_the_same_over_three_sets(sql: str) -> None:
    one, three = made(1, duplicate=True), made(3)
    before = content(one)
    assert content(three) == before
    assert three.run(sql) == one.run(sql)
    after = content(one)
    assert content(three) == after
    assert after != before


def test_rows_stay_where_their_key_says() -> None:
    grid = made(3)
    grid.run("update p set k = k + 1000")
    for i in range(1, 31):
        assert grid.run(f"select count(*) from p where k = {i + 1000}") == [(1,)]


def test_point_changes_know_their_row() -> None:
    grid = made(2)
    plan = grid.compile("update p set v = ? where k = ?").plan
    assert isinstance(plan, UpdatePlan)
    assert plan.kind == "single"
    assert plan.key is not None
    assert plan.fragment is not None
    assert plan.fragment.plain == (0, 1)
    assert "_BUCKET" not in plan.fragment.sql
    assert not plan.moves_rows
    gone = grid.compile("delete from p where k = ?").plan
    assert isinstance(gone, DeletePlan)
    assert gone.key is not None
    assert gone.route.kind == "keys"
    scan = grid.compile("delete from p where v = ?").plan
    assert isinstance(scan, DeletePlan)
    assert scan.key is None
    assert scan.kind == "co-located"
    moved = grid.compile("update p set k = k + 1 where k = 1").plan
    assert isinstance(moved, UpdatePlan)
    assert moved.moves_rows
    assert moved.rows_query is not None


def test_rows_that_have_nothing_to_do_with_each_other_may_be_changed_one_by_one() -> None:
    grid = made(2)

    def keyed(sql: str) -> str:
        plan = grid.compile(sql).plan
        assert isinstance(plan, UpdatePlan | DeletePlan)
        return plan.keyed

    assert keyed("update p set v = v + ? where v > ? and s like 'a%'").endswith('."K" = ?3')
    assert keyed("update p set v = 1 returning k")
    assert keyed("delete from p").endswith(' WHERE t1."K" = ?1')
    assert keyed("delete from h where b = 'b1'").endswith('."_ROWKEY" = ?1')
    for apart in (
        "update p set v = 1 where k = 5",  # by key: never long
        "update p set u = u + 1",  # a unique key
        "update p set k = k + 1",
        "update p set v = (select max(v) from p)",
        "delete from p where v < (select count(*) from p)",
        "delete from p where random() < 0.5",
        "update first 3 p set s = 'z'",
    ):
        assert not keyed(apart), apart


def test_first_limits_changes() -> None:
    grid = made(2)
    assert grid.run("delete first 4 from p where k > 10") == 4
    assert grid.run("update first 3 p set s = 'z' where k < 8") == 3
    assert grid.run("select count(*) from p where s = 'z'") == [(3,)]
    assert grid.run("select count(*) from p") == [(26,)]


def test_returning_gives_the_new_row() -> None:
    grid = made(2)
    found = grid.run("insert into p (k, v) values (500, 2.25) returning k, v, v * 2, s as note")
    assert found == [(500, 225, 450, "none")]
    plan = grid.compile("insert into p (k) values (?) returning *").plan
    assert isinstance(plan, InsertPlan)
    assert plan.returning is not None
    assert plan.returning.positions == (0, 1, 2, 3, 4)


def test_inserts_draw_sequences_and_convert() -> None:
    grid = made(2)
    plan = grid.compile("insert into p (k, v, s) values (txn_seq.nextval, ?, ?)").plan
    assert isinstance(plan, InsertPlan)
    assert isinstance(plan.rows[0][0], NextVal)
    types = (SqlType(Kind.BINARY_DOUBLE), BIGINT)
    grid.run("insert into p (k, v, s) values (700, ?, ?)", (2.345, 42), types)
    assert grid.run("select v, s from p where k = 700") == [(235, "42")]
    grid.run("insert into h select txn_seq.nextval, b from h where rownum <= 2")
    with pytest.raises(NotSupportedError):
        grid.run("insert into h select distinct txn_seq.nextval, b from h")


def test_duplicates_are_refused() -> None:
    grid = made(2)
    with pytest.raises(UniqueViolationError):
        grid.run("insert into p (k) values (1)")
    with pytest.raises(UniqueViolationError):
        grid.run("insert into p (k, u) values (9000, 1001)")


def test_on_conflict_is_planned() -> None:
    grid = made(2)
    plan = grid.compile(
        "insert into p (k, v) values (?, ?) on conflict (k) do update set v = p.v + excluded.v "
        "where p.v < ?"
    ).plan
    assert isinstance(plan, InsertPlan)
    conflict = plan.on_conflict
    assert conflict is not None
    assert conflict.action == "update"
    assert conflict.assigned == (1,)
    assert conflict.fragment is not None
    assert len(conflict.fragment.params) == 1
    nothing = grid.compile("insert into p (k) values (1) on conflict do nothing").plan
    assert isinstance(nothing, InsertPlan)
    assert nothing.on_conflict is not None
    assert nothing.on_conflict.action == "nothing"


@pytest.mark.parametrize(
    ("sql", "kind", "locked"),
    [
        ("select * from p where k = ? for update", "single", 1),
        ("select s from p where v > 3 for update nowait", "co-located", 1),
        ("select s from p where v > 3 order by k for update skip locked", "co-located", 1),
        (
            "select c.last_name from customers c join accounts a on a.cust_id = c.cust_id for update of a",
            "co-located",
            1,
        ),
        ("select a.k from p a join p b on a.v = b.k for update", "general", 2),
    ],
)
def test_for_update_brings_the_keys_of_its_rows(sql: str, kind: str, locked: int) -> None:
    grid = made(2)
    plan = grid.compile(sql).plan
    assert isinstance(plan, QueryPlan)
    assert plan.kind == kind
    assert plan.locking is not None
    assert len(plan.locking.tables) == locked
    at = plan.locking.visible
    for lock in plan.locking.tables:
        assert lock.first_column == at
        at += lock.key_columns + lock.has_bucket
        gather = plan.gathers[0]
        if "?" not in sql and plan.final is None:
            for number in range(grid.sets):
                for row in grid.rows(number, gather.fragment, ()):
                    bucket = row[lock.first_column + lock.key_columns]
                    assert grid.set_of(bucket) == number
    assert plan.locking.visible == len(plan.columns)
