"""Back to an epoch across large transactions: their row changes are in PART entries of the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from data.txn.parts import PART_CHANGES
from protocol.messages.admin import INTENT_CREATED
from tests.integration.epochs.test_power_loss import HeldDecisions, Plant, both_sides, lead
from tests.support.power import set_intent

ROWS = 12 * PART_CHANGES // 5  # more than PART_CHANGES of them in each replica set


class LargePlant(Plant):
    """With a table of many rows."""

    async def start(self) -> None:
        await super().start()
        async with asyncio.timeout(20):
            while not self.node(3).writer.leading:
                await asyncio.sleep(0.01)  # until the leads are spread, and stay where they are
        await self.client.execute("CREATE TABLE big (id NUMBER(10) PRIMARY KEY, v NUMBER(10))")
        records = [(n, 1) for n in range(ROWS)]
        await self.client.copy_records_to_table("big", records=records)
        await self.epoch()

    async def sums(self) -> tuple[int, int]:
        """How many rows, and the sum of their values."""
        row = await self.client.fetchrow("SELECT COUNT(*), SUM(v) FROM big")
        return int(row[0]), int(row[1])

    def keys(self, at: int) -> list[int]:
        """Of the rows that an element holds."""
        return [int(str(row[0])) for row in self.grid.contents(self.grid.nodes[at], "TERRY.BIG")]

    def open_parts(self) -> list[int]:
        """Of each element: undecided transactions with PARTs."""
        return [len(self.node(at).element.open_parts) for at in range(4)]

    def check_big(self) -> None:
        """Both copies of each replica set are equal, and there are rows in each."""
        self.check_copies()
        for at in (0, 2):
            one, other = (self.grid.contents(n, "TERRY.BIG") for n in self.grid.nodes[at : at + 2])
            assert one == other
            assert len(one) > PART_CHANGES

    async def go_on(self) -> None:
        """Everything works: another large transaction, and no PART is left over."""
        count, total = await self.sums()
        await self.client.execute("UPDATE big SET v = v + 1")
        assert await self.sums() == (count, total + count)
        async with asyncio.timeout(20):
            while any(self.open_parts()):
                await asyncio.sleep(0.01)  # polls: nothing tells when the last one is released
        self.check_big()


@pytest.fixture
async def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LargePlant]:
    made = LargePlant(tmp_path, monkeypatch)
    await made.start()
    yield made
    if not made.client.is_closed():
        await made.client.close()
    await set_intent(made.grid, INTENT_CREATED)
    await made.grid.stop()


async def test_a_large_transaction_is_undone(plant: LargePlant) -> None:
    """Some disks have all of it, some nothing; another one before the epoch stays."""
    await plant.client.execute("UPDATE big SET v = v + 1")
    await plant.epoch()
    async with plant.client.transaction():
        await plant.client.execute("UPDATE big SET v = v + 1000")
        await plant.client.execute("DELETE FROM big WHERE MOD(id, 2) = 0")
        records = [(ROWS + n, 5) for n in range(ROWS)]
        await plant.client.copy_records_to_table("big", records=records)
        await plant.client.execute("UPDATE bank SET money = 0")
    assert await plant.sums() == (ROWS * 3 // 2, ROWS // 2 * 1002 + ROWS * 5)
    await plant.cut(plant.grid.nodes, written=plant.grid.nodes[1:])
    await plant.power.on(plant.grid)
    await plant.ready()
    assert await plant.sums() == (ROWS, 2 * ROWS)
    assert set((await plant.money()).values()) == {100}
    plant.check_big()
    await plant.go_on()


async def test_one_of_one_replica_set_is_undone(plant: LargePlant) -> None:
    """COMMIT with PARTs, no PREPARE; the set that lost nothing keeps what it has."""
    first, second = both_sides(plant)
    mine, others = (plant.keys(at) for at in (0, 2))
    some = [(number,) for number in mine[: PART_CHANGES + 100]]
    async with plant.client.transaction():
        await plant.client.executemany("UPDATE big SET v = v + 1000 WHERE id = $1", some)
        async with asyncio.timeout(20):
            while not all(plant.open_parts()[:2]):
                await asyncio.sleep(0.01)  # until PARTs are on both copies
    await plant.client.execute(f"UPDATE big SET v = v + 10 WHERE id = {others[0]}")
    await plant.client.execute(f"UPDATE bank SET money = money + 10 WHERE id IN ({second})")
    assert await plant.sums() == (ROWS, ROWS + 1000 * len(some) + 10)
    await plant.cut(plant.grid.nodes[:2], written=plant.grid.nodes[:1])
    await plant.power.on(plant.grid)
    await plant.ready()
    assert await plant.sums() == (ROWS, ROWS + 10)
    money = await plant.money()
    assert (money[first], money[second]) == (100, 110)
    plant.check_big()
    await plant.go_on()


async def test_its_parts_are_older_than_the_epoch(plant: LargePlant) -> None:
    """Open at the epoch, committed after it: undone, and its PARTs are given back."""
    transaction = plant.client.transaction()
    await transaction.start()
    await plant.client.execute("UPDATE big SET v = v + 1000")
    async with asyncio.timeout(20):
        while plant.open_parts().count(1) < 4:
            await asyncio.sleep(0.01)  # until PARTs are on all copies
    await plant.epoch()
    await plant.client.execute("UPDATE big SET v = v + 1000")
    await transaction.commit()
    assert await plant.sums() == (ROWS, 2001 * ROWS)
    await plant.cut(plant.grid.nodes, written=plant.grid.nodes[1:3])
    await plant.power.on(plant.grid)
    await plant.ready()
    assert await plant.sums() == (ROWS, ROWS)
    plant.check_big()
    await plant.go_on()


async def test_a_large_one_in_doubt_is_settled_alike(plant: LargePlant) -> None:
    """Prepared with its PARTs before the epoch, decided after it: rolled back on both sides."""
    assert len(both_sides(plant)) == 2
    decisions = HeldDecisions(lead(plant, 1), lead(plant, 2))
    task = asyncio.create_task(plant.client.execute("UPDATE big SET v = v + 1000"))
    await decisions.came.wait()  # the other one has prepared
    await plant.epoch()
    decisions.let_go()
    await task
    assert await plant.sums() == (ROWS, 1001 * ROWS)
    await plant.cut(plant.grid.nodes, written=plant.grid.nodes[1:2])
    await plant.power.on(plant.grid)
    await plant.ready()
    await plant.client.execute(
        "UPDATE big SET v = v + 1"
    )  # waits for the locks of what is in doubt
    assert await plant.sums() == (ROWS, 2 * ROWS)
    await plant.go_on()
