"""The database commands against pretended data instances: real API, operations, RPC, keepers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mgmt.api import schema
from mgmt.api import schema_databases as requests
from mgmt.service import databases
from protocol.errors import DeadlineError, GridError, ModelError, UnknownDatabaseError
from protocol.messages.admin import ElementSpec
from protocol.topology import DistributionMap
from tests.support.data_nodes import DataNode, add_node, data_nodes, refused
from tests.support.management import ManagedGrid, managed_grid, no_start

WAIT_S = 20
NAME = "database1"


@asynccontextmanager
async def grid_of(
    folder: Path, *groups: int, store: str = "!!INSTANCE_NAME!!", more: str = ""
) -> AsyncIterator[tuple[ManagedGrid, list[DataNode]]]:
    """A grid with pretended data instances and the definition of database1 in force."""
    async with managed_grid(folder) as grid:
        text = f"DataStore={folder}/db/{store}/d\nDatabaseCharacterSet=AL32UTF8\n{more}"
        await grid.call(schema.DbdefCreate(name=NAME, text=text))
        async with data_nodes(grid, groups) as nodes:
            yield grid, nodes


async def create(grid: ManagedGrid, wait_s: int | None = WAIT_S) -> list[str]:
    events: list[str] = []
    await grid.call(requests.DbCreate(name=NAME, wait_s=wait_s), events=events)
    return events


async def distribute(grid: ManagedGrid) -> tuple[str, ...]:
    request = requests.DbDistribute(name=NAME, add=("all",), apply=True)
    reply = await grid.call(request, requests.DbDistributeReply)
    assert isinstance(reply, requests.DbDistributeReply)
    return reply.messages


async def status(grid: ManagedGrid) -> requests.DatabaseStatus:
    reply = await grid.call(requests.DbStatus(name=NAME), requests.DbStatusReply)
    assert isinstance(reply, requests.DbStatusReply)
    return reply.databases[0]


async def words(grid: ManagedGrid) -> str:
    return ",".join((await status(grid)).overall.summary)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in another task; the time-out of the test ends it."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.02)  # there is no event to wait for across the two sides


async def test_the_whole_life_of_a_database(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2, 1, 2) as (grid, nodes):
        events = await create(grid)
        assert events[0] == "line Database database1 creation started"
        assert await words(grid) == "created,loaded,closed"

        no_map = await refused(grid, requests.DbOpen(name=NAME), schema.Done)
        assert isinstance(no_map, ModelError)
        assert "distribution map" in no_map.message
        without_apply = requests.DbDistribute(name=NAME, add=("all",))
        error = await refused(grid, without_apply, requests.DbDistributeReply)
        assert "-apply" in error.message

        assert await distribute(grid) == ("Distribution map updated",)
        value = DistributionMap.decode(grid.ensemble.facts.maps[NAME][1])
        assert value.version == 1
        assert [e.replica_set for e in value.elements] == [1, 1, 2, 2]

        await grid.call(requests.DbOpen(name=NAME, wait_s=WAIT_S))
        assert await words(grid) == "created,loaded-complete,open"
        twice = await refused(grid, requests.DbOpen(name=NAME), schema.Done)
        assert "open already" in twice.message
        assert all(node.host.opened == {NAME} for node in nodes)

        still_open = await refused(grid, requests.DbUnload(name=NAME), schema.Done)
        assert "Close it first" in still_open.hint
        await grid.call(requests.DbClose(name=NAME, wait_s=WAIT_S))
        assert await words(grid) == "created,loaded-complete,closed"
        loaded = await refused(grid, requests.DbDestroy(name=NAME), schema.Done)
        assert "loaded" in loaded.message
        await grid.call(requests.DbUnload(name=NAME, wait_s=WAIT_S))
        assert await words(grid) == "created,unloaded,closed"
        held = await refused(grid, schema.DbdefDelete(name=NAME), schema.Done)
        assert "exists" in held.message
        await grid.call(requests.DbDestroy(name=NAME, wait_s=WAIT_S))
        gone = await refused(grid, requests.DbStatus(name=NAME), requests.DbStatusReply)
        assert isinstance(gone, UnknownDatabaseError)
        assert all(not node.host.files for node in nodes)
        assert NAME not in grid.ensemble.facts.maps
        await grid.call(schema.DbdefDelete(name=NAME))


async def test_a_database_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, _nodes):
        await create(grid)
        first = (await status(grid)).db_guid
        await grid.call(requests.DbUnload(name=NAME, wait_s=WAIT_S))
        await grid.call(requests.DbDestroy(name=NAME, wait_s=WAIT_S))
        await create(grid)
        assert (await status(grid)).db_guid != first
        assert await words(grid) == "created,loaded,closed"


async def test_commands_return_at_once_and_waiting_ends_in_time(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await nodes[1].stop()
        late = await refused(grid, requests.DbCreate(name=NAME, wait_s=1), schema.Done)
        assert isinstance(late, DeadlineError)
        assert await words(grid) == "creating-partial,loading-partial,closed"
        shown = (await status(grid)).instances[1].elements[0]
        assert (shown.state, shown.last_change_start) == ("down", 0)
        await nodes[1].start()
        await until(lambda: nodes[1].states() == ["loaded"])  # created and loaded when it came
        assert await words(grid) == "created,loaded,closed"


async def test_an_instance_that_comes_between_two_steps_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its element is not made with the others, and then it is there to be told to load it."""
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await nodes[1].stop()
        make = nodes[0].host.create

        async def create_while_the_other_comes(spec: ElementSpec) -> None:
            await nodes[1].start()
            await make(spec)

        monkeypatch.setattr(nodes[0].host, "create", create_while_the_other_comes)
        await create(grid)
        assert await words(grid) == "created,loaded,closed"


