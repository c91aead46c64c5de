"""docs/life-of-a-statement.md says what happens: its tables against a grid in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest_asyncio

from data.moving.correction import version_in
from protocol.messages.sql import Ran
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid
from tests.support.steps import files, first_times, listening, table

DOCUMENT = "life-of-a-statement.md"
UPDATE = "UPDATE t SET v = v + 1 WHERE id = {}"


@dataclass
class Scene:
    """A client at an instance that leads replica set 1, and ids of rows here and there."""

    grid: MemoryGrid
    client: asyncpg.Connection
    here: int
    there: tuple[int, int]


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    attributes = (("PermSize", "64"), ("EpochInterval", "0"))  # no steps but the statement's
    timeout_s = 10.0  # nobody dies
    async with running_grid(tmp_path, session_timeout_s=timeout_s, attributes=attributes) as grid:
        client = await grid.connect(0)
        try:
            await client.execute(
                "CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, v NUMBER(10), w VARCHAR2(20))"
                " DISTRIBUTE BY HASH (id)"
            )
            for number in range(16):
                await client.execute(f"INSERT INTO t VALUES ({number}, 0, 'x')")
            await quiet(grid)
            rows = await client.fetch("SELECT id, replicasetid# FROM t ORDER BY id")
            leads = grid.nodes[0].instance.database(DATABASE).space.router.leads  # type: ignore[union-attr]
            me = grid.nodes[0].name
            here = [int(row[0]) for row in rows if leads[row[1]] == me]
            there = [int(row[0]) for row in rows if leads[row[1]] != me]
            yield Scene(grid, client, here[0], (there[0], there[1]))
        finally:
            await client.close()


async def quiet(grid: MemoryGrid) -> None:
    """Until the decisions of what went before (CREATE TABLE) are forgotten: that is logged too.

    And until the leads have noted which buckets they own, and every instance has heard of it.
    """
    databases = [node.instance.database(DATABASE) for node in grid.nodes if node.instance]
    elements = [database.element for database in databases]
    leads = [database.writer for database in databases if database.writer.leading]
    async with asyncio.timeout(20):
        while not all(
            lead.ownership.known
            and version_in(database.space.router.map, lead.rs) == lead.ownership.version
            for lead in leads
            for database in databases
        ):
            await asyncio.sleep(0.02)  # housekeeping does it, once a second
        while any(
            decision.participants[0] == element.identity.replica_set  # at the others it stays
            for element in elements
            for decision in element.decisions()
        ):
            await asyncio.sleep(0.02)  # housekeeping does it, once a second


def documented(heading: str) -> list[str]:
    return [row[0] for row in table(DOCUMENT, heading)]


def without(rows: list[str], *numbers: int) -> list[str]:
    """The rows but these (counted from 1, as the document does)."""
    return [row for number, row in enumerate(rows, 1) if number not in numbers]


async def test_an_update_by_key(scene: Scene) -> None:
    rows = documented("One UPDATE by key")
    with listening() as steps:
        assert await scene.client.execute(UPDATE.format(scene.there[0])) == "UPDATE 1"
    assert files(steps) == rows
    with listening() as steps:
        await scene.client.execute(UPDATE.format(scene.there[1]))
    assert files(steps) == without(rows, 5, 6)
    with listening() as steps:
        await scene.client.execute(UPDATE.format(scene.here))
    assert files(steps) == without(rows, 5, 6, 10, 11, 29)


async def test_a_prepared_update(scene: Scene) -> None:
    rows = documented("One UPDATE by key")
    statement = await scene.client.prepare("UPDATE t SET v = $2 WHERE id = $1")
    with listening() as steps:
        await statement.fetch(scene.there[0], 7)
    assert files(steps) == without(rows, 4, 5, 6)


async def test_a_select_by_key_at_the_leads_instance(scene: Scene) -> None:
    rows = documented("One UPDATE by key")
    with listening() as steps:
        found = await scene.client.fetch(f"SELECT w FROM t WHERE id = {scene.here}")
    assert found[0]["w"] == "x"
    read = files(steps)[files(steps).index("data/exec/fast.py") + 1 :]
    assert read == ["data/storage/element.py", rows[30], rows[31]]


async def test_a_transaction_in_two_replica_sets(scene: Scene) -> None:
    transaction = scene.client.transaction()
    await transaction.start()
    with listening() as statements:
        await scene.client.execute(UPDATE.format(scene.here))
        await scene.client.execute(UPDATE.format(scene.there[0]))
    assert "data/storage/log.py" not in files(statements), "nothing is in the log yet"
    with listening() as end:
        await transaction.commit()
    rows = [(row[0], row[1] if len(row) > 1 else "") for row in table(DOCUMENT, TWO_SETS)]
    told = {file for file, _ in rows}
    assert first_times(step for step in statements + end if step[0] in told) == rows
    decisions = [step for step in end if step == ("data/txn/deciding.py", "Decide")]
    assert len(decisions) == 1


TWO_SETS = "A transaction in two replica sets"


async def test_a_query_over_the_whole_grid(scene: Scene) -> None:
    query = "SELECT a.w, count(*) FROM t a, t b WHERE a.v = b.v GROUP BY a.w"
    with listening() as steps:
        assert await scene.client.fetchval(f"SELECT c FROM ({query}) x(w, c)") == 256
    met = list(dict.fromkeys(file for file, _ in steps))
    assert met == documented("A query over the whole grid")


async def test_a_lost_answer(scene: Scene) -> None:
    node = scene.grid.nodes[0]
    lead = node.instance.database(DATABASE).space.router.leads[2]  # type: ignore[union-attr]
    cuts = []

    def cut(file: str, subject: object) -> None:
        if file == "protocol/rpc/server.py" and isinstance(subject, Ran) and not cuts:
            cuts.append(subject)
            assert node.rpc is not None
            connection = node.rpc.peer(lead).connection
            assert connection is not None
            connection.abort(None)

    with listening(cut) as steps:
        assert await scene.client.execute(UPDATE.format(scene.there[0])) == "UPDATE 1"
    assert await scene.client.fetchval(f"SELECT v FROM t WHERE id = {scene.there[0]}") == 1
    lost = steps.index(("protocol/rpc/server.py", "Ran"))
    rows = [
        (row[0], row[1] if len(row) > 1 else "")
        for row in table(DOCUMENT, "When the answer is lost")
    ]
    assert first_times(steps[lost:]) == rows
