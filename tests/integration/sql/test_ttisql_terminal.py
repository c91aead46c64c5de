"""ttIsql in a terminal: lines, history, completion, colour, Ctrl-C, scripts, the end."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.memory_grid import DATABASE, PASSWORD, USER, running_grid
from tests.support.terminal import CTRL_C, CTRL_D, ENTER, HOME, TAB, UP, TerminalSession

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).resolve().parents[3]
PROMPT, MORE = "Command>", " {7}>"
SETUP = """
CREATE TABLE branches (branch_id NUMBER(10) NOT NULL PRIMARY KEY, city VARCHAR2(30));
INSERT INTO branches VALUES (1, 'Oslo');
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """The service file of a grid of one element with a table."""
    folder = tmp_path_factory.mktemp("terminal")
    async with running_grid(folder, SETUP, k=1, sets=1) as grid:
        file = folder / "pg_service.conf"
        words = (f"port={grid.nodes[0].settings.cs_port}", f"user={USER}", f"password={PASSWORD}")
        file.write_text(
            "\n".join([f"[{DATABASE}]", "host=127.0.0.1", f"dbname={DATABASE}", *words])
        )
        yield file


@pytest.fixture(params=["prompt_toolkit", "readline"])
def library(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a terminal: with prompt_toolkit, or as if it were not installed."""
    environment = {"HOME": str(tmp_path)}
    if request.param == "readline":
        hidden = tmp_path / "hidden"
        hidden.mkdir()
        (hidden / "prompt_toolkit.py").write_text("raise ImportError('not on this machine')\n")
        environment["PYTHONPATH"] = str(hidden)
    else:
        pytest.importorskip("prompt_toolkit")
    return environment


def isql(services: Path, environment: dict[str, str], *words: str) -> TerminalSession:
    """ttIsql in a terminal of its own."""
    command = [sys.executable, "-m", "deploy.clients.isql", *words, DATABASE]
    return TerminalSession(command, {**environment, "PGSERVICEFILE": str(services)}, ROOT)


async def test_lines_are_completed_kept_and_recalled(
    services: Path, library: dict[str, str]
) -> None:
    async with isql(services, library) as person:
        await person.until(PROMPT)
        person.type(f"SELECT city FROM branche{TAB}")
        await person.until("branches")
        person.type(f";{ENTER}")
        await person.until(r"< Oslo >\s+1 row found\.")
        await person.until(PROMPT)
        person.type(f"SELECT branch_id{ENTER}")  # a statement of several lines
        await person.until(MORE)
        person.type(f"FROM branches;{ENTER}")
        await person.until(r"< 1 >\s+1 row found\.")
        await person.until(PROMPT)
        person.type(f"ALTER USER nobody IDENTIFIED BY 'secret';{ENTER}")  # not kept
        await person.until(r"The command failed\.")
        await person.until(PROMPT)
        person.type(f"ROM branches;{HOME}F{ENTER}")  # the line is edited
        await person.until(r"1001: syntax error")
        await person.until(PROMPT)
        person.type(CTRL_D)
        assert await person.ended() == 0
        assert person.shown.rstrip().endswith("Disconnecting...\nDone.")

    async with isql(services, library) as person:  # the next session knows what was typed
        await person.until(PROMPT)
        person.type(f"{UP}{UP}{ENTER}")
        whole = "PYTHONPATH" not in library  # readline knows lines, not statements
        await person.until(r"< 1 >\s+1 row found\." if whole else "1001: syntax error")
        await person.until(PROMPT)
        person.type(f"history -all{ENTER}")
        listed = await person.until(r"1  SELECT city FROM branches;\n(.*\n)+?.*Command>")
        assert "FROM branches;" in listed[0] and "secret" not in listed[0]
        person.type(f"! 1{ENTER}")
        await person.until(r"< Oslo >\s+1 row found\.")
        await person.until(PROMPT)
        person.type(f"! 1000{ENTER}")
        await person.until("there is no command 1000")
        person.type(f"exit{ENTER}")
        assert await person.ended() == 0
    kept = Path(library["HOME"]) / ".ttisql_history"
    assert "secret" not in kept.read_text() and kept.stat().st_mode & 0o077 == 0


async def test_ctrl_c_ends_a_statement_a_script_or_a_line(
    services: Path, library: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "script.sql"
    block = "BEGIN DBMS_OUTPUT.PUT_LINE('it runs'); LOOP NULL; END LOOP; END;"
    script.write_text(f"{block}\n/\nSELECT 'not reached' FROM dual;\n")
    async with isql(services, library) as person:
        await person.until(PROMPT)
        person.type(f"SELECT 1{ENTER}")
        await person.until(MORE)
        await person.interrupt_input()  # what was typed is forgotten
        await person.until(PROMPT)
        person.type(f"timing 1;{ENTER}")
        await person.until(PROMPT)
        person.type(f"set serveroutput on;{ENTER}")
        await person.until(PROMPT)
        person.type(f"{block}{ENTER}")
        await person.until(MORE)
        person.type(f"/{ENTER}")
        await person.until(r"\nit runs\n")
        person.type(CTRL_C)
        await person.until(r"Interrupted\.\s+The command failed\.")
        await person.until(PROMPT)
        person.type(f"SELECT 'goes on' FROM dual;{ENTER}")
        await person.until(r"< goes on >\s+1 row found\.\s+Execution time \(SQLExecute\) = \d")
        await person.until(PROMPT)
        person.type(f"@{script}{ENTER}")
        await person.until(r"\nit runs\n")
        person.type(CTRL_C)
        await person.until(r"Interrupted\.\s+The command failed\.")
        await person.until(PROMPT)
        person.type(f"quit{ENTER}")
        assert await person.ended() == 0
        assert "< not reached >" not in person.shown


async def test_what_is_open_at_the_end_is_rolled_back(
    services: Path, library: dict[str, str]
) -> None:
    async with isql(services, library) as person:
        await person.until(PROMPT)
        person.type(f"autocommit 0;{ENTER}")
        await person.until(PROMPT)
        person.type(f"INSERT INTO branches VALUES (2, 'Bergen');{ENTER}")
        await person.until(r"1 row inserted\.")
        await person.until(PROMPT)
        person.type(f"SELECT COUNT(*) FROM branches;{ENTER}")
        await person.until("< 2 >")
        await person.until(PROMPT)
        person.type(f"exit{ENTER}")
        await person.until(r"Disconnecting\.\.\.\s+Rolling back active transaction\.\.\.\s+Done\.")
        assert await person.ended() == 0
    async with isql(services, library, "-e", "SELECT COUNT(*) FROM branches; exit") as person:
        await person.until("< 1 >")
        assert await person.ended() == 0


async def test_commands_about_tables_and_an_editor(
    services: Path, library: dict[str, str], tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/Oslo/Olso/' \"$1\"\n")
    editor.chmod(0o700)
    spooled = tmp_path / "spooled"
    async with isql(services, {**library, "EDITOR": str(editor), "VISUAL": ""}) as person:
        for typed, shown in (
            (f"spool {spooled};", ""),
            ("describe branches;", r"\*BRANCH_ID +NUMBER \(10\) NOT NULL\n(.*\n)+1 table found\."),
            ("tables;", r"  TERRY.BRANCHES\s+1 table found\."),
            ("indexes branches;", r"1 index found on 1 table\."),
            ("explain SELECT * FROM branches;", r"(?i)branches"),
            ("spool off;", ""),
            ("SELECT 'Oslo' FROM dual;", "< Oslo >"),
            ("edit", "< Olso >"),
            ("!!", "< Oslo >"),
            ("no such command;", r"1001: .*\s+The command failed\."),
        ):
            await person.until(PROMPT)
            person.type(f"{typed}{ENTER}")
            if shown:
                await person.until(f"\n *{shown}" if shown.startswith("<") else shown)
        await person.until(PROMPT)
        person.type(f"exit{ENTER}")
        assert await person.ended() == 0  # a person saw the errors
    text = spooled.read_text()
    assert "Command> tables;" in text and "1 table found." in text and "Oslo" not in text


async def test_keywords_have_colour_and_names_are_offered(services: Path, tmp_path: Path) -> None:
    pytest.importorskip("prompt_toolkit")
    async with isql(services, {"HOME": str(tmp_path)}) as person:
        await person.until(PROMPT)
        person.type("SELECT br")
        await person.until("SELECT br")
        assert "\x1b[0;38;5;28;1mSELECT\x1b[0m br" in person.raw
        person.type(f"{TAB}")
        await person.until("branch")
        person.type(f"{TAB}{CTRL_C}")
        await person.until(PROMPT)
        person.type(f"exit{ENTER}")
        assert await person.ended() == 0