async def test_waiting_without_a_number_does_not_wait_for_what_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "DOWN_PATIENCE_S", 0.5)
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await nodes[1].stop()
        down = await refused(grid, requests.DbCreate(name=NAME, wait_s=0), schema.Done)
        assert isinstance(down, DeadlineError)
        assert "host4.instance1 of database database1 did not come up within 0.5 s" in down.message
        assert nodes[0].states() == ["loaded"]
        await nodes[1].start()
        await until(lambda: nodes[1].states() == ["loaded"])


async def test_a_restarted_instance_rejoins_without_management(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await create(grid)
        await distribute(grid)
        await grid.call(requests.DbOpen(name=NAME, wait_s=WAIT_S))
        await nodes[1].stop()
        assert nodes[1].host.loaded == {}
        assert await words(grid) == "created,loaded-functional,open"
        await grid.stop()
        await nodes[1].start()
        await until(lambda: nodes[1].states() == ["opened"])
        await grid.start()


async def test_an_instance_that_was_away_follows_what_happened_meanwhile(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await create(grid)
        await distribute(grid)
        await nodes[0].stop()
        await grid.call(requests.DbOpen(name=NAME))
        await until(lambda: nodes[1].states() == ["opened"])
        await nodes[0].start()
        await until(lambda: nodes[0].states() == ["opened"])
        assert await words(grid) == "created,loaded-complete,open"


async def test_an_instance_away_at_destroy_loses_its_element_when_it_comes_back(
    tmp_path: Path,
) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await create(grid)
        await grid.call(requests.DbUnload(name=NAME, wait_s=WAIT_S))
        await nodes[1].stop()
        await grid.call(requests.DbDestroy(name=NAME))
        await until(lambda: not nodes[0].host.files)
        assert (await status(grid)).delete_pending
        await nodes[1].start()
        await until(lambda: NAME not in grid.ensemble.facts.maps)
        assert not nodes[1].host.files


async def test_a_failed_element_is_named_and_the_command_can_be_repeated(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        await create(grid)
        await distribute(grid)
        nodes[1].host.broken.add("open")
        failed = await refused(grid, requests.DbOpen(name=NAME, wait_s=WAIT_S), schema.Done)
        assert "host4.instance1: no room to open" in failed.message
        element = (await status(grid)).instances[1].elements[0]
        assert (element.state, element.message) == ("open failed", "no room to open")
        nodes[1].host.broken.clear()
        await grid.call(requests.DbOpen(name=NAME, wait_s=WAIT_S))
        assert await words(grid) == "created,loaded-complete,open"


@pytest.mark.parametrize("durability", [0, 1])
async def test_unloading_what_may_lose_commits_wants_force(tmp_path: Path, durability: int) -> None:
    async with grid_of(tmp_path, 1, 2, more=f"Durability={durability}\n") as (grid, nodes):
        await create(grid)
        await distribute(grid)
        for node in nodes:
            await node.stop()
        if not durability:
            unsafe = await refused(grid, requests.DbUnload(name=NAME), schema.Done)
            assert "no element of replica set 1 is loaded" in unsafe.message
            assert "-force" in unsafe.hint
        await grid.call(requests.DbUnload(name=NAME, force=not durability))
        for node in nodes:
            await node.start()
            await until(lambda node=node: node.states() == ["unloaded"])  # type: ignore[misc]
        assert await words(grid) == "created,unloaded,closed"
        await grid.call(requests.DbLoad(name=NAME, wait_s=WAIT_S))
        assert await words(grid) == "created,loaded-complete,closed"


async def test_one_element_is_made_again_after_its_failure(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        nodes[1].host.broken.add("create")
        failed = await refused(grid, requests.DbCreate(name=NAME, wait_s=WAIT_S), schema.Done)
        assert "host4.instance1: no room to create" in failed.message
        assert (await words(grid)).startswith("create-failed-partial,")
        nodes[1].host.broken.clear()
        repair = requests.DbCreate(name=NAME, instance="host4", wait_s=WAIT_S)
        await grid.call(repair)
        await until(lambda: nodes[1].states() == ["loaded"])
        strange = requests.DbCreate(name=NAME, instance="host9", wait_s=WAIT_S)
        error = await refused(grid, strange, schema.Done)
        assert "no element at host9" in error.message


async def test_a_changed_definition_is_taken_at_the_next_load(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2, more="PermSize=32\nLogBufMB=64\n") as (grid, nodes):
        await create(grid)

        def text(perm_size: int, store: str = "!!INSTANCE_NAME!!") -> str:
            return (
                f"DataStore={tmp_path}/db/{store}/d\nDatabaseCharacterSet=AL32UTF8\n"
                f"PermSize={perm_size}\nLogBufMB=64\n"
            )

        moved = schema.DbdefModify(name=NAME, text=text(64, "elsewhere"))
        fixed = await refused(grid, moved, schema.Done)
        assert "Data store attributes are fixed" in fixed.hint
        unknown = schema.DbdefModify(name=NAME, text=text(64) + "PermsSize=1\n")
        assert "PermsSize" in (await refused(grid, unknown, schema.Done)).message
        reply = await grid.call(schema.DbdefModify(name=NAME, text=text(64)))
        assert reply.messages == (
            "Database Definition database1 modified.",
            "Warning: database definition database1: LogBufMB has no meaning here",
        )
        assert ("PermSize", "32") in nodes[0].host.loaded[NAME].attributes
        await grid.call(no_start())
        await grid.call(requests.DbUnload(name=NAME, wait_s=WAIT_S))
        await grid.call(requests.DbLoad(name=NAME, wait_s=WAIT_S))
        for node in nodes:
            assert ("PermSize", "64") in node.host.loaded[NAME].attributes

        # who is away while it is told loads by it as well, at once
        await grid.call(schema.DbdefModify(name=NAME, text=text(96)))
        await grid.call(no_start())
        await grid.call(requests.DbUnload(name=NAME, wait_s=WAIT_S))
        await nodes[1].stop()
        await grid.call(requests.DbLoad(name=NAME))
        await until(lambda: nodes[0].states() == ["loaded"])
        await nodes[1].start()
        await until(lambda: nodes[1].states() == ["loaded"])
        assert nodes[1].host.log.count(f"load {NAME}") == 3, "once in each life of the database"
        assert ("PermSize", "96") in nodes[1].host.loaded[NAME].attributes


async def test_several_databases_live_their_own_lives(tmp_path: Path) -> None:
    """Each has its own map, attributes and states; one of them goes, the others stay."""
    async with grid_of(tmp_path, 1, 2, 1, 2) as (grid, nodes):
        for name, perm_size in (("sales", 16), ("stock", 8)):
            text = (
                f"DataStore={tmp_path}/{name}/!!INSTANCE_NAME!!\nDatabaseCharacterSet=UTF8\n"
                f"PermSize={perm_size}\n"
            )
            await grid.call(schema.DbdefCreate(name=name, text=text))
        await grid.call(no_start())
        created = [requests.DbCreate(name=name, wait_s=WAIT_S) for name in ("sales", "stock")]
        await asyncio.gather(*map(grid.call, created))
        for name, add in (("sales", ("all",)), ("stock", ("host3", "host4"))):
            request = requests.DbDistribute(name=name, add=add, apply=True)
            await grid.call(request, requests.DbDistributeReply)
        await grid.call(requests.DbOpen(name="stock", wait_s=WAIT_S))
        maps = {n: DistributionMap.decode(v[1]) for n, v in grid.ensemble.facts.maps.items()}
        assert {n: len({e.replica_set for e in m.elements} - {0}) for n, m in maps.items()} == {
            "sales": 2,
            "stock": 1,
        }
        for node in nodes:
            sizes = {n: dict(s.attributes)["PermSize"] for n, s in node.host.loaded.items()}
            assert sizes == {"sales": "16", "stock": "8"}
        reply = await grid.call(requests.DbStatus(), requests.DbStatusReply)
        assert {d.name: ",".join(d.overall.summary) for d in reply.databases} == {
            "sales": "created,loaded-complete,closed",
            "stock": "created,loaded-complete,open",
        }
        await grid.call(requests.DbUnload(name="sales", wait_s=WAIT_S))
        await grid.call(requests.DbDestroy(name="sales", wait_s=WAIT_S))
        listed = await grid.call(requests.DbList(), requests.DbListReply)
        assert [(d.name, d.loaded, d.opened) for d in listed.databases] == [("stock", True, True)]
        assert all(set(node.host.files) == {"stock"} for node in nodes)


async def test_two_elements_in_one_folder_are_refused(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2, store="all") as (grid, nodes):
        error = await refused(grid, requests.DbCreate(name=NAME), schema.Done)
        assert "host4.instance1 and host3.instance1 would both keep an element" in error.message
        assert "!!INSTANCE_NAME!!" in error.hint
        assert nodes[0].host.log == []


async def test_what_makes_no_sense_is_refused_with_a_way_on(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, _):
        for request in (requests.DbOpen(name="nosuch"), requests.DbDestroy(name="nosuch")):
            error = await refused(grid, request, schema.Done)
            assert "ttGridAdmin dbList shows the databases" in error.hint
        await create(grid)
        exported = await grid.call(schema.ModelExport(), schema.TextFile)
        moved = schema.ModelImport(text=exported.text.replace(f"{tmp_path}/db/", "/elsewhere/"))
        error = await refused(grid, moved, schema.TextFile)
        assert error.message == f"database {NAME} exists"
        unthinkable = requests.DbDistribute(name=NAME, add=("all",), apply=True, rows_per_s=-3)
        error = await refused(grid, unthinkable, requests.DbDistributeReply)
        assert "-throttle -3" in error.message


async def test_attributes_without_meaning_warn_and_unknown_ones_are_refused(
    tmp_path: Path,
) -> None:
    async with grid_of(tmp_path, 1, 2, more="LogBufMB=64\nPermSize=64\n") as (grid, nodes):
        events = await create(grid)
        assert (
            events[0] == "line Warning: database definition database1: LogBufMB has no meaning here"
        )
        assert ("PermSize", "64") in nodes[0].host.loaded[NAME].attributes
        text = f"DataStore={tmp_path}/x\nDatabaseCharacterSet=UTF8\nPermsSize=1\n"
        wrong = await refused(grid, schema.DbdefCreate(name="d2", text=text), schema.Done)
        assert "PermsSize" in wrong.message


async def test_pending_additions_are_listed_and_dropped(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2, 1, 2) as (grid, _nodes):
        await create(grid)

        async def run(**options: object) -> requests.DbDistributeReply:
            request = requests.DbDistribute(name=NAME, **options)  # type: ignore[arg-type]
            reply = await grid.call(request, requests.DbDistributeReply)
            assert isinstance(reply, requests.DbDistributeReply)
            return reply

        assert (await run(add=("host3",))).messages == ("Element host3.instance1 is added",)
        listed = await run(list=True)
        assert [row.change for row in listed.elements] == ["Add", "", "", ""]
        uneven = requests.DbDistribute(name=NAME, apply=True)
        error = await refused(grid, uneven, requests.DbDistributeReply)
        assert "group 1: 1, group 2: 0" in error.message
        await run(reset=True)
        assert [row.change for row in (await run(list=True)).elements] == [""] * 4
        await run(add=("host3", "host4.instance1"))
        assert (await run(apply=True)).map_version == 1
        assert [row.replica_set for row in (await run(list=True)).elements] == [1, 1, 0, 0]
        in_map = schema.InstanceDelete(address="host3.instance1")
        held = await refused(grid, in_map, schema.Done)
        assert "distribution map" in held.message


async def test_a_new_instance_gets_its_element_outside_the_map(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, _nodes):
        await create(grid)
        await distribute(grid)
        late = await add_node(grid, 5, 1)
        await grid.call(no_start())
        await late.start()
        try:
            await until(lambda: late.states() == ["loaded"])
            now = await status(grid)
            assert now.overall.summary == ("created", "loaded-complete", "closed")
            assert [i.elements[0].sync_replica_set for i in now.instances] == [1, 1, 0]
        finally:
            await late.stop()


async def test_one_command_at_a_time_on_a_database(tmp_path: Path) -> None:
    async with grid_of(tmp_path, 1, 2) as (grid, nodes):
        gate = asyncio.Event()
        make = nodes[0].host.create

        async def slow(spec: object) -> None:
            await gate.wait()
            await make(spec)  # type: ignore[arg-type]

        nodes[0].host.create = slow  # type: ignore[method-assign, assignment]
        await create(grid, wait_s=None)
        errors: list[GridError] = [
            await refused(grid, requests.DbUnload(name=NAME), schema.Done),
            await refused(
                grid,
                requests.DbDistribute(name=NAME, reset=True),
                requests.DbDistributeReply,
            ),
        ]
        gate.set()
        assert all("still running" in error.message for error in errors)
        await until(lambda: nodes[0].states() == ["loaded"])
