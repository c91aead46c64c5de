"""DDL texts of TimesTen and of PostgreSQL tools become statements; the rest is refused by name."""

from __future__ import annotations

import pytest

from data.catalog.objects import Distribution
from data.sql.ddl_ast import (
    AlterTableStatement,
    CreateIndexStatement,
    CreateSequenceStatement,
    CreateTableStatement,
    DropStatement,
    GrantStatement,
    UserStatement,
)
from data.sql.ddl_lexer import tokenize
from data.sql.ddl_parse import is_ddl, parse_ddl
from data.sql.type_names import type_from_name, type_text
from protocol.errors import DefinitionError, NotSupportedError, SqlSyntaxError
from protocol.sqltypes import ANY_SCALE, Kind, SqlType


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("create table t (a int)", True),
        ("  -- why\n CREATE USER x", True),
        ("/* c */ grant select on t to u", True),
        ("alter session set x = 1", False),
        ("alter table t add b int", True),
        ("select 'create'", False),
        ("", False),
    ],
)
def test_ddl_is_told_by_its_first_words(text: str, expected: bool) -> None:
    assert is_ddl(text) is expected


def test_names_fold_and_quoted_names_stay() -> None:
    statement = parse_ddl('create table Terry."Odd Name" (Id int, "Mixed" int, "lower" int)')
    assert isinstance(statement, CreateTableStatement)
    assert statement.name.parts == ("TERRY", "Odd Name")
    assert [c.name for c in statement.columns] == ["ID", "Mixed", "LOWER"]


def test_column_clauses_come_in_any_order() -> None:
    statement = parse_ddl(
        "create table t (a number(5,2) default (1 + 2) * 3 not null check (a > 0), "
        "b varchar2(10 byte) not inline default 'x, y' unique, c date null, "
        "d int constraint fk references p (x) on delete cascade)"
    )
    assert isinstance(statement, CreateTableStatement)
    a, b, c, d = statement.columns
    assert (a.default_sql, a.nullable) == ("(1 + 2) * 3", False)
    assert (b.default_sql, b.inline) == ("'x, y'", False)
    assert b.type == SqlType(Kind.VARCHAR, length=10, byte_length=True)
    assert (c.nullable, d.type) == (True, SqlType(Kind.INTEGER))
    kinds = [(k.kind, k.columns, k.name) for k in statement.constraints]
    assert kinds == [("check", ("A",), ""), ("unique", ("B",), ""), ("foreign", ("D",), "FK")]
    assert statement.constraints[2].on_delete == "cascade"


@pytest.mark.parametrize(
    ("clause", "kind", "detail"),
    [
        ("distribute by hash", Distribution.HASH, ()),
        ("distribute by hash (a, b)", Distribution.HASH, ("A", "B")),
        ("DISTRIBUTE BY REFERENCE (fk)", Distribution.REFERENCE, "FK"),
        ("distribute by reference", Distribution.REFERENCE, ""),
        ("duplicate", Distribution.DUPLICATE, ()),
    ],
)
def test_distribution_clauses(clause: str, kind: Distribution, detail: object) -> None:
    statement = parse_ddl(f"create table t (a int, b int) {clause};")
    assert isinstance(statement, CreateTableStatement)
    found = statement.distribution
    assert found is not None
    assert found.kind is kind
    assert detail in (found.columns, found.reference)


def test_unique_hash_and_pages_are_taken_with_a_distribution() -> None:
    statement = parse_ddl(
        "create table t (a int primary key) unique hash on (a) pages = 2500 distribute by hash"
    )
    assert isinstance(statement, CreateTableStatement)
    assert statement.hash_columns == ("A",)
    assert statement.distribution is not None


def test_what_pgbench_sends_to_initialise() -> None:
    create = parse_ddl(
        "create table pgbench_accounts(aid    int not null,bid int,abalance int,filler char(84)) "
        "with (fillfactor=100)"
    )
    assert isinstance(create, CreateTableStatement)
    assert [c.name for c in create.columns] == ["AID", "BID", "ABALANCE", "FILLER"]
    drop = parse_ddl("drop table if exists pgbench_accounts, pgbench_branches")
    assert isinstance(drop, DropStatement)
    assert drop.if_exists
    assert len(drop.names) == 2
    alter = parse_ddl("alter table pgbench_accounts add primary key (aid)")
    assert isinstance(alter, AlterTableStatement)
    assert alter.actions[0].constraints[0].kind == "primary"


def test_index_options() -> None:
    statement = parse_ddl(
        "create global unique hash index i on terry.t (a desc, b) include (c) pages = current "
        "distribute by hash (a)"
    )
    assert isinstance(statement, CreateIndexStatement)
    assert (statement.is_global, statement.unique, statement.hash) == (True, True, True)
    assert (statement.columns, statement.descending) == (("A", "B"), (True, False))
    assert statement.include == ("C",)


