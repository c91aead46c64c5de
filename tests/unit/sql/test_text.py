# ruff: noqa: E501 - statements stand on one line each
"""Splitting statements and taking literals out."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sql.convert import adapt, text_of
from data.sql.plan_types import QueryPlan
from data.sql.text import normalise, split
from protocol.sqltypes import UNKNOWN, Kind
from tests.support.mini_grid import MiniGrid, Row


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("", []),
        ("  ;; -- nothing\n; /* x */", []),
        ("select 1", ["select 1"]),
        ("select 1;", ["select 1"]),
        ("select ';'; select 2", ["select ';'", "select 2"]),
        ('select ";" from t; commit', ['select ";" from t', "commit"]),
        ("select 1 -- a;b\n; select 2", ["select 1 -- a;b", "select 2"]),
        ("select /* ; */ 1; select 2", ["select /* ; */ 1", "select 2"]),
        ("select q'[;]'; select E'\\';'; x", ["select q'[;]'", "select E'\\';'", "x"]),
        ("select $$;$$; select $a$;$b$;$a$", ["select $$;$$", "select $a$;$b$;$a$"]),
        ("begin; update t set a = 1; commit;", ["begin", "update t set a = 1", "commit"]),
        (
            "begin if a then b; end if; loop c; end loop; end; select 1",
            ["begin if a then b; end if; loop c; end loop; end;", "select 1"],
        ),
        ("declare x int; begin x := 1; end;\n/\nselect 1", ["declare x int; begin x := 1; end;", "select 1"]),
        (
            "create or replace procedure p as begin null; end; select 1",
            ["create or replace procedure p as begin null; end;", "select 1"],
        ),
        (
            "begin a := case b when 1 then 2 end || case c when 1 then 2 end; x; end; select 1",
            ["begin a := case b when 1 then 2 end || case c when 1 then 2 end; x; end;", "select 1"],
        ),
        (
            "begin loop a; end /* b */loop; if c then d; end -- e\n if; end; select 1",
            ["begin loop a; end /* b */loop; if c then d; end -- e\n if; end;", "select 1"],
        ),
        ("SET DateStyle = 'ISO';SET x = 2;show y", ["SET DateStyle = 'ISO'", "SET x = 2", "show y"]),
        ("declare c cursor for select 1; fetch c", ["declare c cursor for select 1", "fetch c"]),
    ],
)  # fmt: skip
def test_split(text: str, statements: list[str]) -> None:
    assert split(text) == statements


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("select a from t where b = 5", "select a from t where b = $1", (5,)),
        ("select a from t where b = -5", "select a from t where b = -$1", (5,)),
        ("select a1 from t2 where b#3 = 5", "select a1 from t2 where b#3 = $1", (5,)),
        ("update t set a = a + 1.25 where s = 'x'", "update t set a = a + $1 where s = $2", (125, "x")),
        ("select a from t where s = 'it''s'", "select a from t where s = $1", ("it's",)),
        ("select a from t where x = 3 order by 1", "select a from t where x = $1 order by 1", (3,)),
        ("select a from t where x = 3 limit 5", "select a from t where x = $1 limit 5", (3,)),
        ("select 'a' from \"t 5\" where x = 1", "select $1 from \"t 5\" where x = $2", ("a", 1)),
        ("select 1 -- 2\nfrom t", "select $1 -- 2\nfrom t", (1,)),
        ("select /*+ h(1) */ 2 from t", "select /*+ h(1) */ $1 from t", (2,)),
        ("select 12345678901234567890 from t", "select $1 from t", ("12345678901234567890",)),
        ("insert into t values (1, 'a', null)", "insert into t values ($1, $2, null)", (1, "a")),
    ],
)  # fmt: skip
def test_literals_become_parameters(text: str, key: str, values: tuple[Any, ...]) -> None:
    found = normalise(text)
    assert found.key == key
    assert found.values == values


@pytest.mark.parametrize(
    "text",
    [
        "select a from t where b = $1 and c = 2",
        "select a from t where b = ? and c = 2",
        "select a from t where b = :x and c = 2",
        "select a, count(*) from t where b = 1 group by 1",
        "select d from t where d = date '2024-01-01'",
        "select d from t where d = timestamp'2024-01-01 00:00:00'",
        "select cast(a as number(10,2)) from t",
        "select a::varchar(5) from t",
        "select N'x', 5 from t",
        "select q'[5]' from t",
        "select a + interval '1' day from t",
        "select first 5 a from t where b = 1",
        "select 1 union select 2",
        "select '5",
        "create table t (a number(5))",
        "select a like 'x!%' escape '!' from t",
    ],
)
def test_what_could_change_the_meaning_stays(text: str) -> None:
    found = normalise(text)
    assert found.key == text
    assert found.values == ()


def test_the_second_statement_of_a_kind_is_treated_like_the_first() -> None:
    for text in (
        "SELECT a FROM t WHERE b = {} AND c = 'x: -- y'",
        "SELECT a FROM t WHERE b = {} ORDER BY 1",
        "SELECT a FROM t WHERE d = DATE '2020-01-01' AND b = {}",
        "SELECT {}, 'x'2",
        'SELECT {} AS "it\'s" FROM t',
        "ALTER SESSION SET a = {}",
        "SELECT {}, 'it''s', '' FROM t",
    ):
        first, second = normalise(text.format(17)), normalise(text.format(18))
        assert first.types == second.types
        assert len(first.values) == len(first.types)
        if first.values:
            assert first.key == second.key
            assert [*first.values].index(17) == [*second.values].index(18)
        else:
            assert (first.key, second.key) == (text.format(17), text.format(18))


def test_a_literal_with_a_letter_or_digit_behind_it_stays() -> None:
    assert "$12" not in normalise("SELECT 'a'2e FROM t").key


def test_types_are_coarse_so_that_plans_are_shared() -> None:
    first = normalise("select a from t where b = 5 and c = 1.5")
    second = normalise("select a from t where b = 9999 and c = 22.7")
    assert first.key == second.key
    assert first.types == second.types
    assert normalise("select a from t where s = 'x'").types == (UNKNOWN,)
    assert normalise("select 12345 from t").types[0].precision == 9
    assert normalise("select 12345678901 from t").types[0].precision == 18


@cache
def grid() -> MiniGrid:
    made = MiniGrid(2)
    made.user()
    made.script(
        "CREATE TABLE t (id NUMBER(10) PRIMARY KEY, i TT_INTEGER, m NUMBER(10,2), n NUMBER, "
        "s VARCHAR2(20), d DATE, c CHAR(4))"
    )
    for i in range(20):
        made.run(
            "insert into t values (?, ?, ?, ?, ?, date '2024-01-01' + ?, ?)",
            (i, i % 5, f"{i}.50", f"{i}.125", f"s{i % 3}", str(i), f"c{i % 2}"),
        )
    return made


@pytest.mark.parametrize(
    "sql",
    [
        "select id, i + 1, m * 2, n / 3, s || 'x' from t where id = 7",
        "select count(*) from t where m > 5.255 and s <> 's1'",
        "select id from t where d > '2024-01-05' and d < '2024-01-09' order by 1",
        "select id from t where c = 'c1' and i in (1, 2, 3) and n >= 3.125 order by id",
        "select case when i > 2 then 'big' else 'small' end, nvl(m, 0) from t where id = 3",
        "select round(m, 1), trunc(n, 2), mod(id, 3), substr(s, 1, 1) from t where id = 11",
        "select id from t where s like 's%' and id between 3 and 6 order by id",
        "select to_char(d, 'YYYY-MM-DD') from t where id = 4",
        "select -5, 7/2, 'a' from t where id = -1 or id = 1",
        "select id from t where i = 3.5 or m = 4.5 or m = 4.505 or n = 5.1250 order by 1",
    ],
)
def test_a_normalised_statement_gives_the_same_rows(sql: str) -> None:
    found = normalise(sql)
    assert found.values
    compiled = grid().compile(found.key, found.types)
    values = adapt(found.values, found.types, compiled.param_types)
    assert isinstance(compiled.plan, QueryPlan)
    plain = grid().compile(sql).plan
    assert isinstance(plain, QueryPlan)
    # the types may differ in precision, the values may not
    assert shown(compiled.plan, grid().query(compiled.plan, values)) == shown(
        plain, grid().query(plain)
    )


def shown(plan: QueryPlan, rows: list[Row]) -> list[list[str]]:
    shows = [text_of(c.type) for c in plan.columns]
    return [["" if v is None else f(v) for f, v in zip(shows, row, strict=True)] for row in rows]


@given(st.text(alphabet="a1'\"-/*.; =\n", max_size=40))
def test_any_text_is_split_and_normalised(text: str) -> None:
    pieces = split("select " + text)
    assert all(piece.strip() for piece in pieces)
    found = normalise("select " + text)
    assert len(found.values) == len(found.types)
    assert found.values or found.key == "select " + text


@given(st.lists(st.integers(0, 10**17), min_size=1, max_size=5))
def test_every_integer_comes_back(numbers: list[int]) -> None:
    found = normalise("select a from t where b in (" + ", ".join(map(str, numbers)) + ")")
    assert list(found.values) == numbers
    assert all(t.kind is Kind.NUMBER for t in found.types)
