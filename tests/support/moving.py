"""Growing and shrinking a grid in memory, and whether every row is where it belongs."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from typing import Any

from msgspec.structs import replace

from data.txn.ownership import OWN_TABLE
from protocol.errors import GridError
from protocol.limits import BUCKET_COUNT
from protocol.messages import moving as m
from protocol.topology import DistributionMap, ElementPlace
from tests.support.memory_grid import DATABASE, MemoryGrid, Node

ANSWER_S = 30.0
AGAIN_S = 0.05


def current_map(grid: MemoryGrid) -> tuple[DistributionMap, int]:
    """The map in membership and its number there."""
    view = _membership(grid).view()
    return DistributionMap.decode(view.maps[DATABASE]), view.map_versions[DATABASE]


def _membership(grid: MemoryGrid) -> Any:
    return next(n.membership for n in grid.nodes if n.instance is not None)


async def change_map(grid: MemoryGrid, change: Any) -> DistributionMap:
    """Replace the map by `change(map)`, as management does."""
    while True:
        current, number = current_map(grid)
        new: DistributionMap = replace(change(current), version=current.version + 1)
        if await _membership(grid).put_map(DATABASE, number, new.encode()):
            return new
        await asyncio.sleep(AGAIN_S)  # the view shows the other's change soon


async def add_set(grid: MemoryGrid, rs: int) -> list[Node]:
    """Start the instances of a new replica set, idle in the map."""
    nodes = []
    for space in range(1, grid.k + 1):
        number = len(grid.nodes) + 1
        node = grid.new_node(number, space)
        nodes.append(node)
        await grid.start_node(node)
        assert node.instance is not None
        await node.instance.keeper.create(node.spec)
    places = tuple(ElementPlace(n.spec.element, n.name, rs, n.spec.data_space) for n in nodes)
    await change_map(
        grid, lambda d: replace(d, elements=(*d.elements, *places), idle=(*d.idle, rs))
    )
    for node in nodes:
        await grid.ready(node)
    return nodes


async def drop_set(grid: MemoryGrid, rs: int) -> None:
    """Take a retired replica set's elements out of the map."""

    def without(d: DistributionMap) -> DistributionMap:
        assert rs in d.idle
        return replace(
            d,
            elements=tuple(e for e in d.elements if e.replica_set != rs),
            idle=tuple(n for n in d.idle if n != rs),
        )

    await change_map(grid, without)


def lead_of(grid: MemoryGrid, rs: int) -> Node | None:
    """The running node that leads a replica set, as membership says."""
    state = _membership(grid).view().sets.get((DATABASE, rs))
    for node in grid.nodes:
        if state is not None and node.spec.element == state.lead and node.instance is not None:
            return node
    return None


async def ask(grid: MemoryGrid, rs: int, message: Any, *, at_most_s: float = 60.0) -> Any:
    """Ask the lead of a replica set until it answers, as an operation of management does."""
    async with asyncio.timeout(at_most_s):
        while True:
            lead = lead_of(grid, rs)
            others = [n for n in grid.nodes if n.instance is not None and n is not lead]
            if lead is not None:
                assert others[0].rpc is not None
                try:
                    return await others[0].rpc.peer(lead.name).call(message, ANSWER_S)
                except GridError as error:
                    if not error.retriable:
                        raise
            await asyncio.sleep(AGAIN_S)  # a pace of the one who asks


async def seed(grid: MemoryGrid, rs: int, by: int = 1) -> m.Seeded:
    """Let a new replica set take part."""
    answer: m.Seeded = await ask(grid, by, m.SeedReplicaSet(DATABASE, rs))
    return answer


async def owned(grid: MemoryGrid, rs: int) -> list[int]:
    """What a replica set says that it owns."""
    while True:
        answer: m.Owned = await ask(grid, rs, m.OwnedBuckets(DATABASE, rs))
        if answer.known:
            return [b for first, last in answer.ranges for b in range(first, last + 1)]
        await asyncio.sleep(AGAIN_S)  # a pace of the one who asks


async def move(
    grid: MemoryGrid, source: int, target: int, buckets: list[int], *, for_ms: int = 1000
) -> int:
    """Move buckets, whatever dies meanwhile; the rows that the answers told of."""
    rows = 0
    left = tuple(buckets)
    while left:
        message = m.MoveBuckets(DATABASE, source, target, left, 0, for_ms)
        moved: m.Moved = await ask(grid, source, message)
        left = moved.left
        rows += moved.rows
    return rows


# -- is every row where it belongs? ---------------------------------------------------------------
def check_rows(grid: MemoryGrid) -> dict[str, int]:
    """Every copy's files, read by code of its own: each row exactly where its bucket is owned.

    Rows by table, each counted once. The grid must be at rest.
    """
    owners: dict[int, list[int]] = defaultdict(list)
    rows: dict[str, dict[int, list[Any]]] = defaultdict(dict)
    distribution, _ = current_map(grid)
    sets = {e.element: e.replica_set for e in distribution.elements if e.replica_set}
    contents: dict[int, Any] = {}
    for node in grid.nodes:
        rs = sets.get(node.spec.element)
        if rs is None or node.instance is None or rs in distribution.idle:
            continue
        found, own = _read(node)
        if rs in contents:
            assert contents[rs] == (found, own), f"copies of replica set {rs} differ"
            continue
        contents[rs] = (found, own)
        for bucket, owner in own.items():
            if bucket >= 0 and owner == rs:
                owners[bucket].append(rs)
        for table, (with_bucket, some) in found.items():
            rows[table][rs] = some
            for row in some if with_bucket else ():
                assert own.get(row[-1]) == rs, f"{table}: {row} is at replica set {rs}"
    assert all(len(owners[b]) == 1 for b in range(BUCKET_COUNT)), "a bucket has not one owner"
    table = distribution.bucket_table()
    assert all(table[b] == owners[b][0] for b in range(BUCKET_COUNT)), "the map is wrong"
    return _totals(rows, contents)


def _totals(rows: dict[str, dict[int, list[Any]]], contents: dict[int, Any]) -> dict[str, int]:
    totals = {}
    for table, by_set in rows.items():
        with_bucket = contents[next(iter(by_set))][0][table][0]
        if with_bucket:
            every = [row for some in by_set.values() for row in some]
            assert len(set(every)) == len(every), f"{table}: a row is there twice"
            totals[table] = len(every)
        else:
            assert set(by_set) == set(contents), f"{table} is not everywhere"
            assert all(s == by_set[min(by_set)] for s in by_set.values()), f"{table} differs"
            totals[table] = len(by_set[min(by_set)])
    return totals


def _read(node: Node) -> tuple[dict[str, tuple[bool, list[Any]]], dict[int, int]]:
    connection = sqlite3.connect(f"file:{node.home}/element/element.db?mode=ro", uri=True)
    try:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        found = {}
        for (name,) in names:
            if name.startswith(("_", "sqlite_")):
                continue
            columns = [c[1] for c in connection.execute(f'PRAGMA table_info("{name}")')]
            rows = sorted(connection.execute(f'SELECT * FROM "{name}"'), key=repr)
            found[name] = (columns[-1] == "_BUCKET", rows)
        own = dict(connection.execute(f"SELECT bucket, owner FROM {OWN_TABLE}").fetchall())
        return found, own
    finally:
        connection.close()
