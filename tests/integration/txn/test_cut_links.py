"""Links between data instances are cut: writes flow again soon, clients hear where to go.

Decision 0030. All in one process. How soon is a matter of tests/sim/test_pauses.py (virtual time)
and tests/faults/pauses.py (real processes).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest

from data.replication.leadership import Leadership
from protocol.errors import GridError
from protocol.messages.sql import SetOwners
from tests.support.cut_links import Links, between
from tests.support.memory_grid import DATABASE, MemoryGrid, Node, running_grid

T = 1.0  # session timeout
KEYS = range(40)  # in both replica sets


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    """Replica set 1 is led by node 0, its copy is node 1; set 2 by node 3, its copy is node 2."""
    async with running_grid(tmp_path, session_timeout_s=T) as made:
        client = await made.connect(2)
        await client.execute("CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, n NUMBER(10))")
        for key in KEYS:
            await client.execute("INSERT INTO t VALUES ($1, 0)", key)
        await client.close()
        await until(lambda: leads(made, 0, 1) and leads(made, 3, 2))
        yield made


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch, grid: MemoryGrid) -> Links:
    return Links(monkeypatch)


def role(grid: MemoryGrid, at: int) -> str:
    instance = grid.nodes[at].instance
    assert instance is not None
    return instance.database(DATABASE).member.role


def leads(grid: MemoryGrid, at: int, mate: int) -> bool:
    """That node leads, and the other one is an in-sync copy."""
    return (role(grid, at), role(grid, mate)) == ("lead", "copy")


def is_welcome(grid: MemoryGrid, at: int) -> bool:
    """Clients are taken there."""
    instance = grid.nodes[at].instance
    return instance is not None and not instance.frontend.turns_away


async def until(is_true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_true():
            await asyncio.sleep(0.01)  # looks at states of several machines


def names(nodes: list[Node]) -> list[str]:
    return [node.name for node in nodes]


async def add_everywhere(client: asyncpg.Connection) -> None:
    """Write rows of both replica sets."""
    for key in KEYS:
        assert await client.execute("UPDATE t SET n = n + 1 WHERE id = $1", key) == "UPDATE 1"


async def connect_when_back(grid: MemoryGrid, at: int) -> asyncpg.Connection:
    """As clients do where a copy that was cut off is known to come back, or just catches up."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await grid.connect(at)
            except asyncpg.CannotConnectNowError:
                await asyncio.sleep(0.01)  # nobody tells a client that it may come


async def check_sums(grid: MemoryGrid, at: int, times: int) -> None:
    client = await connect_when_back(grid, at)
    rows = await client.fetch("SELECT id, n FROM t ORDER BY id")
    assert [tuple(row) for row in rows] == [(key, times) for key in KEYS]
    await client.close()


@pytest.mark.parametrize("ways", ["both", "out", "in"])
async def test_a_lead_that_is_cut_off_is_replaced_by_its_copy(
    grid: MemoryGrid, links: Links, ways: str
) -> None:
    lead, *others = names(grid.nodes)
    pairs = between(lead, others)
    outside, inside = await grid.connect(2), await grid.connect(0)
    await add_everywhere(outside)
    links.cut(p for p in pairs if ways == "both" or (p[0] == lead) == (ways == "out"))
    await add_everywhere(outside)
    with pytest.raises((asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)):
        async with asyncio.timeout(10):
            while True:
                await inside.fetch("SELECT COUNT(*) FROM t")
    await until(lambda: not is_welcome(grid, 0))
    with pytest.raises(asyncpg.CannotConnectNowError, match="another data instance"):
        await grid.connect(0)
    links.heal()
    await until(lambda: leads(grid, 0, 1) or leads(grid, 1, 0))
    await add_everywhere(outside)
    await outside.close()
    await until(lambda: leads(grid, 0, 1) and is_welcome(grid, 0))  # it leads again
    await check_sums(grid, 0, 3)


