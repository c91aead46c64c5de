# ruff: noqa: E501 - statements stand on one line each
"""Statements that are not about rows: what they mean, and what is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from data.sql.explain import lines
from data.sql.hooks import CompilerHooks
from data.sql.plan_types import CatalogQuery, CopyPlan, DdlText, ExplainPlan, UtilityPlan
from protocol.errors import (
    GridError,
    NotSupportedError,
    PrivilegeError,
    SqlSyntaxError,
    UnknownColumnError,
)
from protocol.sqltypes import Kind, SqlType
from tests.support.mini_grid import NOW_US, MiniGrid, evaluate


@cache
def grid() -> MiniGrid:
    made = MiniGrid(2)
    made.user()
    made.script(
        "CREATE TABLE t (id NUMBER(10) PRIMARY KEY, s VARCHAR2(10) DEFAULT 'x', d DATE DEFAULT SYSDATE);"
        "CREATE TABLE small (k NUMBER(5) PRIMARY KEY) DUPLICATE"
    )
    return made


@pytest.mark.parametrize(
    ("sql", "kind", "arguments", "tag"),
    [
        ("begin", "begin", {}, "BEGIN"),
        (
            "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
            "begin",
            {"isolation": "READ COMMITTED", "read_only": "on"},
            "BEGIN",
        ),
        (
            "start transaction isolation level serializable",
            "begin",
            {"isolation": "SERIALIZABLE"},
            "START TRANSACTION",
        ),
        ("commit work;", "commit", {}, "COMMIT"),
        ("end", "commit", {}, "COMMIT"),
        ("rollback", "rollback", {}, "ROLLBACK"),
        ('savepoint "A b"', "savepoint", {"name": "A b"}, "SAVEPOINT"),
        ("release savepoint x", "release", {"name": "X"}, "RELEASE"),
        ("rollback to savepoint x", "rollback_to", {"name": "X"}, "ROLLBACK"),
        (
            "set DateStyle = 'ISO, MDY'",
            "set",
            {"name": "DateStyle", "value": "ISO, MDY", "local": False},
            "SET",
        ),
        ("set local x.y to 5", "set", {"name": "x.y", "value": "5", "local": True}, "SET"),
        ("set session a to b", "set", {"name": "a", "value": "b", "local": False}, "SET"),
        ("set time zone 'UTC'", "set", {"name": "TimeZone", "value": "UTC", "local": False}, "SET"),
        (
            'set search_path = a, "B"',
            "set",
            {"name": "search_path", "value": "a, B", "local": False},
            "SET",
        ),
        ("set x to default", "reset", {"name": "x"}, "SET"),
        (
            "set transaction isolation level repeatable read",
            "set_transaction",
            {"isolation": "REPEATABLE READ"},
            "SET",
        ),
        (
            "alter session set current_schema = other",
            "set_schema",
            {"name": "other"},
            "ALTER SESSION",
        ),
        ("show transaction isolation level", "show", {"name": "transaction_isolation"}, "SHOW"),
        ("show server_version", "show", {"name": "server_version"}, "SHOW"),
        ("reset all", "reset", {"name": "all"}, "RESET"),
        ("discard all", "discard", {"what": "ALL"}, "DISCARD ALL"),
        ("deallocate prepare p1", "deallocate", {"name": "p1"}, "DEALLOCATE"),
        ("unlisten *", "unlisten", {}, "UNLISTEN"),
        ("vacuum analyze t", "vacuum", {}, "VACUUM"),
        ("fetch forward 5 from c", "fetch", {"name": "C", "count": "5"}, "FETCH"),
        ("close all", "close", {"name": "ALL"}, "CLOSE CURSOR"),
    ],
)
def test_utility(sql: str, kind: str, arguments: dict[str, Any], tag: str) -> None:
    compiled = grid().compile(sql)
    assert isinstance(compiled.plan, UtilityPlan)
    assert (compiled.plan.kind, compiled.plan.arguments, compiled.tag) == (kind, arguments, tag)


@pytest.mark.parametrize("name", ["t", "terry.t", 'terry."T"', '"TERRY".t', '"TERRY"."T"'])
def test_lock_table(name: str) -> None:
    compiled = grid().compile(f"lock table {name} in share mode nowait")
    assert isinstance(compiled.plan, UtilityPlan)
    table = grid().catalog.table("TERRY", "T")
    assert compiled.plan.arguments == {"table_id": table.id, "mode": "SHARE", "nowait": True}


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("commit nonsense", SqlSyntaxError),
        ("set x", SqlSyntaxError),
        ("flub the database", SqlSyntaxError),
        ("@", SqlSyntaxError),
        ("refresh materialized view v", NotSupportedError),
        ("commit prepared 'x'", NotSupportedError),
        ("copy t from '/etc/passwd'", NotSupportedError),
        ("copy t (nope) from stdin", UnknownColumnError),
        ("copy t from stdin with (format xml)", GridError),
        ("explain", SqlSyntaxError),
    ],
)
def test_refused(sql: str, error: type[GridError]) -> None:
    with pytest.raises(error):
        grid().compile(sql)


def test_empty_statements() -> None:
    for text in ("", ";", " -- nothing", "/* nothing */ ;"):
        compiled = grid().compile(text)
        assert compiled.plan is None
        assert compiled.tag == "EMPTY"


@pytest.mark.parametrize(
    ("options", "sqlstate"),
    [
        ("(format csv, format text)", "42601"),
        ("(format csv, quote ',')", "22023"),
        ("(format csv, null 'a,b')", "22023"),
        ("(format csv, null '\"')", "22023"),
        ("(format csv, quote 'ab')", "0A000"),
        ("(format csv, escape '')", "0A000"),
        ("(format text, quote '''')", "0A000"),
        ("(delimiter 'a')", "22023"),
        ("(delimiter '\\')", "22023"),
        ("(delimiter 'é')", "0A000"),
        ("(format binary, delimiter ',')", "42601"),
        ("(header 5)", "22023"),
        ("(oids)", "0A000"),
        ("(encoding 'LATIN1')", "0A000"),
        ("(format csv, force_quote (id))", "0A000"),
        ("(format csv, force_null (nope))", "22023"),
        ("(format csv, force_null id)", "42601"),
    ],
)
def test_copy_options_that_are_refused(options: str, sqlstate: str) -> None:
    with pytest.raises(GridError) as refused:
        grid().compile(f"copy t from stdin with {options}")
    assert refused.value.sqlstate == sqlstate
    for text in ("copy t to stdout (header match)", "copy t (id, id) from stdin"):
        with pytest.raises(GridError):
            grid().compile(text)


@pytest.mark.parametrize(
    ("text", "sqlstate"),
    [
        ("copy t to '/tmp/x'", "0A000"),
        ("copy t from '/tmp/x'", "0A000"),
        ("copy t to program 'x'", "0A000"),
        ("copy t from program 'x'", "0A000"),
        ("copy (select id from t) to '/tmp/x'", "0A000"),
        ("copy t to nowhere", "42601"),
        ("copy t from nowhere", "42601"),
        ("select $0", "42P02"),
        ("select $$x$$", "0A000"),
        ("select $a$x$a$", "0A000"),
    ],
)
def test_refused_by_name(text: str, sqlstate: str) -> None:
    with pytest.raises(GridError) as refused:
        grid().compile(text)
    assert refused.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    ("text", "what", "position"),
    [
        ("select 'a''', 'abc", "string", 15),
        ('select "a", "abc', "identifier", 13),
        ("select 1 -- it's\n, /* abc", "comment", 20),
        ("insert into t (s) values ('it''s)", "string", 27),
    ],
)
def test_what_has_no_end(text: str, what: str, position: int) -> None:
    with pytest.raises(SqlSyntaxError, match=f"unterminated .*{what}") as torn:
        grid().compile(text)
    assert torn.value.position == position


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ("(encoding 'utf-8', freeze, delimiter E'\\t')", "delimiter", "\t"),
        ("(null E'\\x41\\102')", "null", "AB"),
        ("delimiter as ';'", "delimiter", ";"),
        ("csv force not null id, s force null d", "force_not_null", (0, 1)),
        ("(format csv, force_null *)", "force_null", (0, 1, 2)),
        ("(format csv, header match)", "header_names", True),
        ("csv header", "header_names", False),
    ],
)
def test_copy_options(options: str, field: str, value: object) -> None:
    plan = grid().compile(f"copy t from stdin with {options}").plan
    assert getattr(plan, field) == value


def test_copy_options_of_output() -> None:
    plan = grid().compile("copy binary t to stdout").plan
    assert isinstance(plan, CopyPlan)
    assert plan.format == "binary"
    for text in ('(format csv, force_quote (d, "ID"))', "csv force quote d, id"):
        plan = grid().compile(f"copy t to stdout {text}").plan
        assert isinstance(plan, CopyPlan)
        assert plan.force_quote == (2, 0)


def test_copy_in_fills_the_other_columns() -> None:
    plan = grid().compile("copy t (s, id) from stdin with (format csv, header, null 'N')").plan
    assert isinstance(plan, CopyPlan)
    assert (plan.direction, plan.columns, plan.format) == ("in", (1, 0), "csv")
    assert (plan.header, plan.null, plan.delimiter) == (True, "N", ",")
    assert [type(v).__name__ for v in plan.row] == ["SourceColumn", "SourceColumn", "SpecialValue"]


def test_copy_out_is_a_query() -> None:
    plan = grid().compile("COPY t TO STDOUT WITH CSV DELIMITER ';'").plan
    assert isinstance(plan, CopyPlan)
    assert plan.query is not None
    assert plan.delimiter == ";"
    assert [c.name for c in plan.query.columns] == ["id", "s", "d"]
    other = grid().compile("copy (select id from t where s = ')') to stdout").plan
    assert isinstance(other, CopyPlan)
    assert other.query is not None
    assert len(other.query.columns) == 1


def test_ddl_is_handed_on() -> None:
    for sql, tag in (
        ("create table x (a number)", "CREATE TABLE"),
        ("create or replace view v as select 1 from dual", "CREATE VIEW"),
        ("create unique hash index i on t (s)", "CREATE INDEX"),
        ("drop table t", "DROP TABLE"),
        ("grant select on t to public", "GRANT"),
    ):
        compiled = grid().compile(sql)
        assert isinstance(compiled.plan, DdlText)
        assert compiled.tag == tag


def test_catalog_queries_are_handed_on() -> None:
    compiled = grid().compile("select relname from pg_catalog.pg_class where oid = $1")
    assert isinstance(compiled.plan, CatalogQuery)
    assert len(compiled.param_types) == 1


def test_explain_says_where_and_why() -> None:
    compiled = grid().compile("explain select s, count(*) from t group by s")
    assert isinstance(compiled.plan, ExplainPlan)
    text = "\n".join(lines(compiled.plan, grid().catalog))
    assert "co-located plan" in text
    assert "every replica set: t" in text
    assert "no condition fixes the distribution key" in text
    single = lines(grid().compile("select * from t where id = 1").plan, grid().catalog)
    assert "single plan" in single[0]
    change = lines(grid().compile("update t set id = 2").plan, grid().catalog)
    assert any("Rows move" in line for line in change)


def test_hints_are_read() -> None:
    compiled = grid().compile(
        "insert /*+ TT_CommitDMLOnSuccess(1) TT_TblLock */ into t (id) values (1)"
    )
    assert compiled.hints == {"TT_COMMITDMLONSUCCESS": "1", "TT_TBLLOCK": ""}
    assert not compiled.read_only


def test_privileges_are_checked() -> None:
    compiler = grid().compiler
    with pytest.raises(PrivilegeError):
        compiler.compile("select * from terry.t", (), "OTHER", "OTHER")
    with pytest.raises(PrivilegeError):
        compiler.compile("delete from terry.t", (), "OTHER", "OTHER")


def test_ddl_asks_the_compiler() -> None:
    hooks = CompilerHooks(grid().compiler, evaluate, lambda: NOW_US)
    table = grid().catalog.table("TERRY", "T")
    check = hooks.compile_check(table, "id > 0 AND s IN ('a', 'b?1') AND d > DATE '2000-01-01'")
    assert check == ('(("ID" > 0) AND ("S" IN (\'a\', \'b?1\')) AND ("D" > 946684800000000))')
    with pytest.raises(NotSupportedError):
        hooks.compile_check(table, "d < SYSDATE")
    columns, used = hooks.describe_query(
        "select id, s || 'x' y from t", "TERRY", "TERRY", grid().catalog
    )
    assert [c.name for c in columns] == ["ID", "Y"]
    assert used == (table.id,)
    assert hooks.constant("1 + 1.5", SqlType(Kind.NUMBER, 10, 2)) == 250
    assert hooks.constant("upper('a') || 'b'", SqlType(Kind.VARCHAR, length=5)) == "Ab"
    assert isinstance(hooks.constant("SYSDATE - 1", SqlType(Kind.DATE)), int)


def test_audit_is_refused_by_name() -> None:
    for text in ("audit select on t", "noaudit all"):
        with pytest.raises(NotSupportedError, match="AUDIT"):
            grid().compiler.compile(text, (), "TERRY", "TERRY")
