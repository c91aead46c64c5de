"""Who is connected to a data instance, and the three ways to end that."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from protocol.errors import PrivilegeError
from protocol.messages import sessions as m
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from tests.support.memory_grid import ADDRESS, DATABASE, MemoryGrid, running_grid

ENDED = (asyncpg.AdminShutdownError, asyncpg.InterfaceError)  # told, or closed already
GONE = (asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError)


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncIterator[MemoryGrid]:
    async with running_grid(tmp_path, k=1, sets=2) as made:
        client = await made.connect(0)
        await client.execute("CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, v NUMBER(10))")
        rows = ",".join(f"({n}, 0)" for n in range(20))
        await client.execute(f"INSERT INTO t VALUES {rows}")
        await client.close()
        yield made


async def ask(grid: MemoryGrid, at: int, message: object) -> object:
    """As management does; no data instance may."""
    node, other = grid.nodes[at], grid.nodes[1 - at].rpc
    assert other is not None
    with pytest.raises(PrivilegeError):
        await other.peer(node.name).call(message, 5.0)
    rpc = RpcNode(NodeIdentity("0123", "host1.instance1", "m-1", b"secret", "mgmt"))
    try:
        rpc.set_peer(node.name, ADDRESS, node.settings.daemon_port, f"{node.name}-{node.lives}")
        return await (await rpc.wait_connected(node.name, 5.0)).call(message, 5.0)
    finally:
        await rpc.close()


async def listed(grid: MemoryGrid, at: int) -> list[m.SessionInfo]:
    answer = await ask(grid, at, m.ListSessions(DATABASE.upper()))
    assert isinstance(answer, m.SessionList)
    return list(answer.sessions)


async def disconnect(grid: MemoryGrid, mode: str) -> tuple[int, int]:
    answer = await ask(grid, 0, m.Disconnect(DATABASE, grid.database_id, mode))
    assert isinstance(answer, m.Disconnecting)
    return answer.left, answer.idle


async def value(grid: MemoryGrid, key: int) -> int:
    client = await grid.connect(1)
    found = await client.fetchval("SELECT v FROM t WHERE id = $1", key)
    await client.close()
    return int(found)


async def busy(client: asyncpg.Connection, key: int) -> None:
    await client.execute("BEGIN")
    await client.execute("UPDATE t SET v = v + 1 WHERE id = $1", key)


async def test_each_connection_with_its_kind_and_state(grid: MemoryGrid) -> None:
    idle = await grid.connect(0, server_settings={"application_name": "reports"})
    writer, admin = await grid.connect(0), await grid.connect_admin(0)
    for key in range(20):
        await busy(writer, key) if key == 0 else await writer.execute(
            "UPDATE t SET v = 1 WHERE id = $1", key
        )
    rows = await listed(grid, 0)
    shown = [(r.kind, r.user, r.state, r.name) for r in rows if r.kind in (m.CLIENT, m.DIRECT)]
    assert sorted(shown) == [
        ("client", "TERRY", "idle", "reports"),
        ("client", "TERRY", "in transaction", ""),
        ("direct", getpass.getuser().upper(), "idle", ""),
    ]
    assert [r.pid for r in rows if r.kind == m.DIRECT] == [os.getpid()]
    assert all(r.address.startswith("127.0.0.1:") for r in rows if r.kind == m.CLIENT)
    assert {r.name for r in rows if r.kind == m.SYSTEM} == {"writer", "replication", "epochs"}
    (proxy,) = [r for r in await listed(grid, 1) if r.kind == m.PROXY]  # of the writer
    assert (proxy.address, proxy.state) == ("element 1", "in transaction")
    assert not [r for r in await listed(grid, 1) if r.kind == m.CLIENT]
    for client in (idle, writer, admin):
        await client.close()


async def test_transactional_waits_for_transactions_and_leaves_idle_ones(grid: MemoryGrid) -> None:
    idle, writer, admin = [await grid.connect(0), await grid.connect(0), await grid.connect_admin()]
    await busy(writer, 1)
    assert await disconnect(grid, m.TRANSACTIONAL) == (1, 1)
    assert not idle.is_closed()
    await writer.execute("UPDATE t SET v = v + 1 WHERE id = 2")
    await writer.execute("COMMIT")
    assert await disconnect(grid, m.TRANSACTIONAL) == (0, 1)
    with pytest.raises(ENDED):
        await writer.fetch("SELECT 1 FROM dual")
    with pytest.raises(GONE, match="administrator ended"):
        await idle.fetch("SELECT 1 FROM dual")
    assert await disconnect(grid, m.TRANSACTIONAL) == (0, 0)
    assert (await value(grid, 1), await value(grid, 2)) == (1, 1)
    assert await admin.fetchval("SELECT 1 FROM dual") == 1, "the instance administrator stays"
    await admin.close()
    new = await grid.connect(0)  # the database is open
    assert await new.fetchval("SELECT 1 FROM dual") == 1
    await new.close()


@pytest.mark.parametrize("mode", [m.IMMEDIATE, m.ABORT])
async def test_now(grid: MemoryGrid, mode: str) -> None:
    """What was open is rolled back, idle ones go too; locks are free at once."""
    idle, writer = await grid.connect(0), await grid.connect(0)
    await busy(writer, 3)
    await disconnect(grid, mode)
    for client in (idle, writer):
        async with asyncio.timeout(5):
            while not client.is_closed():
                await asyncio.sleep(0.01)  # the socket's end comes by itself
    assert await disconnect(grid, mode) == (0, 0)
    other = await grid.connect(1)
    await other.execute("UPDATE t SET v = 7 WHERE id = 3")
    await other.close()
    assert await value(grid, 3) == 7
