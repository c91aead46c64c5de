"""Moves buckets of the replica set that this element leads to another one, group by group.

Each group is one ordinary transaction over two replica sets: its commit is the only moment of
change, and whatever dies, two-phase commit ends it. See DESIGN.md.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from data.catalog.element_ddl import BUCKET, quoted
from data.exec.coordination import Coordination
from data.moving.groups import next_group
from data.moving.pace import Pace
from data.moving.publisher import Publisher
from data.storage.element import Element
from data.txn.facts import FactsCache
from data.txn.lead import LeadWriter
from data.txn.locks import Mode
from data.txn.manager import Transaction
from data.txn.move_steps import tables_with_buckets
from data.txn.ownership import OWN_TABLE, VERSION_ROW
from data.txn.ports import Reply
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    DeadlockError,
    ElementStateError,
    GridError,
    LockTimeoutError,
    NotLeadError,
    StaleMapError,
    StaleSchemaError,
    TransientError,
    WorkspaceLostError,
)
from protocol.limits import BUCKET_COUNT, MIB
from protocol.messages.moving import MoveBuckets, Moved, Planned
from protocol.messages.sql import (
    LockTable,
    PutIn,
    SelectRows,
    SetOwners,
    Step,
    TakeBuckets,
    TakeOut,
)
from protocol.messages.txn import Acknowledged
from protocol.sqltypes import StorageRow

log = structlog.get_logger(__name__)

GATE_WAIT_MS = 400  # writers of the group wait as long; then they go on, and the mover tries again
REST_S = 0.3  # before that
ROWS_PER_STEP = 250
BYTES_PER_STEP = MIB
COUNTS_S = 60.0  # how long counted rows are good enough to form groups
FILE_BYTES = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
FILLED = f"SELECT owner FROM {OWN_TABLE} WHERE bucket = {VERSION_ROW}"
IDLE_S = 30.0  # after the last move the indexes for it go

_AGAIN = (StaleMapError, StaleSchemaError, TransientError, WorkspaceLostError)
_IN_THE_WAY = (LockTimeoutError, DeadlockError)


@dataclass(slots=True)
class _Done:
    """What one call has moved."""

    left: list[int]
    rows: int = 0
    bytes: int = 0
    map_version: int = 0
    waits: str = ""


@dataclass(slots=True)
class _Counts:
    """Rows by bucket, counted a while ago."""

    rows: dict[int, int] = field(default_factory=dict)
    bytes_per_row: int = 0
    counted_s: float = float("-inf")


class Mover:
    """Of one element; one move at a time."""

    def __init__(
        self, space: Coordination, element: Element, writer: LeadWriter, publisher: Publisher
    ) -> None:
        self._space = space
        self._element = element
        self._writer = writer
        self._publisher = publisher
        self._counts = _Counts()
        self._busy = asyncio.Lock()
        self._used_s = float("-inf")
        self._sure: set[tuple[int, int]] = set()  # terms and targets
        self._indexed = 0  # the term in which the indexes were made
        self._pace = Pace()

    # -- how much there is -------------------------------------------------------------------------
    async def plan(self, buckets: Sequence[int]) -> Planned:
        """Count the rows of buckets, those that are owned here."""
        self._check_lead()
        await self._count()
        own = self._writer.ownership
        rows = self._counts.rows
        counted = tuple((b, rows.get(b, 0)) for b in buckets if own.owned[b])
        return Planned(counted, self._counts.bytes_per_row)

    async def _count(self) -> None:
        counts: dict[int, int] = defaultdict(int)
        element = self._element
        for name in tables_with_buckets(FactsCache(element.catalog)):
            text = f"SELECT {quoted(BUCKET)}, COUNT(*) FROM {quoted(name)} GROUP BY 1"
            scan = await element.scan(text)
            try:
                while not scan.ended:
                    for bucket, count in await scan.fetch(1000):
                        counts[int(bucket or 0)] += int(count or 0)
            finally:
                await scan.close()
        total = sum(counts.values())
        size = element.read(FILE_BYTES)[0][0]
        self._counts = _Counts(dict(counts), int(size or 0) // max(1, total), boottime_s())

    # -- moving ------------------------------------------------------------------------------------
    async def move(self, message: MoveBuckets) -> Moved:
        """Move as many of the buckets as fit into the time. Raises GridError if nothing can."""
        if trace.steps.listener is not None:
            trace.step("data/moving/mover.py", message)
        self._check_lead()
        space = self._space
        if message.target not in space.router.replica_sets or message.target == message.source:
            raise ElementStateError(
                f"replica set {message.target} of {space.name} takes no part in statements",
                hint="SeedReplicaSet comes first.",
            )
        until_s = boottime_s() + message.for_ms / 1000
        async with self._busy:
            self._used_s = boottime_s()
            try:
                return await self._move(message, until_s)
            finally:
                self._used_s = boottime_s()

    async def _move(self, message: MoveBuckets, until_s: float) -> Moved:
        await self._publisher.first()
        await self._make_sure(message.target)
        await self._prepare()
        done = _Done([], map_version=await self._publisher.publish())
        own = self._writer.ownership
        done.left = [b for b in message.buckets if own.owned[b]]
        pace = self._pace
        while done.left:
            now_s = boottime_s()
            begin_s = pace.next_s(message.rows_per_s)
            if begin_s > now_s:
                await asyncio.sleep(min(begin_s, until_s) - now_s)
                if begin_s >= until_s:
                    break
                self._check_lead()
            owned = self._writer.ownership.owned.count(1) / BUCKET_COUNT
            pace.begins(boottime_s(), self._work(), owned)
            group = next_group(done.left, self._counts.rows)
            rows_before = done.rows
            try:
                await self._move_group(group, message, done)
            except _IN_THE_WAY as error:
                done.waits = f"{error.message} {error.detail}".strip()
                done.left = done.left[len(group) :] + done.left[: len(group)]  # others first
                if boottime_s() + REST_S >= until_s:
                    break
                await asyncio.sleep(REST_S)  # let those pass who waited for us
                continue
            except _AGAIN as error:
                done.waits = error.message
                await space_change(self._space)
            else:
                done.waits = ""
                pace.ended(boottime_s(), self._work(), done.rows - rows_before)
            own = self._writer.ownership
            done.left = [b for b in done.left if own.owned[b]]
            if boottime_s() >= until_s:
                break
            self._check_lead()
        return Moved(tuple(done.left), done.rows, done.bytes, done.map_version, done.waits)

    def _work(self) -> int:
        """What clients got done here: the writes of all, the statements of those connected here."""
        kinds = self._space.meters.kinds.values()
        return self._element.tail.lsn + sum(histogram.count for histogram in kinds)

    async def _make_sure(self, target: int) -> None:
        """No loss of power goes back to before the ownership tables were filled.

        The first map says how they were, and it is not there any more once buckets have moved.
        """
        name = (self._writer.term, target)
        if name in self._sure:
            return
        manager = self._space.manager
        txn = manager.begin(GATE_WAIT_MS)
        try:
            filled = await self._run(txn, target, SelectRows(FILLED, ()))
        finally:
            await manager.finish(manager.roll_back(txn))
        if not filled or not self._writer.ownership.known:
            raise TransientError(
                f"replica set {target} does not know yet what it owns",
                hint="Ask again in a moment.",
            )
        await self._space.make_epoch()
        self._sure.add(name)

    async def _prepare(self) -> None:
        """Before the first group: how many rows there are, and a way to find them."""
        if boottime_s() - self._counts.counted_s > COUNTS_S:
            await self._count()
        if self._indexed != self._writer.term:
            await self._on_lead(self._writer.index_buckets)
            self._indexed = self._writer.term

    async def _on_lead(self, work: Callable[[Reply], None]) -> None:
        future: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        work(_Waiting(future))
        await future

    async def _move_group(self, group: tuple[int, ...], message: MoveBuckets, done: _Done) -> None:
        manager = self._space.manager
        txn = manager.begin(GATE_WAIT_MS)
        try:
            rows, size, version = await self._fill(txn, group, message.source, message.target)
        except BaseException:
            await manager.finish(manager.roll_back(txn))
            raise
        await manager.finish(manager.commit(txn))
        done.rows += rows
        done.bytes += size
        done.map_version = await self._publisher.publish({message.target: version})

    async def _fill(
        self, txn: Transaction, group: tuple[int, ...], source: int, target: int
    ) -> tuple[int, int, int]:
        """Everything but the commit; rows, bytes and the target's new version."""
        no_ddl = LockTable(0, int(Mode.SHARED))
        take = TakeOut(group, ROWS_PER_STEP, BYTES_PER_STEP)
        away: list[StorageRow] = [(bucket, target) for bucket in group]
        if target < source:  # as DDL does: the lowest first
            await self._run(txn, target, no_ddl)
        taken = await self._run(
            txn, source, no_ddl, TakeBuckets(group), SetOwners(away, expect=source), take
        )
        taken = taken[1:]  # the source's version comes first
        here: list[StorageRow] = [(bucket, target) for bucket in group]
        steps: list[Step] = [no_ddl, TakeBuckets(group, whole=False), SetOwners(here)]
        count = size = version = 0
        while True:
            rows, more = taken[:-1], bool(taken[-1][1])
            count += len(rows)
            size += sum(map(_size, rows))
            if rows:
                steps.append(PutIn(rows))
            if steps:
                put = await self._run(txn, target, *steps)
                version = version or int(put[0][0] or 0)
                steps = []
            if not more:
                return count, size, version
            taken = await self._run(txn, source, take)

    async def _run(self, txn: Transaction, rs: int, *steps: Step) -> list[StorageRow]:
        ran = await self._space.manager.run(txn, rs, steps, self._space.schema_version)
        return ran.rows

    def _check_lead(self) -> None:
        if not self._writer.leading:
            raise NotLeadError(f"this element does not lead replica set {self._writer.rs} now")

    # -- afterwards --------------------------------------------------------------------------------
    async def look(self) -> None:
        """Now and then: when nothing moves any more, what was made for it goes."""
        if self._busy.locked() or boottime_s() - self._used_s < IDLE_S or not self._writer.leading:
            return
        if self._indexed == -self._writer.term:
            return  # known: there are none
        try:
            await self._on_lead(self._writer.drop_bucket_indexes)
            self._indexed = -self._writer.term
        except GridError as error:
            log.info("moving.indexes_stay", error=error.message)


class _Waiting:
    """A reply as a future."""

    def __init__(self, future: asyncio.Future[Acknowledged]) -> None:
        self._future = future

    def reply(self, message: Acknowledged) -> None:
        """It is done."""
        if not self._future.done():
            self._future.set_result(message)

    def fail(self, error: GridError) -> None:
        """It is not."""
        if not self._future.done():
            self._future.set_exception(error)


async def space_change(space: Coordination) -> None:
    """Wait a moment for a new map, schema or lead."""
    await space.router.wait_for_change(0.05)


def _size(row: StorageRow) -> int:
    return 9 * len(row) + sum(len(v) for v in row if isinstance(v, str | bytes))
