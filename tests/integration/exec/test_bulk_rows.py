"""Very many rows by COPY and INSERT on a whole grid: in blocks where they may, and not else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from psycopg.errors import (
    BadCopyFileFormat,
    CheckViolation,
    DatetimeFieldOverflow,
    ForeignKeyViolation,
    NotNullViolation,
    NumericValueOutOfRange,
    StringDataRightTruncation,
    UniqueViolation,
)

from data.exec import bulk_rows
from data.storage.changes import decode_inserts, encode_inserts
from tests.support.memory_grid import DATABASE, PASSWORD, USER, MemoryGrid, running_grid

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = 3000
OWN_KEY = "CREATE TABLE own (a NUMBER(10), b VARCHAR2(20) DEFAULT 'none', c TT_INTEGER)"
TEXT_KEY = "CREATE TABLE named (name VARCHAR2(30) PRIMARY KEY, n NUMBER(8,2), UNIQUE (name, n))"
CHECKED = (
    "CREATE TABLE checked (id NUMBER(10) PRIMARY KEY, short VARCHAR2(5) NOT NULL, "
    "n NUMBER CHECK (n > 0), d DATE)"
)
PARENT = "CREATE TABLE parent (id NUMBER(10) PRIMARY KEY)"
CHILD = (
    "CREATE TABLE child (id NUMBER(10) PRIMARY KEY, parent_id NUMBER(10) NOT NULL, "
    "FOREIGN KEY (parent_id) REFERENCES parent (id))"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grid(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path_factory.mktemp("grid")) as grid:
        yield grid


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(grid: MemoryGrid) -> AsyncIterator[psycopg.AsyncConnection]:
    made = await psycopg.AsyncConnection.connect(
        host="127.0.0.1",
        port=grid.nodes[1].settings.cs_port,
        user=USER,
        password=PASSWORD,
        dbname=DATABASE,
        autocommit=True,
    )
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def client(connection: psycopg.AsyncConnection) -> AsyncIterator[psycopg.AsyncConnection]:
    yield connection
    cursor = await connection.execute("SELECT table_name FROM user_tables")
    names = [str(row[0]) for row in await cursor.fetchall()]
    for name in sorted(names, key=lambda name: name != "CHILD"):
        await execute(connection, f"DROP TABLE {name}")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each block had."""
    counts: list[int] = []
    encode = encode_inserts

    def counted(table: str, columns: Any) -> bytes:
        counts.append(len(columns[0]))
        return encode(table, columns)

    monkeypatch.setattr(bulk_rows, "encode_inserts", counted)
    return counts


async def copy(client: psycopg.AsyncConnection, table: str, text: str) -> str:
    """COPY of text (PostgreSQL's csv, no header), in some messages."""
    data = text.encode()
    async with client.cursor() as cursor:
        async with cursor.copy(f"COPY {table} FROM STDIN (FORMAT csv)".encode()) as sending:
            for at in range(0, len(data), 20_000):
                await sending.write(data[at : at + 20_000])
        return str(cursor.statusmessage)


async def execute(client: psycopg.AsyncConnection, text: str) -> str:
    return str((await client.execute(text.encode())).statusmessage)


async def value(client: psycopg.AsyncConnection, text: str) -> Any:
    row = await (await client.execute(text.encode())).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def copies_are_equal(grid: MemoryGrid, table: str) -> None:
    found: dict[int, object] = {}
    for node in grid.nodes:
        assert node.instance is not None
        rs = node.instance.database(DATABASE).member.rs
        rows = grid.contents(node, f"TERRY.{table}")
        assert rows
        assert found.setdefault(rs, rows) == rows


async def test_a_table_with_a_hidden_key_and_a_default(
    grid: MemoryGrid, client: psycopg.AsyncConnection, sent: list[int]
) -> None:
    await execute(client, OWN_KEY)
    text = "".join(f"{n},{n * 2}\n" for n in range(ROWS))
    assert await copy(client, "own (a, c)", text) == f"COPY {ROWS}"
    assert sum(sent) == ROWS
    row = await value(client, "SELECT count(*), sum(a), sum(c), min(b), max(b) FROM own")
    assert row == (ROWS, sum(range(ROWS)), 2 * sum(range(ROWS)), "none", "none")
    copies_are_equal(grid, "OWN")


