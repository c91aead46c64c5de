"""What ttIsql reads and prints."""

from __future__ import annotations

import pytest

from deploy.clients import isql_text as text
from deploy.clients.isql_text import Argument, Column, Input


def _all(typed: str) -> list[Input]:
    found = []
    while True:
        todo, typed = text.take(typed, ended=True)
        if todo is None:
            assert not typed
            return found
        found.append(todo)


def test_statements_end_outside_of_strings_names_and_comments() -> None:
    typed = (
        "-- a; comment\nSELECT 'it''s;' FROM t; INSERT INTO \"a;b\" /* x; */ VALUES (1) -- y;\n;"
        "/* gone; */ SELECT /*+ TT_GridQueryExec(GLOBAL) */ 1\nFROM dual\n/\nDELETE FROM t"
    )
    assert [todo.text for todo in _all(typed)] == [
        "SELECT 'it''s;' FROM t",
        'INSERT INTO "a;b" /* x; */ VALUES (1) -- y;',
        "SELECT /*+ TT_GridQueryExec(GLOBAL) */ 1\nFROM dual",
        "DELETE FROM t",
    ]


@pytest.mark.parametrize(
    "typed",
    [
        "SELECT 1\n",
        "SELECT ';\n",
        'SELECT ";',
        "SELECT /* ;",
        "BEGIN p; END;\n",
        "CREATE OR REPLACE PROCEDURE p AS BEGIN NULL; END;\n",
        "tables",
    ],
)
def test_there_is_more_to_come(typed: str) -> None:
    assert text.take(typed) == (None, typed)


def test_blocks_end_with_a_slash_on_its_own_line() -> None:
    block = "DECLARE x NUMBER := 4 / 2;\nBEGIN p; END;"
    procedure = "CREATE OR REPLACE PROCEDURE p AS\nBEGIN NULL; END;"
    assert _all(f"{block}\n/\n{procedure}\n / \nexit\n") == [
        Input("", block, is_block=True),
        Input("", procedure, is_block=True),
        Input("exit", ""),
    ]
    for plain in ("BEGIN", "begin work", "DECLARE c CURSOR FOR SELECT 1"):
        assert _all(f"{plain};") == [Input("", plain)]


def test_commands_end_with_their_line() -> None:
    assert _all("describe terry.t\ntables; autocommit 0\nset serveroutput on;\n") == [
        Input("describe", "terry.t"),
        Input("tables", ""),
        Input("autocommit", "0"),
        Input("set", "serveroutput on"),
    ]
    assert _all("host echo a; echo b\n@x.sql\n") == [
        Input("host", "echo a; echo b"),
        Input("@", "x.sql"),
    ]
    assert _all("exec p('a;b');\n") == [Input("exec", "p('a;b')")]
    assert text.statement_of("p('a;b')") == "BEGIN p('a;b'); END;"


@pytest.mark.parametrize(
    "statement", ["SET x = 1", "SET timing = 1", "ROLLBACK TO s", "SHOW x", "explain SELECT\n1"]
)
def test_what_only_looks_like_a_command_goes_to_the_database(statement: str) -> None:
    assert _all(f"{statement};") == [Input("", statement)]


def test_connection_strings() -> None:
    assert text.attributes("database1") == {"dsn": "database1"}
    wanted = {"dsn": "d", "uid": "terry", "pwd": "a=b;c"}
    assert text.attributes('"DSN=d; UID=terry;PWD={a=b;c}"') == wanted


def test_names() -> None:
    assert text.names("customers", "TERRY") == ("TERRY", "CUSTOMERS")
    assert text.names('sys."Mixed"', "TERRY") == ("SYS", "Mixed")


def test_rows_and_counts() -> None:
    assert text.row(["3", "Riley", text.value(None)]) == "< 3, Riley, <NULL> >"
    assert text.value("\\xab01", 17) == "AB01"
    assert [text.counted(n, "row") for n in (0, 1, 11)] == ["0 rows", "1 row", "11 rows"]
    assert text.counted(2, "index") == "2 indexes"


