"""Functions by example: what Oracle, TimesTen or PostgreSQL document for them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from data.sql.aggregates import AGGREGATES as AGGREGATE_NAMES
from data.sql.calls import FUNCTIONS
from data.sql.datetimes import parse_moment
from protocol.errors import (
    DatetimeError,
    GridError,
    InvalidTextError,
    NotSupportedError,
    NthValueArgumentError,
    NtileArgumentError,
    OutOfRangeError,
    ParameterError,
)
from protocol.sqltypes import Kind
from tests.support.mini_grid import MiniGrid
from tests.support.steps import DOCS


@cache
def grid() -> MiniGrid:
    made = MiniGrid(2)
    made.user()
    made.script(
        """
        CREATE TABLE e (id NUMBER(10) NOT NULL PRIMARY KEY, dept NUMBER(4), sal NUMBER(10,2),
          hired DATE, name VARCHAR2(10), f BINARY_DOUBLE, j JSON, u UUID, c CLOB, b BLOB,
          o BOOLEAN, z TIMESTAMP WITH TIME ZONE, s INTERVAL DAY TO SECOND);
        INSERT INTO e VALUES (1, 1, 10, DATE '2024-01-01', 'a', 1.5, '{"k": [1, 2.50]}',
          'A0EEBC999C0B4EF8BB6D6BB9BD380A11', 'long', '0aff', TRUE,
          TIMESTAMP '2024-01-01 10:00:00 +02:00', INTERVAL '1 02:03:04' DAY TO SECOND);
        INSERT INTO e (id, dept, sal, hired, name, f) VALUES
          (2, 1, 20, DATE '2024-01-02', 'b', BINARY_DOUBLE_NAN),
          (3, 2, 30, DATE '2024-01-03', 'c', BINARY_DOUBLE_INFINITY),
          (4, 2, 30, DATE '2024-01-05', 'c', NULL);
        """
    )
    return made


def value(expression: str, source: str = "dual") -> Any:
    rows = grid().run(f"select {expression} from {source}")
    assert len(rows) == 1
    return rows[0][0]


def us(text: str) -> int:
    return parse_moment(text)


DAY = "date '2024-01-05'"
CASES: list[tuple[str, Any]] = [
    # texts
    ("soundex('Robert')", "R163"),
    ("soundex('Tymczak')", "T522"),
    ("soundex('Pfister')", "P236"),
    ("asciistr('aä😀')", r"a\00E4\D83D\DE00"),
    (r"unistr('a\00e4\\')", "aä\\"),
    ("nchr(228)", "ä"),
    ("instrb('aäb', 'b')", 4),
    ("substr2('a😀b', 2, 2)", "😀"),
    ("length2('a😀')", 3),
    ("length4('a😀')", 2),
    ("lengthb('aä')", 3),
    ("dump('Tech', 16)", "Typ=1 Len=4: 54,65,63,68"),
    ("dump(-12.34)", "Typ=2 Len=4: 62,89,67,102"),
    ("dump(cast(null as number))", "NULL"),
    ("vsize(1000)", 2),
    ("vsize(sysdate)", 7),
    ("concat_ws('-', 'a', null, 'b')", "a-b"),
    ("format('%s %I %L %1$s', 'x', 'Y', null)", 'x "Y" NULL x'),
    ("quote_nullable(null) || quote_ident('select')", 'NULL"select"'),
    ("overlay('abcdef' placing 'XX' from 2 for 3)", "aXXef"),
    ("encode(hextoraw('0aff'), 'base64')", "Cv8="),
    ("decode('0aff', 'hex')", b"\x0a\xff"),
    ("to_hex(255)", "ff"),
    ("substring('foobar' from 'o(.)b')", "o"),
    ("cast('ab' similar to 'a(b|c)' as tt_integer)", 1),
    ("cast('abc' !~ 'B' as tt_integer)", 1),
    ("cast('abc' ~* 'B' as tt_integer)", 1),
    ("regexp_replace('aaa', 'a', 'b', 'g')", "bbb"),
    ("regexp_replace('aaa', 'a', 'b', 2, 1)", "aba"),
    # numbers
    ("remainder(11, 4)", "-1"),
    ("remainder(10, 4)", "2"),
    ("nanvl(binary_double_nan, 7)", 7.0),
    ("1d / 0", float("inf")),
    ("0f / 0", "NaN"),
    ("bitxor(6, 3)", 5),
    ("bitnot(5)", -6),
    ("div(-7, 2)", "-3"),
    ("gcd(12, 18)", 6),
    ("cbrt(27)", "3"),
    ("factorial(20)", "2432902008176640000"),
    ("1.5e-3", "0.0015"),
    ("0x0aff", b"\x0a\xff"),
    ("cast(12345.678 as number(5,-2))", "12300"),
    ("tt_hash(5) - tt_hash(5.0)", 0),
    ("length(sys_guid())", 16),
    # models of numbers
    ("to_char(15, 'RN')", "             XV"),
    ("to_char(12345.678, '9.99EEEE')", " 1.23E+04"),
    ("to_char(0, 'B99')", "   "),
    ("to_char(12, '99V99')", " 1200"),
    ("to_char(1234.5, 'TM9')", "1234.5"),
    ("to_char(1e50, 'TME')", "1E+50"),
    ("to_char(1234.5, 'L9G999D99')", "          $1,234.50"),
    ("to_char(255, '0xxx')", " 00ff"),
    ("to_number('<1,234.50>', '9G999D99PR')", "-1234.5"),
    ("to_number('ff', 'XX')", "255"),
    # models of dates
    (f"to_char({DAY}, 'FMDay, DDth Month YYYY')", "Friday, 5TH January 2024"),
    (f"to_char({DAY}, 'Ddspth')", "Fifth"),
    (f"to_char({DAY}, 'YYYYSP')", "TWO THOUSAND TWENTY-FOUR"),
    (f"to_char({DAY}, 'Year')", "Twenty Twenty-Four"),
    (f"to_char({DAY}, 'J Q IW WW W CC AD')", "2460315 1 01 01 1 21 AD"),
    (f"to_char({DAY}, 'DS')", "1/5/2024"),
    ("to_date('240131', 'RRMMDD')", us("2024-01-31")),
    ("to_date('31-JAN-99', 'DD-MON-RR')", us("1999-01-31")),
    ("to_date('2024 XII 1', 'YYYY RM DD')", us("2024-12-01")),
    ("to_date('5th jan 2024', 'ddth mon yyyy')", us("2024-01-05")),
    ("to_timestamp('10:00 +02:00', 'HH24:MI TZH:TZM') - to_timestamp('08:00', 'HH24:MI')", 0),
    # dates
    ("timestampadd(SQL_TSI_MONTH, 1, date '2024-01-31')", us("2024-02-29")),
    (f"timestampdiff(SQL_TSI_YEAR, date '2020-02-29', {DAY})", 3),
    ("new_time(date '2024-01-05', 'EST', 'PST')", us("2024-01-04 21:00:00")),
    (f"({DAY} - date '2024-01-01') day to second", 4 * 86_400_000_000),
    (f"({DAY} - date '2022-12-01') year to month", 13),
    ("to_dsinterval('P1DT2H')", 26 * 3_600_000_000),
    ("to_yminterval('P1Y2M')", 14),
    ("age(date '2024-03-01', date '2023-01-31')", "1 year 1 mon 1 day"),
    ("make_date(2024, 2, 29)", us("2024-02-29")),
    ("timestamp '2024-06-01 12:00:00' at time zone 'Europe/Berlin'", us("2024-06-01 10:00:00")),
    ("date_trunc('quarter', date '2024-05-05')", us("2024-04-01")),
    ("cast(timestamp '2024-01-01 00:00:00.567' as timestamp(1))", us("2024-01-01 00:00:00.6")),
    ("cast(timestamp '2024-01-01 00:00:00.567' as date)", us("2024-01-01")),
    (f"extract(century from {DAY})", 21),
    ("extract(milliseconds from timestamp '2024-01-01 00:00:01.5')", "1500"),
    # JSON
    ("'{\"a\": {\"b\": [1, 2.50]}}'::json -> 'a' -> 'b' ->> 1", "2.50"),
    ("'{\"a\": {\"b\": 2}}'::json #>> '{a,b}'", "2"),
    ('json_value(\'{"a": [{"b": "x"}]}\', \'$.a[0].b\')', "x"),
    ("json_value('{\"a\": \"5\"}', '$.a' returning number)", "5"),
    ("json_query('{\"a\": 1, \"b\": 2}', '$.*' with wrapper)", "[1, 2]"),
    ("cast(json_exists('{\"a\": 1}', '$.b') as tt_integer)", 0),
    ("json_object('a' value 1, key 'b' value 'x')", '{"a" : 1, "b" : "x"}'),
    ("json_array(1, 'x', null)", '[1, "x", null]'),
    ("cast('{bad' is json as tt_integer)", 0),
    ("to_json(date '2024-01-05')", '"2024-01-05T00:00:00"'),
    # arrays
    ("(array[1, 2, 3])[2]", 2),
    ("array_to_string(array['a', null, 'b'], ',')", "a,b"),
    ("array_length('{1,2,3}'::int[], 1)", 3),
    ("cast(2 = any('{1,2}'::int[]) as tt_integer)", 1),
    ("cast(2 <> all(string_to_array('1,2', ',')) as tt_integer)", 0),
    ("cast(3 > all('{1,2}'::int[]) as tt_integer)", 1),
]


@pytest.mark.parametrize(("expression", "expected"), CASES, ids=[c[0][:40] for c in CASES])
def test_functions(expression: str, expected: Any) -> None:
    assert value(expression) == expected


AGGREGATES: list[tuple[str, Any]] = [
    ("percentile_cont(0.5) within group (order by sal)", "25"),
    ("percentile_disc(0.5) within group (order by sal desc)", "30"),
    ("percentile_cont(0.5) within group (order by hired)", us("2024-01-02 12:00:00")),
    ("corr(sal, sal)", "1"),
    ("covar_pop(sal, id)", "8.75"),
    ("regr_slope(sal, id)", "7"),
    ("regr_count(sal, dept)", "4"),
    ("array_agg(name order by id desc)", '["c", "c", "b", "a"]'),
    ("json_agg(id order by id)", "[1, 2, 3, 4]"),
    ("max(name) keep (dense_rank first order by hired)", "a"),
    ("min(id) keep (dense_rank last order by sal)", 3),
    ("sum(sal) keep (dense_rank last order by sal)", "60"),
    ("count(*) keep (dense_rank first order by dept)", 2),
    ("listagg(distinct name, ',') within group (order by name)", "a,b,c"),
    ("stats_mode(name)", "c"),
    ("sum(f)", "NaN"),
    ("max(f)", "NaN"),
    ("bit_or(id)", 7),
]


@pytest.mark.parametrize(("expression", "expected"), AGGREGATES, ids=[c[0] for c in AGGREGATES])
def test_aggregates_over_two_replica_sets(expression: str, expected: Any) -> None:
    found = value(expression, "e")
    assert found == expected


def test_windows_of_ordered_aggregates() -> None:
    lists = grid().run(
        "select id, listagg(name, '') within group (order by id desc) over (partition by dept),"
        " percentile_cont(0.5) within group (order by sal) over (partition by dept)"
        " from e order by id"
    )
    assert lists == [(1, "ba", "15"), (2, "ba", "15"), (3, "cc", "30"), (4, "cc", "30")]


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("f is nan", [2]),
        ("f is not nan and f is not null", [1, 3]),
        ("f is infinite", [3]),
        ("f = binary_double_nan", [2]),
        ("j -> 'k' ->> 0 = '1'", [1]),
        ("""j @> '{"k": [1]}'""", [1]),
        ("u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", [1]),
        ("o", [1]),
        ("z = timestamp '2024-01-01 08:00:00'", [1]),
        ("s > interval '1' day", [1]),
        ("length(c) = 4 and length(b) = 2", [1]),
        ("id = any('{1,3,9}')", [1, 3]),
        ("name <> all('{a,b}')", [3, 4]),
        ("sal >= any(array[30, 25])", [3, 4]),
    ],
)
def test_conditions_on_the_newer_types(condition: str, ids: list[int]) -> None:
    rows = grid().run(f"select id from e where {condition} order by id")
    assert [row[0] for row in rows] == ids


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("to_char(sysdate, 'E')", ParameterError),
        ("to_char(1, '9K')", ParameterError),
        ("to_date('2024-02-30', 'YYYY-MM-DD')", DatetimeError),
        ("to_date('2024-01-05 x', 'YYYY-MM-DD')", DatetimeError),
        ("to_date('Monday 2024-01-05', 'Day YYYY-MM-DD')", DatetimeError),
        ("to_date('05-05', 'DD-DD')", ParameterError),
        ("to_number('12345', '999')", InvalidTextError),
        ("to_number('NaN')", OutOfRangeError),
        ("cast(binary_double_nan as number)", OutOfRangeError),
        ("cast(1e39 as binary_float)", OutOfRangeError),
        ("cast('{bad' as json)", InvalidTextError),
        ("cast('x' as uuid)", InvalidTextError),
        ("'{{1},{2}}'::int[]", NotSupportedError),
        ("timestampadd('SQL_TSI_EON', 1, sysdate)", ParameterError),
        ("json_value('{}', 'a')", ParameterError),
        (r"unistr('\00')", ParameterError),
    ],
)
def test_what_does_not_fit_is_refused(expression: str, error: type[GridError]) -> None:
    with pytest.raises(error):
        value(expression)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        ("ntile(2.5)", [1, 1, 2, 2]),
        ("ntile('2')", [1, 1, 2, 2]),
        ("ntile(5 - 3)", [1, 1, 2, 2]),
        ("nth_value(id, 2.4)", [None, 2, 2, 2]),
        ("nth_value(id, 1.9) ignore nulls", [1, 1, 1, 1]),
        ("lag(id, 1.9)", [None, 1, 2, 3]),
        ("lead(id, cast(1 as binary_double))", [2, 3, 4, None]),
    ],
)
def test_window_functions_count_whole_rows(function: str, found: list[int | None]) -> None:
    rows = grid().run(f"select {function} over (order by id) from e order by id")
    assert [row[0] for row in rows] == found


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("ntile(0)", NtileArgumentError),
        ("ntile(0.9)", NtileArgumentError),
        ("ntile(null)", NtileArgumentError),
        ("nth_value(id, 0)", NthValueArgumentError),
        ("nth_value(id, -1) from last", NthValueArgumentError),
        ("nth_value(id, 0) ignore nulls", NthValueArgumentError),
    ],
)
def test_window_functions_count_from_one(function: str, error: type[GridError]) -> None:
    with pytest.raises(error):
        grid().run(f"select {function} over (order by id) from e")


def test_new_values_differ_from_row_to_row() -> None:
    rows = grid().run("select sys_guid(), gen_random_uuid() from e")
    assert len(set(rows)) == 4
    assert grid().compile("select gen_random_uuid() from dual").columns is not None
    assert Kind.UUID is grid().compile("select gen_random_uuid() from dual").columns[0].type.kind


def test_each_function_has_arguments_that_make_sense() -> None:
    for name, (least, most, _builder) in FUNCTIONS.items():
        assert name == name.upper()
        assert 0 <= least <= most, name


def test_clocks_and_users() -> None:
    clocks = "sysdate, ora_sysdate, tt_sysdate, systimestamp, current_timestamp"
    row = grid().run(f"select {clocks} from dual")[0]
    assert row[0] == row[1] == row[3] - row[3] % 1_000_000
    assert row[2] == row[3] == row[4]
    plan = grid().compile("select sysdate, current_user, session_user, user, uid from dual")
    assert [c.type.kind for c in plan.columns or ()][1:4] == [Kind.VARCHAR] * 3
    names = "user, current_user, session_user, sys_context('USERENV', 'SESSION_USER'), uid"
    users = grid().run(f"select {names}, sysdate from dual")[0]
    assert len(set(users[:4])) == 1
    assert users[0]


_INTERNAL = ("LITERAL_", "AS_SPAN", "AS_MONTHS", "DOUBLE_", "FLOAT_", "BINARY_", "BIT_SHIFT_")
_ELSEWHERE = {"STRING_MATCH", "SIMILAR_TO", "TIMEOFDAY"}


def test_the_reference_names_every_function() -> None:
    text = (DOCS / "sql-reference.md").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", text))
    known = {n for n in FUNCTIONS if not n.startswith(_INTERNAL)} - _ELSEWHERE
    assert sorted((known | AGGREGATE_NAMES) - words) == []
