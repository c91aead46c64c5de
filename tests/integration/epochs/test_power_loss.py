"""Loss of power of every copy, Durability=0: back to an epoch, all replica sets together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from data.database import Database
from data.exec.recovery import Recovery
from data.txn.ports import Reply
from protocol.errors import NotServingError
from protocol.messages.admin import INTENT_CREATED, INTENT_LOADED, INTENT_OPEN, ElementReport
from protocol.messages.recovery import Trust
from protocol.messages.txn import CommitSingle
from tests.support.memory_grid import DATABASE, MemoryGrid, Node
from tests.support.power import Power, set_intent

ACCOUNTS = 40
ATTRIBUTES = (("PermSize", "64"), ("EpochInterval", "0"))  # epochs when the test says so


class Plant:
    """A grid and its power."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        attributes: tuple[tuple[str, str], ...] = ATTRIBUTES,
    ) -> None:
        self.power = Power(folder, patch)
        self.grid = MemoryGrid(folder, attributes=attributes)
        self.client: asyncpg.Connection = None

    async def start(self) -> None:
        await self.grid.start()
        self.client = await self.grid.connect()
        text = "CREATE TABLE bank (id NUMBER(10) PRIMARY KEY, money NUMBER(10))"
        await self.client.execute(text)
        rows = ",".join(f"({n}, 100)" for n in range(ACCOUNTS))
        await self.client.execute(f"INSERT INTO bank VALUES {rows}")
        await self.epoch()

    async def epoch(self) -> int:
        return await self.node(0).epochs.create()

    def node(self, at: int) -> Database:
        instance = self.grid.nodes[at].instance
        assert instance is not None
        return instance.database(DATABASE)

    async def cut(self, nodes: list[Node], written: Sequence[Node] = ()) -> None:
        await self.client.close()
        await self.power.cut(self.grid, nodes, written)

    async def ready(self) -> None:
        """All serve again."""
        for node in self.grid.nodes:
            await self.grid.ready(node)
        self.client = await self.grid.connect()

    async def transfer(self, first: int, second: int, amount: int = 1) -> None:
        async with self.client.transaction():
            for account, more in ((first, -amount), (second, amount)):
                text = f"UPDATE bank SET money = money + {more} WHERE id = {account}"
                await self.client.execute(text)

    async def money(self) -> dict[int, int]:
        rows = await self.client.fetch("SELECT id, money FROM bank")
        return {int(row[0]): int(row[1]) for row in rows}

    def check_copies(self) -> None:
        """Every element of a replica set holds the same rows."""
        nodes = self.grid.nodes
        for at in range(0, len(nodes), self.grid.k):
            tables = [self.grid.contents(n, "TERRY.BANK") for n in nodes[at : at + self.grid.k]]
            assert all(rows == tables[0] for rows in tables)
            assert tables[0]


@pytest.fixture
async def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Plant]:
    made = Plant(tmp_path, monkeypatch)
    await made.start()
    yield made
    if not made.client.is_closed():
        await made.client.close()
    await set_intent(made.grid, INTENT_CREATED)  # nobody hands over: that would take its time
    await made.grid.stop()


def lead(plant: Plant, rs: int) -> Database:
    """Of a replica set."""
    found = [plant.node(at) for at in range(4)]
    return next(d for d in found if d.writer.leading and d.writer.rs == rs)


class HeldDecisions:
    """COMMITs that reach an anchor wait from now on, until they are let go."""

    def __init__(self, *databases: Database) -> None:
        self.came = asyncio.Event()
        self._held: list[Callable[[], None]] = []
        for database in databases:
            writer = database.writer
            hold = partial(self._hold, writer.commit_single)
            writer.commit_single = hold  # type: ignore[method-assign]

    def _hold(
        self, commit: Callable[[CommitSingle, Reply], None], message: CommitSingle, reply: Reply
    ) -> None:
        self._held.append(partial(commit, message, reply))
        self.came.set()

    def let_go(self) -> None:
        """Those that came."""
        for commit in self._held:
            commit()


