"""More of what clients do: large transactions, locks, savepoints, sequences, DDL beside."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from tests.drill import checks
from tests.drill.clients import Client, Connection
from tests.drill.history import Operation, Outcome, Verdict, of

HEAP_ROWS = (500, 3000)  # of a large transaction
ROWS_AT_ONCE = 250
LARGE_PAUSE_S = 3.0
DDL_PAUSE_S = 1.5
PAIRS = 4

TABLES = (
    "CREATE TABLE heap (id TT_BIGINT NOT NULL PRIMARY KEY, batch TT_BIGINT NOT NULL,"
    " filler VARCHAR2(100)) DISTRIBUTE BY HASH",
    "CREATE TABLE shifts (id TT_INTEGER NOT NULL PRIMARY KEY, pair TT_INTEGER NOT NULL,"
    " duty TT_INTEGER NOT NULL) DISTRIBUTE BY HASH",
)
SEQUENCE = "drill_numbers"
_numbers = itertools.count(1)


async def prepare(connection: Connection) -> None:
    """After the tables were made."""
    await connection.execute(f"DROP SEQUENCE IF EXISTS {SEQUENCE}")
    await connection.execute(f"CREATE SEQUENCE {SEQUENCE} BATCH 20")
    rows = ", ".join(f"({2 * pair + n}, {pair}, 1)" for pair in range(PAIRS) for n in (0, 1))
    await connection.execute(f"INSERT INTO shifts VALUES {rows}")


# -- large ----------------------------------------------------------------------------------------
class Large:
    """Inserts many rows in one transaction, deletes them in one statement, counts them."""

    def __init__(self) -> None:
        self._there: list[int] = []

    async def __call__(self, client: Client, _: object) -> None:
        """One of these."""
        kind = client.chance.random()
        if kind < 0.4:
            await client.operate("heap", "count", None, None, _count_batches)
        elif kind < 0.6 and self._there:
            await self._clear(client)
        else:
            await self._insert(client)
        await asyncio.sleep(client.chance.uniform(0, LARGE_PAUSE_S))  # keeps the rate modest

    async def _clear(self, client: Client) -> None:
        batch = self._there.pop(0)
        sql = "DELETE FROM heap WHERE batch = $1"
        await client.operate("heap", "clear", batch, None, lambda one, _: one.change(sql, batch))

    async def _insert(self, client: Client) -> None:
        batch, count = next(_numbers), client.chance.randint(*HEAP_ROWS)

        async def body(one: Client, connection: Connection) -> None:
            await connection.execute("BEGIN")
            for first in range(0, count, ROWS_AT_ONCE):
                numbers = range(first, min(count, first + ROWS_AT_ONCE))
                values = ", ".join(f"({batch * 10_000 + n}, {batch}, 'row {n}')" for n in numbers)
                await connection.execute(f"INSERT INTO heap VALUES {values}")
            one.committing()
            await connection.execute("COMMIT")

        done = await client.operate("heap", "insert", batch, count, body)
        if done is not None and done.outcome is not Outcome.FAILED:
            self._there.append(batch)


async def _count_batches(_: Client, connection: Connection) -> list[tuple[int, int]]:
    rows = await connection.fetch("SELECT batch, COUNT(*) FROM heap GROUP BY batch")
    return [(int(batch), int(count)) for batch, count in rows]


# -- locks asked for ------------------------------------------------------------------------------
async def add_under_lock(client: Client, key: int) -> None:
    """Add one to a counter with a value that was read before: an update may be lost without its
    lock. Now and then with a savepoint, and something that is undone to it."""
    how = client.chance.choice(("", "", " NOWAIT", " WAIT 2"))
    has_savepoint = client.chance.random() < 0.3

    async def body(one: Client, connection: Connection) -> None:
        await connection.execute("BEGIN")
        before = await connection.fetchval(
            f"SELECT n FROM counters WHERE id = $1 FOR UPDATE{how}", key
        )
        if has_savepoint:
            await connection.execute("SAVEPOINT before_it")
            await connection.execute("UPDATE counters SET n = -1")
            await connection.execute("ROLLBACK TO before_it")
        await connection.execute("UPDATE counters SET n = $1 WHERE id = $2", int(before) + 1, key)
        one.committing()
        await connection.execute("COMMIT")

    await client.operate("counters", "add", key, 1, body)


# -- sequences ------------------------------------------------------------------------------------
async def take_number(client: Client, _: object) -> None:
    """The next value of a sequence; values may be left out, never given twice."""

    async def body(_: Client, connection: Connection) -> int:
        return int(await connection.fetchval(f"SELECT {SEQUENCE}.NEXTVAL FROM dual"))

    await client.operate("numbers", "next", SEQUENCE, None, body)


# -- DDL ------------------------------------------------------------------------------------------
async def make_and_drop(client: Client, _: object) -> None:
    """A table comes, is used and goes, beside everything else."""
    name = f"beside{next(_numbers)}"
    create = f"CREATE TABLE {name} (id TT_INTEGER NOT NULL PRIMARY KEY) DISTRIBUTE BY HASH"
    made = await client.operate("tables", "create", name, None, _ddl(create))
    if made is None:
        return
    await client.operate(
        "tables", "use", name, None, lambda one, _: one.change(f"INSERT INTO {name} VALUES (1)")
    )
    await _use(client, name)
    for _ in range(3):  # until it is known to be gone
        gone = await client.operate("tables", "drop", name, None, _ddl(f"DROP TABLE {name}"))
        if gone is not None and (gone.outcome is Outcome.OK or _is_missing(gone)):
            break
    await _use(client, name)
    await asyncio.sleep(client.chance.uniform(0, DDL_PAUSE_S))  # keeps the rate modest


async def _use(client: Client, name: str) -> None:
    async def body(_: Client, connection: Connection) -> int:
        return int(await connection.fetchval(f"SELECT COUNT(*) FROM {name}"))

    await client.operate("tables", "use", name, None, body)


def _ddl(sql: str) -> Any:
    async def body(one: Client, connection: Connection) -> None:
        one.committing()  # DDL commits by itself
        await connection.execute(sql)

    return body


def _is_missing(operation: Operation) -> bool:
    return operation.error == checks.UNDEFINED_TABLE


# -- write skew -----------------------------------------------------------------------------------
async def change_shift(client: Client, pair: int) -> None:
    """Leave if the other one of the pair is on duty, else come: SERIALIZABLE keeps one there."""
    mine = 2 * pair + client.chance.randrange(2)

    async def body(one: Client, connection: Connection) -> int:
        await connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
        rows = await connection.fetch("SELECT id, duty FROM shifts WHERE pair = $1", pair)
        duty = {int(key): int(value) for key, value in rows}
        leaves = sum(duty.values()) == 2
        await connection.execute(
            "UPDATE shifts SET duty = $1 WHERE id = $2", 0 if leaves else 1, mine
        )
        one.committing()
        await connection.execute("COMMIT")
        return sum(duty.values())

    await client.operate("shifts", "read", pair, mine, body)


# -- verdicts -------------------------------------------------------------------------------------
def judge(
    history: list[Operation], batches: dict[Any, int], duty: dict[Any, int], *, is_atomic: bool
) -> list[Verdict]:
    """batches: rows of each that are there; duty: pair -> on duty; is_atomic: reads see whole
    transactions."""
    heap = of(history, "heap")
    return [
        checks.check_batches("large transactions: all of it or nothing", heap, batches),
        checks.check_whole_batches(
            "large transactions: counts see whole ones", heap, is_promised=is_atomic
        ),
        checks.check_sequence("sequence: no number twice", of(history, "numbers")),
        checks.check_tables("tables: there when created, gone when dropped", of(history, "tables")),
        checks.check_shifts("SERIALIZABLE: no write skew", of(history, "shifts", "read"), duty),
    ]
