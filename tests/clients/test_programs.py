"""Every program of docs/clients.md, while the data instance that all are connected to is killed."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients import programs
from tests.clients.programs import Program
from tests.support.real_grid import RealGrid

SHELLS = ("psql", "pgbench", "pgcli")
BY_PROGRAMS = [title for title, missing in programs.DRIVERS.items() if not missing()]


class Story:
    """What became of each program."""

    def __init__(self) -> None:
        self.begun: dict[str, str] = {}  # the line of columns and rows
        self.waited: dict[str, str] = {}  # why it tried again when a row was locked
        self.elements: dict[str, list[int]] = {}  # that took its orders
        self.codes: dict[str, int] = {}
        self.orders: dict[str, list[tuple[int, str | None]]] = {}
        self.sold: dict[str, int] = {}
        self.scripts: dict[str, tuple[int, str]] = {}
        self.killed = 0  # the element


@pytest.fixture(scope="module")
def story(grid: RealGrid, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """All at once: one kill serves all. The grid is whole again afterwards."""
    told = Story()
    try:
        asyncio.run(_tell(grid, told, tmp_path_factory.mktemp("programs")))
        yield told
    finally:
        grid.start_daemon(grid.hosts[0])
        asyncio.run(_whole(grid))


async def _whole(grid: RealGrid) -> None:
    async with grid.observer() as observer:
        await observer.settled()


async def _tell(grid: RealGrid, told: Story, folder: Path) -> None:
    for title in (*BY_PROGRAMS, *SHELLS):
        programs.make_user(grid, title)
    running = [await programs.start(grid, title, folder) for title in BY_PROGRAMS]
    try:
        for one in running:
            told.begun[one.title] = await one.line()
            told.elements[one.title] = [await one.order(4)]
        await _with_locked_rows(grid, told, running)
        with programs.connect(grid, BY_PROGRAMS[0], grid.hosts[0]) as connection:
            found = connection.execute("SELECT elementid# FROM dual").fetchone()
            assert found is not None
            told.killed = found[0]
        grid.kill_instance(grid.hosts[0])
        for one in running:
            one.give(6)
        scripts = asyncio.create_task(_scripts(grid, told, folder))
        for one in running:
            told.elements[one.title].append(one.element(await one.line(), 6))
            told.codes[one.title] = await one.end()
        await scripts
    finally:
        for one in running:
            one.kill()
    for title in (*BY_PROGRAMS, *SHELLS):
        with programs.connect(grid, title) as connection:
            rows = connection.execute("SELECT id, item FROM orders ORDER BY id").fetchall()
            told.orders[title] = [(int(number), item) for number, item in rows]
            sold = connection.execute("SELECT sold FROM stock").fetchone()
            assert sold is not None
            told.sold[title] = int(sold[0])


async def _with_locked_rows(grid: RealGrid, told: Story, running: list[Program]) -> None:
    """An order each while others hold the row that it changes."""
    with ExitStack() as held:
        for one in running:
            holder = held.enter_context(programs.connect(grid, one.title))
            holder.autocommit = False
            holder.execute("SELECT sold FROM stock FOR UPDATE")
            one.give(5)
        for one in running:
            told.waited[one.title] = await one.tries_again()
    for one in running:
        told.elements[one.title].append(one.element(await one.line(), 5))


async def _scripts(grid: RealGrid, told: Story, folder: Path) -> None:
    for title in SHELLS:
        if shutil.which(title) or (Path(sys.executable).parent / title).exists():
            told.scripts[title] = await programs.shell(grid, title, folder)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("title", programs.DRIVERS)
def test_program(story: Story, title: str) -> None:
    """Connection, batch, parameters, metadata; a retriable error; failover; each order once."""
    if missing := programs.DRIVERS[title]():
        pytest.skip(missing)
    begun = "".join(c for c in story.begun[title] if c not in "[]' ")
    assert begun == "id,item,price2,3"
    assert story.waited[title] == "55P03"
    before, waited, after = story.elements[title]
    assert before == waited == story.killed
    assert after != story.killed
    assert story.codes[title] == 0
    ordered = [(1, "book"), (2, "pen"), (3, None), (4, "book"), (5, "book"), (6, "book")]
    assert story.orders[title] == ordered
    assert story.sold[title] == 3  # the batch is not counted there


@pytest.mark.timeout(240)
@pytest.mark.parametrize("title", SHELLS)
def test_script(story: Story, title: str) -> None:
    if title not in story.scripts:
        pytest.skip(f"{title} is not on this machine")
    code, output = story.scripts[title]
    assert code == 0, output
    wanted = {
        "psql": "4,book,9.50",
        "pgbench": "transactions actually processed: 40/40",
        "pgcli": "numeric(10,0)",
    }
    assert wanted[title] in output