def both_sides(plant: Plant) -> tuple[int, int]:
    """An account of each replica set."""
    lowest = 'SELECT MIN(ID) FROM "TERRY.BANK"'
    return tuple(lead(plant, rs).element.read(lowest)[0][0] for rs in (1, 2))  # type: ignore[return-value]


async def shown(plant: Plant, is_so: Callable[[ElementReport], bool], *at: int) -> None:
    """Until the elements' reports, which dbStatus shows, are so."""
    async with asyncio.timeout(20):
        while True:
            instances = [plant.grid.nodes[n].instance for n in at or range(4)]
            reports = [i.keeper.reports()[0] for i in instances if i is not None]
            if all(map(is_so, reports)):
                return
            await asyncio.sleep(0.02)  # polls what management polls


async def test_all_go_back_to_the_newest_epoch(plant: Plant) -> None:
    first, second = both_sides(plant)
    await plant.transfer(first, second, 10)
    epoch = await plant.epoch()
    for _ in range(20):
        await plant.transfer(first, second)
    await plant.cut(plant.grid.nodes)
    await plant.power.on(plant.grid)
    await plant.ready()
    money = await plant.money()
    assert len(money) == ACCOUNTS
    assert (money[first], money[second]) == (90, 110)
    plant.check_copies()
    for at in range(4):
        assert plant.node(at).epochs.clock.seen > epoch  # no number is given twice
    await plant.transfer(first, second)  # and it goes on
    assert sum((await plant.money()).values()) == 100 * ACCOUNTS
    await plant.epoch()
    await plant.transfer(second, first, 50)
    await plant.cut(plant.grid.nodes)  # once more
    await plant.power.on(plant.grid)
    await plant.ready()
    money = await plant.money()
    assert (money[first], money[second]) == (89, 111)
    plant.check_copies()


async def test_a_lost_set_goes_back_alone(plant: Plant) -> None:
    """Nothing was committed across the sets since: the other one keeps all it has."""
    first, second = both_sides(plant)
    await plant.transfer(first, second)
    await plant.epoch()
    for account in (first, second):
        await plant.client.execute(f"UPDATE bank SET money = money + 1000 WHERE id = {account}")
    await plant.cut(plant.grid.nodes[:2])
    await plant.power.on(plant.grid)
    await plant.ready()
    money = await plant.money()
    assert (money[first], money[second]) == (99, 1101)
    plant.check_copies()
    await plant.transfer(first, second)


async def test_half_a_transaction_is_never_left(plant: Plant) -> None:
    """The other set has it and the lost one has not: an operator lets all of it go."""
    first, second = both_sides(plant)
    await plant.epoch()
    await plant.transfer(first, second, 30)
    await plant.client.execute(f"UPDATE bank SET money = money + 1000 WHERE id = {second}")
    await plant.cut(plant.grid.nodes[:2])
    await plant.power.on(plant.grid)
    await shown(plant, lambda r: r.state == "waiting for seed" and "dbUnload" in r.message, 0)
    await shown(plant, lambda r: r.state == "opened", 2, 3)  # these serve meanwhile
    await set_intent(plant.grid, INTENT_CREATED)  # dbClose, dbUnload
    await shown(plant, lambda r: r.state == "unloaded")
    await set_intent(plant.grid, INTENT_LOADED)  # dbLoad
    await shown(plant, lambda r: r.role in ("lead", "copy"))
    await set_intent(plant.grid, INTENT_OPEN)  # dbOpen
    await plant.ready()
    assert set((await plant.money()).values()) == {100}
    plant.check_copies()
    await plant.transfer(first, second)