@pytest.mark.parametrize(
    ("tag", "count", "line"),
    [
        ("INSERT 0 1", 1, "1 row inserted."),
        ("UPDATE 2", 2, "2 rows updated."),
        ("DELETE 0", 0, "0 rows deleted."),
        ("MERGE 1", 1, "1 row merged."),
        ("DO", -1, "PL/SQL procedure successfully completed."),
        ("CREATE USER", -1, "User created."),
        ("CREATE ROLE", -1, "User created."),
        ("CREATE PACKAGE BODY", -1, "Package body created."),
        ("DROP PROCEDURE", -1, "Procedure dropped."),
        ("CREATE TABLE", -1, ""),
        ("GRANT", -1, ""),
        ("COMMIT", -1, ""),
    ],
)
def test_what_a_statement_says(tag: str, count: int, line: str) -> None:
    assert text.done(tag, count) == line


def test_a_procedure_with_errors_says_so() -> None:
    line = "Warning: Procedure created with compilation errors."
    assert text.done("CREATE PROCEDURE", -1, warned=True) == line


def test_errors_have_timestens_number_or_the_sqlstate() -> None:
    assert text.error('TT2206: relation "x" does not exist', "42P01", None, "a\nb") == [
        ' 2206: relation "x" does not exist',
        "   a",
        "   b",
        "The command failed.",
    ]
    assert text.error("TT0907: not unique", "23505")[0] == " 907: not unique"
    refused = text.error("ALTER PROCEDURE is not supported", "0A000", position="7")
    assert refused[0].startswith(" SQLSTATE 0A000: ALTER PROCEDURE is not supported, char")


def test_describe() -> None:
    columns = [
        Column("COL1", "NUMBER", 0, None, None, False, None, None, True),
        Column("COL2", "VARCHAR2", 32, None, None, True, None, "C", True),
        Column("COL3", "NUMBER", 0, 10, 2, True, "3", None, True),
        Column("COL4", "VARCHAR2", 500, None, None, True, None, "B", False),
    ]
    assert text.description(
        "table", "T.M", columns, ["COL1"], text.distribution("HASH", "COL1")
    ) == [
        "",
        "Table T.M:",
        "  Columns:",
        "   *COL1                            NUMBER NOT NULL",
        "    COL2                            VARCHAR2 (32) INLINE",
        "    COL3                            NUMBER (10,2) DEFAULT 3",
        "    COL4                            VARCHAR2 (500 BYTE) NOT INLINE",
        "  DISTRIBUTE BY HASH (COL1)",
        "",
        "1 table found.",
        "(primary key columns are indicated with *)",
    ]
    assert text.distribution("HASH", None) == "DISTRIBUTE BY HASH"
    assert text.distribution("DUPLICATE", None) == "DUPLICATE"


def test_describe_of_routines() -> None:
    q = [Argument("A", "IN", "NUMBER", True), Argument("B", "IN/OUT", "DATE", False)]
    assert text.unit("PROCEDURE", "T.Q", {"Q": q}) == [
        "",
        "Procedure T.Q:",
        "  Parameters:",
        "    A                               IN     NUMBER DEFAULT",
        "    B                               IN/OUT DATE",
        "",
        "1 procedure found.",
    ]
    r = [Argument("", "OUT", "NUMBER", False)]
    found = text.unit("PACKAGE", "T.P", {"Q": q, "R": r})
    assert found[1:4] == ["Package T.P:", "  Routine Q:", "  Parameters:"]
    assert found[6:] == ["  Routine R:", "  Returns NUMBER", "", "1 package found."]


def test_lists() -> None:
    assert text.listing(["T.A"], "table") == ["  T.A", "1 table found."]
    found = text.indexes([("T.A", "I", True, False, "X"), ("T.A", "I", True, False, "Y")])
    assert found[1:5] == [
        "Indexes on table T.A:",
        "  I: unique range index on columns:",
        "    X",
        "    Y",
    ]
    assert found[-1] == "1 index found on 1 table."


def test_passwords_are_not_echoed() -> None:
    for typed, shown in (
        ('connect "DSN=a;UID=b;PWD=secret";', 'connect "DSN=a;UID=b;PWD=********";'),
        ("CREATE USER u IDENTIFIED BY 'it''s';", "CREATE USER u IDENTIFIED BY ********;"),
        ("ALTER USER u IDENTIFIED BY plain;", "ALTER USER u IDENTIFIED BY ********;"),
    ):
        todo, _ = text.take(typed, ended=True)
        assert todo is not None
        assert text.echo(todo) == f"Command> {shown}"