def test_sequence_options() -> None:
    statement = parse_ddl(
        "create sequence s start with 5 increment by -2 nominvalue maxvalue 9 cycle cache 7 "
        "batch 70"
    )
    assert isinstance(statement, CreateSequenceStatement)
    options = statement.options
    assert (options.start, options.increment, options.minimum) == (5, -2, "no")
    assert (options.maximum, options.cycle, options.cache, options.batch) == (9, True, 7, 70)


def test_the_case_of_a_password_counts_quoted_or_not() -> None:
    for text, password in (("'pW''d'", "pW'd"), ("Secret", "Secret"), ('"quiet"', "quiet")):
        statement = parse_ddl(f"create user terry identified by {text}")
        assert isinstance(statement, UserStatement)
        assert statement.password == password


def test_grants_of_system_and_object_privileges() -> None:
    system = parse_ddl("grant create session, create any table to terry, bob")
    assert isinstance(system, GrantStatement)
    assert system.privileges == ("CREATE SESSION", "CREATE ANY TABLE")
    assert (system.on, system.grantees) == (None, ("TERRY", "BOB"))
    on_table = parse_ddl("revoke all privileges on table terry.t from public")
    assert isinstance(on_table, GrantStatement)
    assert on_table.privileges == ("ALL",)


@pytest.mark.parametrize(
    "text",
    [
        "create bitmap index i on t (a)",
        "create procedure p as begin null; end",
        "create temporary table t (a int)",
        "create temporary table t (a int)",
        "create table t (a rowid)",
        "create table t (a int generated always as (1 + 1))",
        "create table t (a int[])",
        "create table t (a int) aging lru",
        "create index i on t (upper(a))",
        "create index i on t (a) where a > 0",
        "create schema s",
        "create table t (a int, exclude using gist (a with =))",
        "grant select (a) on t to u",
        "grant frobnicate to u",
        "alter table t owner to u",
        "drop function f",
    ],
)
def test_what_is_not_there_is_refused_by_name(text: str) -> None:
    with pytest.raises(NotSupportedError):
        parse_ddl(text)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("create table t (a int", 22),
        ("create table t (a int,, b int)", 23),
        ("create frob x", 8),
        ("create table t (a int) what", 24),
        ("create index on t", 18),
        ("drop table", 11),
        ("create user x identified by", 28),
        ("create table t (a char(x))", 24),
        ("create table t (a int) ~ 'x", 26),
    ],
)
def test_syntax_errors_say_where(text: str, position: int) -> None:
    with pytest.raises(SqlSyntaxError) as caught:
        parse_ddl(text)
    assert caught.value.position == position


def test_tokens_keep_their_places() -> None:
    text = "a /* x */ 'it''s' E'\\n' $q$ $ $q$ \"B\"\"c\" 1.5e3 -- end"
    tokens = tokenize(text)
    assert [t.value for t in tokens] == ["A", "it's", "\n", " $ ", 'B"c', "1.5e3", ""]
    assert text[tokens[1].start : tokens[1].end] == "'it''s'"


@pytest.mark.parametrize(
    ("name", "args", "expected", "text"),
    [
        ("NUMBER", (), SqlType(Kind.NUMBER), "NUMBER"),
        ("NUMBER", (10, 2), SqlType(Kind.NUMBER, 10, 2), "NUMBER (10,2)"),
        ("NUMBER", (10,), SqlType(Kind.NUMBER, 10, 0), "NUMBER (10)"),
        ("NUMBER", ("*", 2), SqlType(Kind.NUMBER, 38, 2), "NUMBER (38,2)"),
        ("INT", (), SqlType(Kind.INTEGER), "TT_INTEGER"),
        ("CHAR", (), SqlType(Kind.CHAR, length=1), "CHAR (1)"),
        ("VARCHAR2", (30,), SqlType(Kind.VARCHAR, length=30), "VARCHAR2 (30)"),
        ("TEXT", (), SqlType(Kind.VARCHAR), "VARCHAR2"),
        ("TIMESTAMP", (3,), SqlType(Kind.TIMESTAMP, precision=3), "TIMESTAMP (3)"),
        ("DOUBLE PRECISION", (), SqlType(Kind.BINARY_DOUBLE), "BINARY_DOUBLE"),
        ("TIMESTAMP WITH TIME ZONE", (), SqlType(Kind.TIMESTAMPTZ, 6, ANY_SCALE), None),
    ],
)
def test_type_names(name: str, args: tuple[int, ...], expected: SqlType, text: str | None) -> None:
    found = type_from_name(name, args)
    assert found == expected
    assert text is None or type_text(found) == text


@pytest.mark.parametrize(
    ("name", "args"),
    [("NUMBER", (39,)), ("NUMBER", (5, 200)), ("CHAR", (0,)), ("VARCHAR2", ()), ("BINARY", ())],
)
def test_types_out_of_their_limits(name: str, args: tuple[int, ...]) -> None:
    with pytest.raises(DefinitionError):
        type_from_name(name, args)