async def test_what_some_disks_have_beyond_the_epoch_is_undone(plant: Plant) -> None:
    """One operating system had written everything when the power went, the others nothing."""
    first, second = both_sides(plant)
    await plant.epoch()
    await plant.client.execute("CREATE TABLE later (id NUMBER(10) PRIMARY KEY)")
    for _ in range(10):
        await plant.transfer(first, second)
    await plant.client.execute(f"DELETE FROM bank WHERE id <> {first}")
    await plant.cut(plant.grid.nodes, written=plant.grid.nodes[1:])
    await plant.power.on(plant.grid)
    await plant.ready()
    money = await plant.money()
    assert len(money) == ACCOUNTS
    assert set(money.values()) == {100}
    plant.check_copies()
    with pytest.raises(asyncpg.UndefinedTableError):
        await plant.client.execute("SELECT * FROM later")
    await plant.client.execute("CREATE TABLE later (id NUMBER(10) PRIMARY KEY)")
    await plant.transfer(first, second)


async def test_what_was_in_doubt_is_settled_alike(plant: Plant) -> None:
    """Prepared before the epoch, decided after it: rolled back on both sides."""
    first, second = both_sides(plant)
    decisions = HeldDecisions(lead(plant, 1), lead(plant, 2))
    task = asyncio.create_task(plant.transfer(first, second, 40))
    await decisions.came.wait()  # the other one has prepared
    await plant.epoch()
    decisions.let_go()
    await task
    assert (await plant.money())[first] == 60
    await plant.cut(plant.grid.nodes)
    await plant.power.on(plant.grid)
    await plant.ready()
    await plant.transfer(second, first, 5)  # waits for the locks of what is in doubt
    money = await plant.money()
    assert (money[first], money[second]) == (105, 95)
    plant.check_copies()


async def test_it_is_finished_by_whoever_comes_next(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power goes again between the two steps, and between two elements' turns."""
    first, second = both_sides(plant)
    await plant.epoch()
    for _ in range(5):
        await plant.transfer(first, second)
    await plant.cut(plant.grid.nodes)
    stopped = asyncio.Event()
    real = Recovery.trust

    def only_one_set(self: Recovery, message: Trust, reply: Reply) -> None:
        if self._element.identity.replica_set == 2:
            real(self, message, reply)
        else:
            stopped.set()
            raise NotServingError("not now")

    monkeypatch.setattr(Recovery, "trust", only_one_set)
    await plant.power.on(plant.grid)
    async with asyncio.timeout(20):
        await stopped.wait()
        for at in (2, 3):
            await plant.grid.ready(plant.grid.nodes[at])
    monkeypatch.setattr(Recovery, "trust", real)
    await plant.ready()
    assert set((await plant.money()).values()) == {100}
    plant.check_copies()
    await plant.transfer(first, second)


async def test_with_durability_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durability=1: what was acknowledged is there after a loss of power of all."""
    plant = Plant(tmp_path, monkeypatch, (("PermSize", "64"), ("Durability", "1")))
    plant.power.copy_synced_commits(monkeypatch)
    await plant.start()
    first, second = both_sides(plant)
    for _ in range(10):
        await plant.transfer(first, second)
    await plant.cut(plant.grid.nodes)
    await plant.power.on(plant.grid)
    await plant.ready()
    money = await plant.money()
    assert (money[first], money[second]) == (90, 110)
    plant.check_copies()
    await plant.client.close()
    await plant.grid.stop()


def remove_files(node: Node) -> None:
    """Of its element."""
    for file in Path(node.spec.data_store).glob("element.db*"):
        file.unlink()


async def test_one_disk_does_not_survive_it(plant: Plant) -> None:
    """What the other copy has is enough to go back to the epoch."""
    first, second = both_sides(plant)
    await plant.transfer(first, second, 7)
    await plant.epoch()
    await plant.transfer(first, second)
    await plant.cut(plant.grid.nodes)
    remove_files(plant.grid.nodes[0])
    await plant.power.on(plant.grid)
    await plant.ready()
    money = await plant.money()
    assert (money[first], money[second]) == (93, 107)
    plant.check_copies()
