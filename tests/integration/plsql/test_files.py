"""UTL_FILE: in one folder of the instance, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from data.plsql.files import FILES_MAX
from tests.support.memory_grid import MemoryGrid, running_grid

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grid(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path_factory.mktemp("files"), k=1, sets=1) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def admin(grid: MemoryGrid) -> AsyncIterator[asyncpg.Connection]:
    client = await grid.connect_admin()
    yield client
    await client.close()


def folder(grid: MemoryGrid) -> Path:
    """Of the files of the one instance."""
    return grid.nodes[0].home / "plsql" / "utl_file_temp"


async def lines_of(client: asyncpg.Connection, block: str) -> list[str]:
    """What a block prints."""
    lines: list[str] = []

    def listen(_: object, message: object) -> None:
        lines.extend(str(getattr(message, "message", "")).split("\n"))

    client.add_log_listener(listen)
    try:
        await client.execute(block)
    finally:
        client.remove_log_listener(listen)
    return lines


WRITE = """DECLARE f UTL_FILE.FILE_TYPE; BEGIN
  f := UTL_FILE.FOPEN('UTL_FILE_TEMP', 'notes.txt', 'w', 200);
  UTL_FILE.PUT_LINE(f, 'first'); UTL_FILE.PUT(f, 'sec'); UTL_FILE.PUT(f, 'ond');
  UTL_FILE.NEW_LINE(f, 2);
  UTL_FILE.PUTF(f, '%s and %s\\n', 'a', 'b'); UTL_FILE.PUT_RAW(f, '41420A'); UTL_FILE.FFLUSH(f);
  UTL_FILE.FCLOSE(f);
  IF NOT UTL_FILE.IS_OPEN(f) THEN DBMS_OUTPUT.PUT_LINE('closed'); END IF;
  f := UTL_FILE.FOPEN('.', 'notes.txt', 'a'); UTL_FILE.PUT_LINE(f, 'last'); UTL_FILE.FCLOSE_ALL;
END;"""
READ = """DECLARE f UTL_FILE.FILE_TYPE; line VARCHAR2(100); there BOOLEAN;
  len NUMBER; size NUMBER; BEGIN
  f := UTL_FILE.FOPEN(location => 'UTL_FILE_TEMP', filename => 'notes.txt', open_mode => 'r');
  BEGIN LOOP UTL_FILE.GET_LINE(f, line); DBMS_OUTPUT.PUT_LINE(NVL(line, '-')); END LOOP;
  EXCEPTION WHEN NO_DATA_FOUND THEN UTL_FILE.FCLOSE(f); END;
  UTL_FILE.FCOPY('', 'notes.txt', '', 'copy.txt', 2, 2);
  UTL_FILE.FRENAME('', 'copy.txt', '', 'moved.txt');
  UTL_FILE.FGETATTR('', 'moved.txt', there, len, size);
  IF there THEN DBMS_OUTPUT.PUT_LINE(len); END IF;
  UTL_FILE.FREMOVE('', 'moved.txt'); UTL_FILE.FGETATTR('', 'moved.txt', there, len, size);
  IF NOT there THEN DBMS_OUTPUT.PUT_LINE('removed'); END IF;