async def test_locks_of_a_client_that_was_cut_off_are_free_when_the_links_are_back(
    grid: MemoryGrid, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its roll back arrives late; without it they would last until their lead asks."""
    monkeypatch.setattr("data.database.UNUSED_S", 3600.0)
    outside, inside = await grid.connect(2), await grid.connect(0)
    await inside.execute("BEGIN")
    await inside.fetch("SELECT * FROM t FOR UPDATE")
    links.cut(between(grid.nodes[0].name, names(grid.nodes[1:])))
    await until(lambda: not is_welcome(grid, 0))
    with pytest.raises((asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)):
        async with asyncio.timeout(10):
            while True:
                await inside.fetch("SELECT COUNT(*) FROM t")
    inside.terminate()
    instance = grid.nodes[0].instance
    assert instance is not None
    manager = instance.database(DATABASE).space.manager
    await until(lambda: not manager.open)
    links.heal()
    async with outside.transaction():
        rows = await outside.fetch("SELECT id FROM t FOR UPDATE WAIT 9")
    assert len(rows) == len(KEYS)
    await outside.close()
    await until(lambda: leads(grid, 0, 1))


async def test_a_copy_that_is_cut_off_costs_a_pause_and_no_lead(
    grid: MemoryGrid, links: Links
) -> None:
    client = await grid.connect(2)
    links.cut(between(grid.nodes[1].name, names([*grid.nodes[:1], *grid.nodes[2:]])))
    await add_everywhere(client)
    assert role(grid, 0) == "lead"
    links.heal()
    await until(lambda: leads(grid, 0, 1))
    await client.close()
    await until(lambda: is_welcome(grid, 1))
    await check_sums(grid, 1, 1)


async def test_messages_go_around_a_link_cut_between_lead_and_coordinator(
    grid: MemoryGrid, links: Links
) -> None:
    client = await grid.connect(2)
    links.cut(between(grid.nodes[0].name, [grid.nodes[2].name]))
    await add_everywhere(client)
    async with client.transaction():
        await add_everywhere(client)
    assert leads(grid, 0, 1)
    rows = await client.fetch("SELECT n FROM t")
    assert [row["n"] for row in rows] == [2] * len(KEYS)
    links.heal()
    await add_everywhere(client)
    await client.close()


async def test_a_cut_between_lead_and_copy_stops_clients_of_neither(
    grid: MemoryGrid, links: Links
) -> None:
    clients = [await grid.connect(at) for at in range(4)]
    links.cut(between(grid.nodes[0].name, [grid.nodes[1].name]))
    await add_everywhere(clients[0])
    for client in clients[1:]:
        await add_everywhere(client)
        await client.close()
    await clients[0].close()
    links.heal()
    await until(lambda: leads(grid, 0, 1))
    await check_sums(grid, 1, 4)


async def test_a_lead_without_membership_hands_over(grid: MemoryGrid) -> None:
    client = await grid.connect(2)
    async with client.transaction():
        await add_everywhere(client)  # its changes move with the lead
        grid.ensemble.silence(grid.nodes[0].name)
        await until(lambda: role(grid, 1) == "lead")
        await add_everywhere(client)
    await until(lambda: not is_welcome(grid, 0))
    with pytest.raises(asyncpg.CannotConnectNowError, match="membership"):
        await grid.connect(0)
    grid.ensemble.heal(grid.nodes[0].name)
    await client.close()
    await until(lambda: leads(grid, 0, 1) or leads(grid, 1, 0))
    await until(lambda: is_welcome(grid, 0))
    await check_sums(grid, 0, 2)


async def test_without_a_quorum_nothing_moves_and_all_goes_on_by_itself(grid: MemoryGrid) -> None:
    client = await grid.connect(2)
    terms = [n.instance.database(DATABASE).member.term for n in grid.nodes if n.instance]
    grid.ensemble.lose_quorum()
    with pytest.raises(asyncpg.CannotConnectNowError, match="membership"):
        async with asyncio.timeout(10):
            while True:
                await add_everywhere(client)
    grid.ensemble.restore_quorum()
    await until(lambda: leads(grid, 0, 1) and leads(grid, 3, 2))
    await add_everywhere(client)
    await client.close()
    assert terms == [n.instance.database(DATABASE).member.term for n in grid.nodes if n.instance]


async def test_a_lead_that_was_deposed_unseen_stops_with_work_of_its_own_under_way(
    grid: MemoryGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not hear who leads now, and nobody acknowledges its change."""
    instance = grid.nodes[0].instance
    assert instance is not None
    database = instance.database(DATABASE)
    space, writer = database.space, database.writer
    monkeypatch.setattr(Leadership, "hand_over", lambda *_: False)
    grid.ensemble.cut(grid.nodes[0].name)
    await until(lambda: role(grid, 1) == "lead")
    change = space.manager.run_autocommit(
        writer.rs, (SetOwners([]),), space.schema_version, 1000, version=writer.ownership.version
    )
    working = asyncio.create_task(database.moving.run(change))
    await until(lambda: bool(space.background))
    async with asyncio.timeout(20):
        await grid.stop_node(grid.nodes[0])
    with pytest.raises(GridError):
        await working
