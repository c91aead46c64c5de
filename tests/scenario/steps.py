"""The steps of the scenario, in their order. Each raises AssertionError or OperationError."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from deploy.netns import hosts
from deploy.netns.grid import addresses_of
from deploy.netns.plan import CS_PORT, DATABASE, GROUPS, SHARED, host_name
from deploy.sample import again
from deploy.sample.load import Address
from protocol.errors import OperationError
from tests.scenario.load import Running
from tests.scenario.netns_grid import NetnsGrid

WHOLE_S = 180.0
NEW_SET = {9: 3, 10: 4, 11: 5}  # new host: the one it is like
REPLACED, REPLACEMENT = 6, 12
REPOSITORY, BACKUP = "repo1", "b1"


async def create(grid: NetnsGrid) -> None:
    """T01 to T08, with the documented lines."""
    await asyncio.to_thread(grid.start_membership)
    await asyncio.to_thread(grid.create)
    if grid.standby:
        lines = await asyncio.to_thread(grid.add_standby)
        assert lines[:1] == ["Host host2 created in Model"], lines
    lines = await asyncio.to_thread(grid.add_data_hosts, GROUPS)
    assert lines[:3] == [
        "Host host3 created in Model",
        "Installation installation1 on Host host3 created in Model",
        "Instance instance1 on Host host3 created in Model",
    ], lines
    text = await asyncio.to_thread(grid.apply)
    assert text.endswith("ttGridAdmin modelApply complete\n"), text
    for title in ("Creating new installations", "Creating new instances"):
        assert f"{title}.." in text, text


async def database(grid: NetnsGrid) -> None:
    """T09 to T12, and the user."""
    await asyncio.to_thread(grid.make_database)
    grid.hosts = list(GROUPS)
    status = await asyncio.to_thread(grid.admin, "dbStatus", DATABASE)
    for line in (
        "created,loaded-complete,open",
        "Completely created elements: 6 (of 6)",
        "Completely loaded replica sets: 2 (of 2)",
        "Open elements: 6 (of 6)",
    ):
        assert line in status, status
    await asyncio.to_thread(grid.create_user)
    first = Address(grid.addresses()[0], CS_PORT)
    await asyncio.to_thread(again.schema, first, grid.login)


async def lose(grid: NetnsGrid, load: Running) -> None:
    """Two of three copies of each set go without a warning; the third serves."""
    gone = [4, 5, 7, 8]
    for number in gone:
        await asyncio.to_thread(hosts.power_off, grid.lab, host_name(number))
    await load.works()
    await _bring_back(grid, gone)
    await whole(grid)


async def failover(grid: NetnsGrid, load: Running) -> None:
    """The host of the active management instance loses power; the standby takes over by itself."""
    await asyncio.to_thread(hosts.power_off, grid.lab, "host1")
    grid.active = "host2"
    await _answers(grid)
    await load.works()
    await asyncio.to_thread(lambda: hosts.start_host(grid.lab, "host1", with_software=True))
    await asyncio.to_thread(grid.start_daemon, 1)
    await whole(grid)


async def grow(grid: NetnsGrid, load: Running) -> None:
    """T24."""
    for new, like in NEW_SET.items():
        await add_host(grid, new, f"host{like}")
    await asyncio.to_thread(grid.apply)
    words = [w for new in NEW_SET for w in ("-add", f"host{new}")]
    only_two = await _refused(grid, "dbDistribute", DATABASE, *words[:4], "-apply")
    assert "NOT_SUPPORTED" not in only_two, only_two
    await asyncio.to_thread(grid.admin, "dbDistribute", DATABASE, "-reset")
    await asyncio.to_thread(grid.admin, "dbDistribute", DATABASE, *words)
    await asyncio.to_thread(grid.admin, "dbDistribute", DATABASE, "-apply")
    grid.hosts += list(NEW_SET)
    await load.works()
    await whole(grid)


async def replace(grid: NetnsGrid, load: Running) -> None:
    """T25."""
    await add_host(grid, REPLACEMENT, f"host{REPLACED}")
    await asyncio.to_thread(grid.apply)
    old, new = f"host{REPLACED}.instance1", f"host{REPLACEMENT}.instance1"
    words = ("-remove", old, "-replaceWith", new, "-apply")
    await asyncio.to_thread(grid.admin, "dbDistribute", DATABASE, *words)
    grid.hosts[grid.hosts.index(REPLACED)] = REPLACEMENT
    await load.works()
    text = await asyncio.to_thread(grid.admin, "hostDelete", f"host{REPLACED}", "-cascade")
    assert text.splitlines()[-1] == f"Host host{REPLACED} deleted from Model", text
    await asyncio.to_thread(grid.apply)
    await whole(grid)


async def backup(grid: NetnsGrid, load: Running) -> None:
    """T43, T44: one instant of the database, while clients write."""
    words = ("repositoryCreate", REPOSITORY, "-path", SHARED, "-method", "mount")
    text = await asyncio.to_thread(grid.admin, *words)
    assert text == f"Repository {REPOSITORY} created\n", text
    await load.works()
    began_s = time.monotonic()
    words = ("dbBackup", DATABASE, "-repository", REPOSITORY, "-name", BACKUP, "-compress")
    await asyncio.to_thread(grid.admin, *words, "-wait")
    load.backup_s = (began_s, time.monotonic())
    await load.works()


Step = Callable[[NetnsGrid, Running], Awaitable[None]]
UNDER_LOAD: dict[str, Step] = {
    "lose": lose,
    "failover": failover,
    "grow": grow,
    "replace": replace,
    "backup": backup,
}


# -- help -----------------------------------------------------------------------------------------
async def add_host(grid: NetnsGrid, number: int, like: str) -> None:
    """Power, and hostCreate -like -cascade."""
    name = host_name(number)
    if number not in grid.lab.hosts:
        await asyncio.to_thread(grid.add_machine, number)
    words = ("hostCreate", *addresses_of(number), "-like", like, "-cascade")
    lines = (await asyncio.to_thread(grid.admin, *words)).splitlines()
    assert lines[0] == f"Host {name} created in Model", lines
    assert len(lines) == 3, lines


async def whole(grid: NetnsGrid) -> None:
    """Wait until every element is open and every set complete."""
    async with asyncio.timeout(WHOLE_S):
        while True:
            text = await asyncio.to_thread(grid.admin, "dbStatus", DATABASE, "-o", "json")
            summary = json.loads(text)["databases"][0]["overall"]["summary"]
            if summary == ["created", "loaded-complete", "open"]:
                return
            await asyncio.sleep(1.0)  # asked over the command line, as an operator would


async def _bring_back(grid: NetnsGrid, numbers: list[int]) -> None:
    for number in numbers:
        await asyncio.to_thread(hosts.start_host, grid.lab, host_name(number))
        await asyncio.to_thread(grid.start_daemon, number)


async def _refused(grid: NetnsGrid, *words: str) -> str:
    """Why; fails if it is not."""
    try:
        await asyncio.to_thread(grid.admin, *words)
    except OperationError as error:
        return error.message
    raise AssertionError(f"{' '.join(words)} was not refused")


async def _answers(grid: NetnsGrid) -> None:
    """Until the management instance that should be active is."""
    async with asyncio.timeout(WHOLE_S):
        while True:
            try:
                await asyncio.to_thread(grid.admin, "hostList")
                return
            except OperationError:
                await asyncio.sleep(1.0)  # asked over the command line, as an operator would
