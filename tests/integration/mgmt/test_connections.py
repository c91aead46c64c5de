"""dbStatus -connections, dbDisconnect, dbDisconnectStatus: real API and RPC, pretended clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mgmt.api import schema
from mgmt.api import schema_databases as requests
from mgmt.api import schema_sessions as sessions
from mgmt.cli.command import Arguments
from mgmt.cli.nouns import connections as shown
from mgmt.cli.nouns.database_status import status_text
from protocol.errors import DeadlineError, OperationError, UnknownModelObjectError
from protocol.messages.sessions import CLIENT, PROXY, SYSTEM, SessionInfo
from tests.integration.mgmt.test_databases import NAME, WAIT_S, create, distribute, grid_of
from tests.support.data_nodes import refused
from tests.support.management import ManagedGrid


def client(number: int, state: str, kind: str = CLIENT) -> SessionInfo:
    return SessionInfo(number, "app", 0, kind, "TERRY", "127.0.0.1:5", state, 1_500_000_000_000_000)


async def disconnect(grid: ManagedGrid, mode: str, wait_s: int | None = None) -> tuple[str, ...]:
    reply = await grid.call(sessions.DbDisconnect(name=NAME, mode=mode, wait_s=wait_s))
    return tuple(reply.messages)


async def status(grid: ManagedGrid) -> sessions.DisconnectRecord:
    request = sessions.DbDisconnectStatus(name=NAME)
    reply = await grid.call(request, sessions.DbDisconnectStatusReply)
    (record,) = reply.disconnects
    assert isinstance(record, sessions.DisconnectRecord)
    return record


def states(record: sessions.DisconnectRecord) -> list[str]:
    return [record.state, *(one.state for one in record.instances)]


async def until(grid: ManagedGrid, state: str) -> sessions.DisconnectRecord:
    async with asyncio.timeout(WAIT_S):
        while (await status(grid)).state != state:
            await asyncio.sleep(0.02)  # there is no event to wait for across the two sides
    return await status(grid)


async def test_transactional_then_immediate(tmp_path: Path) -> None:
    """The documented best practice: the second command takes the place of the first."""
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await create(grid)
        none = await refused(
            grid, sessions.DbDisconnectStatus(name=NAME), sessions.DbDisconnectStatusReply
        )
        assert isinstance(none, UnknownModelObjectError)
        nodes[0].host.clients = [client(1, "idle"), client(2, "in transaction")]
        assert await disconnect(grid, "transactional") == ("Database database1 disconnect started",)
        first = await until(grid, "Disconnecting")
        assert states(first) == ["Disconnecting", "Disconnecting", "Disconnected"]
        assert (first.instances[0].left, first.instances[0].idle) == (1, 1)
        late = await refused(
            grid, sessions.DbDisconnect(name=NAME, mode="transactional", wait_s=1), schema.Done
        )
        assert isinstance(late, DeadlineError)
        await disconnect(grid, "immediate", wait_s=WAIT_S)
        done = await status(grid)
        assert (done.mode, states(done)) == ("immediate", ["Complete", *2 * ["Disconnected"]])
        text = shown._status_text(
            sessions.DbDisconnectStatusReply(disconnects=(done,)), Arguments({}, {})
        )
        lines = [line.split() for line in text.splitlines()]
        assert lines[0] == ["Database", "Mode", "Host", "Instance", "State", "Left", "Started",
                            "Message"]  # fmt: skip
        assert lines[2][:3] == ["database1", "Immediate", "Complete"]
        assert lines[3] == ["host3", "instance1", "Disconnected"]
        listed = await grid.call(schema.OperationList(), schema.OperationListReply)
        kinds = [(o.state, o.message) for o in listed.operations if o.kind == "dbDisconnect"]
        assert kinds == [*2 * [("cancelled", "dbDisconnect was cancelled")], ("done", "")]


async def test_an_instance_that_is_down_has_no_connections(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await create(grid)
        await nodes[1].stop()
        await disconnect(grid, "transactional", wait_s=WAIT_S)
        assert states(await status(grid)) == ["Complete", "Disconnected", "Disconnected"]


async def test_a_failure_is_named(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await create(grid)
        nodes[1].host.broken.add("disconnect")
        request = sessions.DbDisconnect(name=NAME, mode="abort", wait_s=WAIT_S)
        error = await refused(grid, request, schema.Done)
        assert isinstance(error, OperationError)
        assert "host4.instance1: no room to disconnect" in error.message
        assert states(await status(grid)) == ["Failed", "Disconnected", "Failed"]


async def test_an_open_database_warns(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, _nodes):
        await create(grid)
        await distribute(grid)
        await grid.call(requests.DbOpen(name=NAME, wait_s=WAIT_S))
        lines = await disconnect(grid, "immediate")
        assert lines[0] == "Warning: database database1 is open: its clients may connect again"


async def test_connections_are_listed_by_kind(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await create(grid)
        nodes[0].host.clients = [client(7, "idle"), client(1, "active", PROXY)]
        nodes[1].host.clients = [client(1, "idle", SYSTEM)]

        async def ids(**words: bool) -> list[tuple[str, int]]:
            request = requests.DbStatus(name=NAME, connections=True, **words)
            reply = await grid.call(request, requests.DbStatusReply)
            return [(c.kind, c.id) for c in reply.databases[0].connections]

        assert await ids() == [("client", 7)]
        assert await ids(proxy=True) == [("client", 7), ("proxy", 1)]
        assert await ids(system=True) == [("client", 7), ("system", 1)]
        await nodes[1].stop()
        request = requests.DbStatus(name=NAME, connections=True)
        reply = await grid.call(request, requests.DbStatusReply)
        text = status_text(reply, Arguments({"connections": [""]}, {}))
        assert text.splitlines()[0].startswith("Database database1 connections as of ")
        row = text.splitlines()[4].split()
        assert row[:7] == ["host3", "instance1", "7", "app", "client", "TERRY", "127.0.0.1:5"]
        assert text.splitlines()[-1] == "No answer: host4.instance1"
