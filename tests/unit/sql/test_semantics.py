"""Answers that are easy to get wrong in SQLite: the traps of the research, types, dates, NULLs."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from data.sql.datetimes import parse_moment
from protocol.errors import (
    AmbiguousColumnError,
    CardinalityError,
    DatetimeError,
    DivisionByZeroError,
    GridError,
    GroupingError,
    InvalidTextError,
    NotSupportedError,
    OutOfRangeError,
    SqlSyntaxError,
    StringTooLongError,
    TooComplexError,
    TypeMismatchError,
    UnknownColumnError,
    UnknownFunctionError,
    UnknownTableError,
)
from tests.support.mini_grid import MiniGrid


@cache
def grid() -> MiniGrid:
    made = MiniGrid(2)
    made.user()
    made.script(
        """
        CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, hiredate DATE, ts TIMESTAMP, d TT_DATE,
          money NUMBER(10,2), n NUMBER, i TT_INTEGER, b TT_BIGINT, s VARCHAR2(20), c CHAR(5),
          f BINARY_DOUBLE, big NUMBER(30,5), raw VARBINARY(8));
        INSERT INTO t VALUES (1, DATE '2024-02-28', TIMESTAMP '2024-02-28 23:59:59.25',
          TT_DATE '2024-02-29', 10.25, 0.1, 7, 9223372036854775807, 'hello', 'ab', 1.5,
          12345678901234567890.12345, x'00ff');
        INSERT INTO t VALUES (2, TO_DATE('31-JAN-2024 13:05:09', 'DD-MON-YYYY HH24:MI:SS'), NULL,
          NULL, -3.10, 0.2, -7, 5, '', NULL, NULL, NULL, NULL);
        CREATE SEQUENCE seq;
        """
    )
    return made


def value(expression: str, where: str = "id = 1") -> Any:
    rows = grid().run(f"select {expression} from t where {where}")
    assert len(rows) == 1
    return rows[0][0]


def us(text: str) -> int:
    return parse_moment(text)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # numbers
        ("0.1 + 0.2", 3),  # NUMBER with one decimal: scaled
        ("n + 0.2", "0.3"),
        ("7 / 2", "3.5"),
        ("i / 2", "3.5"),
        ("i / cast(2 as tt_integer)", 3),
        ("(0 - i) / cast(2 as tt_integer)", -3),
        ("1 / 3", "0.3333333333333333333333333333333333333333"),
        ("10 / 3", "3.33333333333333333333333333333333333333"),
        ("money * money", "105.0625"),
        ("money * 3", 3075),
        ("money - 0.001", 10249),
        ("big + big", "24691357802469135780.2469"),
        ("big * 1000000000000", "12345678901234567890123450000000"),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("round(2.675, 2)", 268),
        ("round(n * 25)", "3"),
        ("round(1234.5, -2)", "1200"),
        ("trunc(2.679, 2)", 267),
        ("trunc(-2.679, 2)", -267),
        ("trunc(money)", 10),
        ("ceil(money)", 11),
        ("floor(-1.5)", -2),
        ("mod(-7, 3)", -1),
        ("mod(7.5, 2)", "1.5"),
        ("mod(5, 0)", 5),
        ("power(2, 100)", "1267650600228229401496703205376"),
        ("sqrt(2)", "1.41421356237309504880168872420969807857"),
        ("sign(-3.2)", -1),
        ("abs(-3.2)", 32),
        ("1.5d + 1", 2.5),
        ("1e3 + 1", "1001"),
        ("f / 2", 0.75),
        ("to_number('12.50')", "12.5"),
        ("to_number('$1,234.5', '$9,999.9')", "1234.5"),
        ("cast('1.005' as number(5,2))", 101),
        ("cast(2.5 as tt_integer)", 3),
        ("bitand(12, 10)", 8),
        ("greatest(1, 2.5, 2)", 25),
        ("greatest(1, null)", None),
        ("least('b', 'a')", "a"),
        ("i + 1", 8),
        ("-money", -1025),
        ("- n", "-0.1"),
        # strings
        ("substr('hello', 0, 2)", "he"),
        ("substr('hello', -3, 2)", "ll"),
        ("substr('hello', 9)", None),
        ("instr('abcabc', 'b', 1, 2)", 5),
        ("instr('abcabc', 'b', -1)", 5),
        ("instr('abcabc', 'x')", 0),
        ("length('')", None),
        ("length(c)", 5),
        ("c || '|'", "ab   |"),
        ("s || null", "hello"),
        ("null || null", None),
        ("'a' || ''", "a"),
        ("'' || 'b' || 1", "b1"),
        ("upper('äb')", "ÄB"),
        ("initcap('ab cd-ef')", "Ab Cd-Ef"),
        ("lpad('7', 3, '0')", "007"),
        ("rpad('ab', 5, 'xy')", "abxyx"),
        ("ltrim('xxabx', 'x')", "abx"),
        ("trim('  a ')", "a"),
        ("trim(leading '0' from '007')", "7"),
        ("replace('abc', 'b')", "ac"),
        ("translate('abc', 'ab', 'x')", "xc"),
        ("concat('a', 'b')", "ab"),
        ("nvl('', 'x')", "x"),
        ("coalesce(null, '', 'y')", "y"),
        ("nvl2(s, 'full', 'empty')", "full"),
        ("nullif(1, 1)", None),
        ("decode(null, null, 'same', 'other')", "same"),
        ("decode(3, 1, 'a', 2, 'b')", None),
        ("case when '' is null then 'null' else 'empty' end", "null"),
        ("regexp_replace('a1b22', '[[:digit:]]+', '#')", "a#b#"),
        ("regexp_substr('one two', '[a-z]+', 1, 2)", "two"),
        ("chr(65) || ascii('a')", "A97"),
        ("to_char(1234.5)", "1234.5"),
        ("to_char(1234.5, '9,999.99')", " 1,234.50"),
        ("to_char(-5, 'FM000')", "-005"),
        ("to_char(0.5, '0.99')", " 0.50"),
        ("to_char(money)", "10.25"),
        ("q'[it's]'", "it's"),
        ("N'x' || E'a\\n'", "xa\n"),
        ("s like 'H%'", 0),
        ("s like 'h_l%'", 1),
        ("s ilike 'HE%'", 1),
        ("'a%b' like 'a!%b' escape '!'", 1),
        ("rawtohex(raw)", "00FF"),
        # dates
        ("hiredate + 7", us("2024-03-06")),
        ("hiredate + 1/24", us("2024-02-28 01:00:00")),
        ("hiredate - 7", us("2024-02-21")),
        ("date '2024-03-01' - hiredate", "2"),
        ("d - tt_date '2024-02-01'", 28),
        ("sysdate - 7", us("2023-11-07 22:13:20")),
        ("to_date('2024-01-02', 'YYYY-MM-DD') - date '2024-01-01'", "1"),
        ("ts - timestamp '2024-02-28 23:59:58'", 1_250_000),
        ("hiredate + interval '1' month", us("2024-03-28")),
        ("hiredate + interval '2 3' day to hour", us("2024-03-01 03:00:00")),
        ("hiredate + numtodsinterval(90, 'MINUTE')", us("2024-02-28 01:30:00")),
        ("add_months(date '2024-01-31', 1)", us("2024-02-29")),
        ("add_months(date '2024-02-29', 12)", us("2025-02-28")),
        ("last_day(hiredate)", us("2024-02-29")),
        ("next_day(date '2024-02-28', 'FRIDAY')", us("2024-03-01")),
        ("months_between(date '2024-03-31', date '2024-02-29')", "1"),
        ("trunc(ts)", us("2024-02-28")),
        ("trunc(ts, 'MM')", us("2024-02-01")),
        ("trunc(ts, 'HH24')", us("2024-02-28 23:00:00")),
        ("round(ts)", us("2024-02-29")),
        ("to_char(hiredate, 'DD-MON-YYYY')", "28-FEB-2024"),
        ("to_char(ts, 'YYYY-MM-DD HH24:MI:SS.FF3')", "2024-02-28 23:59:59.250"),
        ("to_char(hiredate, 'FMDay, DD Month YYYY')", "Wednesday, 28 February 2024"),
        ("to_char(ts, 'HH:MI PM')", "11:59 PM"),
        ("extract(year from hiredate)", 2024),
        ("extract(second from ts)", "59.25"),
        ("cast(ts as date)", us("2024-02-28 23:59:59")),
        ("cast(hiredate as varchar2(30))", "2024-02-28 00:00:00"),
        ("ts::date", us("2024-02-28 23:59:59")),
        ("cast(hiredate as timestamp) - ts > numtodsinterval(-2, 'DAY')", 1),
        (
            "to_timestamp('2024-01-01 10:00:00.123', 'YYYY-MM-DD HH24:MI:SS.FF')",
            us("2024-01-01 10:00:00.123"),
        ),
        # conditions
        ("money = 10.25", 1),
        ("money = 10.250001", 0),
        ("money > 10.2499999", 1),
        ("money < '10.3'", 1),
        ("c = 'ab   '", 1),
        ("c = 'ab'", 1),
        ("hiredate = '2024-02-28'", 1),
        ("i in (1, 7.0, 9)", 1),
        ("i in (7.5)", 0),
        ("n in (0.1, 5)", 1),
        ("f = 1.5", 1),
        ("big > 12345678901234567890.1", 1),
        ("b = 9223372036854775807", 1),
        ("null in (1, 2)", None),
        ("i not in (1, null)", None),
        ("i is distinct from null", 1),
        ("i between 7 and 7", 1),
        ("(i, s) = (7, 'hello')", 1),
        ("user", "TERRY"),
    ],
)
def test_value(expression: str, expected: Any) -> None:
    found = value(expression)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select id from t order by s", [(1,), (2,)]),  # NULL (the empty string) last
        ("select id from t order by s desc", [(2,), (1,)]),  # and first when descending
        ("select id from t where s is null", [(2,)]),
        ("select id from t where s = ''", []),
        ("select id from t where rownum < 2 and id > 1", [(2,)]),
        ("select id from t order by n desc", [(2,), (1,)]),
        (
            "select a.id, b.id from t a, t b where a.id = b.id(+) and b.id(+) > 1 order by 1",
            [(1, None), (2, 2)],
        ),
        ("select sum(money), avg(money), count(*) from t", [("7.15", "3.575", 2)]),
        ("select sum(b) from t", [("9223372036854775812",)]),
        ("select sum(n) from t", [("0.3",)]),
        ("select 1 from t minus select 1 from dual", []),
        ("select x.i from (select id i from t) x where x.i = 2", [(2,)]),
        ("select first 1 id from t order by id desc", [(2,)]),
        ("select rows 2 to 2 id from t order by id", [(2,)]),
        ('select id as "Mixed", id from t where id = 1', [(1, 1)]),
        ("select count(*) from t where exists (select * from dual)", [(2,)]),
        ("select seq.nextval from dual", [(1,)]),
        ("select elementid#, replicasetid# from dual", [(10, 1)]),
        ("select /*+ TT_GridQueryExec(GLOBAL) */ elementid# from dual order by 1", [(10,), (20,)]),
        ("select /*+ TT_GridQueryExec(LOCAL) */ replicasetid# from dual", [(1,)]),
        ("values (1, 'a'), (2, 'b') order by 1 desc", [(2, "b"), (1, "a")]),
        ("select * from (values (1, 'a')) v(x, y)", [(1, "a")]),
        ("select (select 5 from dual) + 1 from dual", [(6,)]),
        ("select 5", [(5,)]),
        ("select case i when 7 then 'x' else 'y' end from t order by id", [("x",), ("y",)]),
        ("select max(i) from t group by 1 = 1", [(7,)]),
        ("select i, 1 from t where id = 1 group by i, 2", [(7, 1)]),
    ],
)
def test_query(sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert grid().run(sql) == expected


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("select * from nowhere", UnknownTableError),
        ("select nothing from t", UnknownColumnError),
        ("select id from t a, t b", AmbiguousColumnError),
        ("select nosuch(id) from t", UnknownFunctionError),
        ("select id from t where", SqlSyntaxError),
        ("selec 1", SqlSyntaxError),
        ("select s, count(*) from t", GroupingError),
        ("select id from t where count(*) > 1", GroupingError),
        ("select id from t where s", TypeMismatchError),
        ("select hiredate + hiredate from t", TypeMismatchError),
        ("select id from t where hiredate = 5", TypeMismatchError),
        ("select 1 / 0 from dual", DivisionByZeroError),
        ("select i / (i - i) from t", DivisionByZeroError),
        ("select (select id from t) from dual", CardinalityError),
        ("select b + b from t", OutOfRangeError),
        ("select cast(300 as tt_tinyint) from dual", OutOfRangeError),
        ("select cast('x' as number) from dual", InvalidTextError),
        ("select cast('abc' as varchar2(2)) from dual", StringTooLongError),
        ("select to_date('2024-02-30', 'YYYY-MM-DD') from dual", DatetimeError),
        ("select date '2024-13-01' from dual", DatetimeError),
        ("select id from t connect by prior id = i", NotSupportedError),
        ("select id from t qualify row_number() over (order by id) = 1", NotSupportedError),
        (
            "merge into t using dual on (id = 1) when not matched by source then delete",
            NotSupportedError,
        ),
        ("select distinct seq.nextval from t", NotSupportedError),
        ("insert into t (id, id) values (1, 2)", GridError),
        ("insert into t (id) values (1, 2)", SqlSyntaxError),
        ("insert into t (nope) values (1)", UnknownColumnError),
        ("update t set nope = 1", UnknownColumnError),
        ("insert into t (id, s) values (3, 'a string of more than twenty')", StringTooLongError),
        ("insert into t (id, money) values (3, 123456789.5)", OutOfRangeError),
        ("select " + "(" * 300 + "1" + ")" * 300, TooComplexError),
    ],
)
def test_error(sql: str, error: type[GridError]) -> None:
    with pytest.raises(error):
        grid().run(sql)


def test_errors_tell_the_place() -> None:
    with pytest.raises(UnknownColumnError) as caught:
        grid().compile("select id,\n  nothing from t")
    assert caught.value.position == 14
    with pytest.raises(UnknownTableError) as missing:
        grid().compile("select id from nowhere")
    assert missing.value.position == 16


def test_result_columns_are_named_and_traced() -> None:
    plan = grid().compile('select id, money m, i + 1, count(*) over (), s as "Aa" from t')
    columns = plan.columns
    assert columns is not None
    assert [c.name for c in columns] == ["id", "m", "?column?", "count", "Aa"]
    assert [c.column_number for c in columns] == [1, 5, 0, 0, 9]
    assert columns[0].table_id == grid().catalog.table("TERRY", "T").id


def test_parameters_take_the_type_of_their_place() -> None:
    kinds = [
        t.kind.name
        for t in grid()
        .compile(
            "select ? || s from t where id = ? and money > ? and hiredate < ? and i + ? > 0 "
            "and c = ? and f = ? and big = ? and rownum <= ?"
        )
        .param_types
    ]
    assert kinds == [
        "VARCHAR", "BIGINT", "NUMBER", "TIMESTAMP", "INTEGER", "VARCHAR", "BINARY_DOUBLE",
        "NUMBER", "BIGINT",
    ]  # fmt: skip


def test_named_parameters_are_numbered_by_name() -> None:
    compiled = grid().compile("select :a, :b, :a from dual where :b = 1")
    assert len(compiled.param_types) == 2
    assert grid().run("select :a || :b || :a from dual", ("x", "y")) == [("xyx",)]
