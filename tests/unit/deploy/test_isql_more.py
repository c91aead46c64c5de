"""Variables, completion and the further commands of ttIsql."""

from __future__ import annotations

import pytest

from deploy.clients import isql_terminal
from deploy.clients import isql_text as text
from deploy.clients.isql import Isql
from deploy.clients.isql_binds import VariableError, Variables, shown
from deploy.clients.isql_text import Input


def test_every_command_is_there_and_has_one_meaning() -> None:
    assert set(Isql().more.commands) == text.OTHERS
    assert not text.OTHERS & set(text.REFUSED)
    for word in text.OTHERS - {"remark", "rem", "var", "prompt"}:
        assert word in text.HELP, word


def test_variables_are_bound_outside_of_strings_names_comments_and_casts() -> None:
    variables = Variables()
    variables.declare("a NUMBER")
    variables.declare("b varchar2 (20)")
    variables.named("b").value = "x"
    statement = "SELECT ':a', \":a\", 1::text /* :a */, :B, :a -- :a\nFROM dual WHERE :b = x"
    bound = "SELECT ':a', \":a\", 1::text /* :a */, $1, $2 -- :a\nFROM dual WHERE $1 = x"
    assert variables.bind(statement) == (bound, ["x", None])
    with pytest.raises(VariableError, match="variable c is not declared"):
        variables.bind("SELECT :c FROM dual")
    for wrong in ("a", "a cursor", "1 NUMBER"):
        with pytest.raises(VariableError):
            variables.declare(wrong)


def test_a_block_tells_what_became_of_variables() -> None:
    variables = Variables()
    variables.declare("a NUMBER")
    variables.declare("b VARCHAR2")
    assert variables.block("BEGIN NULL; END;") == ("BEGIN NULL; END;", [])
    sent, values = variables.block("BEGIN :a := 5; :b := NULL; END;")
    assert values == [None, None]
    assert sent.startswith(
        "DECLARE ttisql_a NUMBER := $1; ttisql_b VARCHAR2(32767) := $2; "
        "BEGIN BEGIN ttisql_a := 5; ttisql_b := NULL; END; DBMS_OUTPUT.PUT_LINE("
    )
    assert variables.told("\x01ttisql a=15") and variables.told("\x01ttisql b=0")
    assert not variables.told("a=15")
    assert [shown(v, text.NULL) for v in variables.all()] == [
        "A                    : 5",
        "B                    : <NULL>",
    ]


def test_a_block_gives_the_names_of_cursors() -> None:
    variables = Variables()
    variables.declare("c REFCURSOR")
    variables.declare("n NUMBER")
    block = "BEGIN OPEN :c FOR SELECT :n FROM dual; END;"
    assert [v.name for v in variables.cursors_of(block)] == ["c"]
    sent, values = variables.block(block)
    assert values == [None, None]
    assert sent.startswith("DECLARE ttisql_c SYS_REFCURSOR; ttisql_n NUMBER := $2; BEGIN BEGIN ")
    assert " $1 := ttisql_c;" in sent
    with pytest.raises(VariableError, match="only blocks and print"):
        variables.bind("SELECT :c FROM dual")
    variables.named("c").rows = ["< 1 >", "< 2 >"]
    assert shown(variables.named("c"), text.NULL) == "C                    :\n< 1 >\n< 2 >"


def test_statements_that_begin_like_commands() -> None:
    todo, rest = text.take("prepare 2 SELECT 1\nFROM dual;\nexec 2;\n")
    assert todo == Input("prepare", "2 SELECT 1\nFROM dual")
    assert text.take(rest)[0] == Input("exec", "2")
    assert text.take("prepare SELECT 1\n") == (None, "prepare SELECT 1\n")
    for statement in ("PREPARE a AS SELECT 1", "prepare a (int) as SELECT $1", "CLOSE c"):
        assert text.take(f"{statement};")[0] == Input("", statement)
    assert text.take("close 1;\n")[0] == Input("close", "1")
    assert text.take("show errors procedure p;\n")[0] == Input("show", "errors procedure p")


def test_completion() -> None:
    names = ("CUSTOMERS", "CUST_ID", "describe")
    assert isql_terminal.completions("SELECT CUST", names) == ["CUSTOMERS", "CUST_ID"]
    assert isql_terminal.completions("sel", names) == ["select"]
    assert isql_terminal.completions("desc", names) == ["describe"]
    assert isql_terminal.completions("SELECT ", names) == []
    assert isql_terminal.is_secret("CREATE USER a IDENTIFIED BY 'x'")
