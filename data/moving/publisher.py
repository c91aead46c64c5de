"""Keeps the map in membership in agreement with the ownership table of one lead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from data.exec.router import Router
from data.moving.correction import NO_OTHERS, claimed, corrected, version_in
from data.txn.lead import LeadWriter
from data.txn.manager import TransactionManager
from membership.port import Membership
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import GridError, MembershipLostError, TransientError
from protocol.messages.sql import SetOwners
from protocol.sqltypes import StorageRow
from protocol.topology import DistributionMap

log = structlog.get_logger(__name__)

TRIES = 50
FIRST_ROWS = 1000  # in one record of the log
LOCK_WAIT_MS = 5000
SEEN_S = 10.0  # how long a map that was written may take until it is seen here


class Publisher:
    """Of one element; it has work while the element leads."""

    def __init__(
        self,
        db: str,
        router: Router,
        membership: Membership,
        writer: LeadWriter,
        manager: TransactionManager,
        schema_version: Callable[[], int],
    ) -> None:
        self._db = db
        self._router = router
        self._membership = membership
        self._writer = writer
        self._manager = manager
        self._schema_version = schema_version
        self._lock = asyncio.Lock()

    async def look(self) -> None:
        """Once a second: fill the table if it is new, correct the map if it lags."""
        writer = self._writer
        if not writer.leading or not self._router.map.ranges or self._lock.locked():
            return
        current = self._current()
        rs = writer.rs
        if not writer.ownership.known:
            if rs in self._router.replica_sets:
                await self._first(current)
        elif writer.ownership.version < version_in(current, rs):
            await self._go_ahead_of(current)
        elif corrected(current, rs, writer.ownership) is not None:
            await self.publish()

    def _current(self) -> DistributionMap:
        value = self._membership.view().maps.get(self._db)
        return self._router.map if value is None else DistributionMap.decode(value)

    async def first(self) -> None:
        """Fill the table now, if it is new."""
        if not self._writer.ownership.known and self._writer.leading:
            await self._first(self._current())

    async def _first(self, current: DistributionMap) -> None:
        """The first map is the truth: no bucket has ever moved."""
        rs = self._writer.rs
        if version_in(current, rs):
            return  # it was filled, and went back to before: nothing is known here
        rows: list[StorageRow] = [
            (bucket, rs) for bucket, owner in enumerate(current.bucket_table()) if owner == rs
        ]
        last = max(0, len(rows) - 1) // FIRST_ROWS * FIRST_ROWS
        for at in range(0, last + 1, FIRST_ROWS):
            some = rows[at : at + FIRST_ROWS]
            await self._set(SetOwners(some, first=True, more=at < last))
        log.info("ownership.first", db=self._db, rs=rs, buckets=len(rows))

    async def _go_ahead_of(self, current: DistributionMap) -> None:
        """The database went back to an epoch, the map did not."""
        rs = self._writer.rs
        ahead = version_in(current, rs)
        while self._writer.leading and self._writer.ownership.version <= ahead:
            await self._set(SetOwners([]))
        log.warning("ownership.claimed", db=self._db, rs=rs, version=self._writer.ownership.version)
        await self.publish(claim=True)

    async def _set(self, step: SetOwners) -> None:
        """A change that concerns this replica set only."""
        writer = self._writer
        await self._manager.run_autocommit(
            writer.rs,
            (step,),
            self._schema_version(),
            LOCK_WAIT_MS,
            version=writer.ownership.version,
        )
        if writer.leading:
            writer.load_ownership()

    async def adopt(self, buckets: tuple[int, ...]) -> int:
        """Own buckets of sets that are gone; returns the map version that says so."""
        sets = self._current().replica_sets()
        table = self._current().bucket_table()
        own = self._writer.ownership
        rows: list[StorageRow] = [
            (b, self._writer.rs) for b in buckets if table[b] not in sets and not own.owned[b]
        ]
        if rows:
            await self._set(SetOwners(rows))
        return await self.publish()

    async def publish(self, others: Mapping[int, int] = NO_OTHERS, *, claim: bool = False) -> int:
        """Write what this lead knows into the map, and wait until it is seen here.

        `others`: ownership versions that other replica sets have reached. Returns the map version.
        Raises MembershipLostError, TransientError.
        """
        if trace.steps.listener is not None:
            trace.step("data/moving/publisher.py")
        async with self._lock:
            version = await self._publish(others, claim)
        deadline_s = boottime_s() + SEEN_S
        while self._router.map.version < version and boottime_s() < deadline_s:
            await self._router.wait_for_change(0.05)
        return version

    async def _publish(self, others: Mapping[int, int], claim: bool) -> int:
        writer = self._writer
        for attempt in range(TRIES):
            view = self._membership.view()
            value = view.maps.get(self._db)
            if value is None:
                raise TransientError(f"the map of {self._db} is not to be seen now")
            current = DistributionMap.decode(value)
            change = claimed if claim else corrected
            new = change(current, writer.rs, writer.ownership, others)
            if new is None:
                return current.version
            expected = view.map_versions[self._db]
            try:
                if await self._membership.put_map(self._db, expected, new.encode()):
                    return new.version
            except MembershipLostError:
                if attempt == TRIES - 1:
                    raise
            await self._router.wait_for_change(0.02)  # the view shows the other's map soon
        raise TransientError(
            f"the map of {self._db} is changed by others all the time", hint="Try again."
        )

    async def look_quietly(self) -> None:
        """`look` for a housekeeper: the next round tries again."""
        try:
            await self.look()
        except GridError as error:
            log.info("map.not_corrected", db=self._db, error=error.message)