END;"""


async def test_lines_are_written_and_read(grid: MemoryGrid, admin: asyncpg.Connection) -> None:
    assert await lines_of(admin, WRITE) == ["closed"]
    file = folder(grid) / "notes.txt"
    assert file.read_text() == "first\nsecond\n\na and b\nAB\nlast\n"
    assert file.stat().st_mode & 0o077 == 0
    assert await lines_of(admin, READ) == [
        *("first", "second", "-", "a and b", "AB", "last", "7", "removed")
    ]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("UTL_FILE.FOPEN('/etc', 'passwd', 'r')", "INVALID_PATH"),
        ("UTL_FILE.FOPEN('UTL_FILE_TEMP', '../instance.toml', 'r')", "INVALID_FILENAME"),
        ("UTL_FILE.FOPEN('UTL_FILE_TEMP', '..', 'r')", "INVALID_FILENAME"),
        ("UTL_FILE.FOPEN('UTL_FILE_TEMP', 'link', 'r')", "INVALID_OPERATION"),
        ("UTL_FILE.FOPEN('UTL_FILE_TEMP', 'absent', 'r')", "INVALID_OPERATION"),
        ("UTL_FILE.FOPEN('UTL_FILE_TEMP', 'notes.txt', 'x')", "INVALID_MODE"),
        ("UTL_FILE.FOPEN('UTL_FILE_TEMP', 'notes.txt', 'r', 40000)", "INVALID_MAXLINESIZE"),
    ],
)
async def test_what_may_not_be_opened(
    grid: MemoryGrid, admin: asyncpg.Connection, call: str, name: str
) -> None:
    folder(grid).mkdir(parents=True, exist_ok=True)
    link = folder(grid) / "link"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
    block = (
        f"DECLARE f UTL_FILE.FILE_TYPE; BEGIN f := {call}; "
        f"EXCEPTION WHEN UTL_FILE.{name} THEN DBMS_OUTPUT.PUT_LINE('{name}'); END;"
    )
    assert await lines_of(admin, block) == [name]


async def test_wrong_use(admin: asyncpg.Connection) -> None:
    block = """DECLARE f UTL_FILE.FILE_TYPE; line VARCHAR2(10); BEGIN
      BEGIN UTL_FILE.PUT_LINE(f, 'x');
      EXCEPTION WHEN UTL_FILE.INVALID_FILEHANDLE THEN DBMS_OUTPUT.PUT_LINE('handle'); END;
      f := UTL_FILE.FOPEN('', 'w.txt', 'w', 5);
      BEGIN UTL_FILE.GET_LINE(f, line);
      EXCEPTION WHEN UTL_FILE.INVALID_OPERATION THEN DBMS_OUTPUT.PUT_LINE('reading'); END;
      BEGIN UTL_FILE.PUT_LINE(f, 'longer');
      EXCEPTION WHEN UTL_FILE.WRITE_ERROR THEN DBMS_OUTPUT.PUT_LINE('long'); END;
      UTL_FILE.PUT_LINE(f, 'four'); UTL_FILE.FCLOSE(f); f := UTL_FILE.FOPEN('', 'w.txt', 'r', 3);
      BEGIN UTL_FILE.GET_LINE(f, line);
      EXCEPTION WHEN UTL_FILE.READ_ERROR THEN DBMS_OUTPUT.PUT_LINE('long'); END;
      UTL_FILE.FCLOSE(f); UTL_FILE.FREMOVE('', 'w.txt');
      BEGIN UTL_FILE.FREMOVE('', 'w.txt');
      EXCEPTION WHEN UTL_FILE.DELETE_FAILED THEN DBMS_OUTPUT.PUT_LINE(SQLERRM); END;
    END;"""
    assert await lines_of(admin, block) == [
        *("handle", "reading", "long", "long"),
        "ORA-29291: file remove operation failed: No such file or directory",
    ]


async def test_files_are_few_and_closed_with_their_session(
    grid: MemoryGrid, admin: asyncpg.Connection
) -> None:
    client = await grid.connect_admin()
    block = f"""DECLARE f UTL_FILE.FILE_TYPE; BEGIN
      FOR i IN 1 .. {FILES_MAX} LOOP f := UTL_FILE.FOPEN('', 'f' || i, 'w');
      UTL_FILE.PUT(f, i); END LOOP;
      f := UTL_FILE.FOPEN('', 'more', 'w');
      EXCEPTION WHEN UTL_FILE.INVALID_OPERATION THEN DBMS_OUTPUT.PUT_LINE('enough'); END;"""
    assert await lines_of(client, block) == ["enough"]
    await client.close()
    read = """DECLARE f UTL_FILE.FILE_TYPE; line VARCHAR2(10); BEGIN
      LOOP BEGIN f := UTL_FILE.FOPEN('', 'f7', 'r'); UTL_FILE.GET_LINE(f, line); EXIT;
      EXCEPTION WHEN NO_DATA_FOUND THEN UTL_FILE.FCLOSE(f); END; END LOOP;
      DBMS_OUTPUT.PUT_LINE(line); UTL_FILE.FCLOSE(f); END;"""
    assert await lines_of(admin, read) == ["7"]  # what was not flushed is there soon
    assert not (folder(grid) / "more").exists()