async def test_keys_of_text_and_a_second_unique_key(
    grid: MemoryGrid, client: psycopg.AsyncConnection, sent: list[int]
) -> None:
    await execute(client, TEXT_KEY)
    text = "".join(f"näme {n},{n}.25\n" for n in range(ROWS))
    await copy(client, "named", text)
    assert sum(sent) == ROWS
    assert await value(client, "SELECT n FROM named WHERE name = 'näme 77'") == 77.25
    with pytest.raises(UniqueViolation):
        await copy(client, "named", text.replace("näme 1,", "nome 1,"))
    assert await value(client, "SELECT count(*) FROM named") == ROWS
    copies_are_equal(grid, "NAMED")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("700,abc,1,2024-01-01\n", UniqueViolation),
        ("-1,,1,2024-01-01\n", NotNullViolation),
        ("-1,abc,-1,2024-01-01\n", CheckViolation),
        ("-1,far too long,1,2024-01-01\n", StringDataRightTruncation),
        ("-1,abc,1,2024-02-30\n", DatetimeFieldOverflow),
        ("99999999999,abc,1,2024-01-01\n", NumericValueOutOfRange),
        (",abc,1,2024-01-01\n", NotNullViolation),
        ("-1,abc\n", BadCopyFileFormat),
    ],
)
async def test_one_wrong_row_among_many_undoes_all(
    client: psycopg.AsyncConnection, line: str, error: type[Exception]
) -> None:
    await execute(client, CHECKED)
    lines = [f"{n},abc,1.5,2024-01-01\n" for n in range(ROWS)]
    lines[2500:2500] = [line]
    with pytest.raises(error) as caught:
        await copy(client, "checked", "".join(lines))
    if "02-30" in line or "999" in line or "long" in line:
        assert isinstance(caught.value, psycopg.Error)
        assert str(caught.value.diag.message_detail).startswith("COPY, line 2501, column ")
    assert await value(client, "SELECT count(*) FROM checked") == 0


async def test_inside_a_transaction_up_to_a_savepoint(
    grid: MemoryGrid, client: psycopg.AsyncConnection
) -> None:
    await execute(client, CHECKED)
    text = "".join(f"{n},abc,1,\n" for n in range(ROWS))
    more = text.replace(",abc", "0000,def")
    await execute(client, "BEGIN")
    await copy(client, "checked", text)
    await execute(client, "UPDATE checked SET short = 'x' WHERE id = 5")
    await execute(client, "SAVEPOINT one")
    await copy(client, "checked", more.partition("\n")[2])
    assert await value(client, "SELECT count(*) FROM checked") == 2 * ROWS - 1
    await execute(client, "ROLLBACK TO SAVEPOINT one")
    assert await value(client, "SELECT count(*) FROM checked") == ROWS
    await execute(client, "COMMIT")
    assert await value(client, "SELECT count(*) FROM checked WHERE short = 'abc'") == ROWS - 1
    copies_are_equal(grid, "CHECKED")


async def test_rows_from_which_something_follows_take_the_other_way(
    grid: MemoryGrid, client: psycopg.AsyncConnection, sent: list[int]
) -> None:
    await execute(client, PARENT)
    await execute(client, CHILD)
    with pytest.raises(ForeignKeyViolation):
        await copy(client, "child", "".join(f"{n},{n % 10}\n" for n in range(ROWS)))
    await copy(client, "parent", "".join(f"{n}\n" for n in range(10)))
    await copy(client, "child", "".join(f"{n},{n % 10}\n" for n in range(ROWS)))
    assert not sent
    assert await value(client, "SELECT count(*) FROM child") == ROWS
    copies_are_equal(grid, "CHILD")


async def test_insert_of_many_values_and_of_a_query(
    grid: MemoryGrid, client: psycopg.AsyncConnection, sent: list[int]
) -> None:
    await execute(client, CHECKED)
    await execute(client, OWN_KEY)
    await execute(client, PARENT)
    values = ",".join(f"({n})" for n in range(500))
    done = await execute(client, f"INSERT INTO parent VALUES {values}")
    assert done == "INSERT 0 500"
    assert sum(sent) == 500
    await copy(client, "checked", "".join(f"{n},v,1,\n" for n in range(1000)))
    assert sum(sent) == 1500
    done = await execute(client, "INSERT INTO own SELECT id, short, id FROM checked WHERE id < 900")
    assert done == "INSERT 0 900"
    assert sum(sent) == 2400
    done = await execute(client, "INSERT INTO checked SELECT a + 1000, b, 1, NULL FROM own")
    assert await value(client, "SELECT count(*) FROM checked") == 1900
    done = await execute(
        client, "INSERT INTO checked SELECT a, b, 1, NULL FROM own ON CONFLICT DO NOTHING"
    )
    assert done == "INSERT 0 0"
    for table in ("CHECKED", "OWN", "PARENT"):
        copies_are_equal(grid, table)


async def test_long_rows_make_small_blocks(sent: list[int]) -> None:
    rows = [(n, "x" * 300_000) for n in range(20)]
    rows.append((20, "y" * (bulk_rows.BLOCK_BYTES + 1)))
    made = list(bulk_rows.blocks("T", list(zip(*rows, strict=True))))
    assert max(map(len, made[:-1])) <= bulk_rows.BLOCK_BYTES
    assert len(made[-1]) > bulk_rows.BLOCK_BYTES
    assert [row for block in made for row in decode_inserts(block).rows] == rows
