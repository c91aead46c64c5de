"""One instant of a whole database in files: which elements to copy, the epoch, the images.

The epoch is made while clients write; then each chosen element copies itself and undoes what its
log has behind the epoch (data/backup/image.py). So the images of all replica sets are of one
instant, and everything that was acknowledged before the command is in them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from mgmt.service import database_status
from mgmt.service.context import Management
from mgmt.service.data_jobs import DataJobs, Watcher
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import DatabaseRecord
from protocol.clock import boottime_s
from protocol.errors import LogGapError, ModelError, OperationError
from protocol.messages import backup as m
from protocol.topology import DistributionMap

log = structlog.get_logger(__name__)

EPOCH_S = 30.0
PATIENCE_S = 20.0  # with a replica set that does not serve
AGAIN_S = 0.5
ATTEMPTS = 3  # epochs: an image may begin when the log does not have it any more


@dataclass(frozen=True)
class Source:
    """The element that is copied for a replica set."""

    rs: int
    element: int
    instance: str


@dataclass(frozen=True)
class Images:
    """One instant. `jobs`: by replica set, the names under which instances know the images."""

    epoch: int
    map: DistributionMap
    facts: dict[int, m.SetFacts]
    jobs: dict[int, str]


class Imaging:
    """Makes them."""

    def __init__(self, management: Management, jobs: DataJobs) -> None:
        self._management = management
        self._jobs = jobs
        self._reach = Reach(management)

    def map_of(self, record: DatabaseRecord) -> DistributionMap:
        """The map in force. Raises ModelError if there is none."""
        found = self._reach.map_in_force(record.name)
        if found is None or not found.ranges:
            raise ModelError(
                f"database {record.name} has no distribution map",
                hint=f"Make it first: ttGridAdmin dbDistribute {record.name} -add all -apply",
            )
        return found

    async def sources_soon(self, record: DatabaseRecord) -> list[Source]:
        """The same; a replica set that changes its lead, or a management instance that has just
        begun, gets some time."""
        until_s = boottime_s() + PATIENCE_S
        while True:
            try:
                return await self.sources(record)
            except ModelError:
                if boottime_s() > until_s:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def sources(self, record: DatabaseRecord) -> list[Source]:
        """For each replica set a copy that is in sync, or its lead. Raises ModelError."""
        found = await database_status.health_of(self._management, self._reach, [record])
        health = found[record.name]
        chosen = []
        for rs in self.map_of(record).sets_in_use():
            able = [
                h
                for h in health
                if h.replica_set == rs and h.report and h.report.role in ("copy", "lead")
            ]
            if not any(h.report and h.report.role == "lead" for h in able):
                raise ModelError(
                    f"replica set {rs} of database {record.name} does not serve now",
                    hint=f"ttGridAdmin dbStatus {record.name} -replicaSet shows its elements.",
                )
            best = min(able, key=lambda h: (h.report.role != "copy" if h.report else 1, h.element))
            chosen.append(Source(rs, best.element, best.instance))
        return chosen

    async def take(
        self, record: DatabaseRecord, sources: list[Source], prefix: str, watch: Watcher
    ) -> Images:
        """Raises GridErrors; stop the jobs of `prefix` then."""
        for attempt in range(1, ATTEMPTS + 1):
            before = self.map_of(record)
            made: m.EpochMade = await self._jobs.call(
                sources[0].instance, m.MakeEpoch(record.name, record.database_id), EPOCH_S
            )
            names = {s.rs: f"{prefix}.image{attempt}.{s.rs}" for s in sources}
            takes = {
                s.rs: (
                    s.instance,
                    m.TakeImage(names[s.rs], record.name, record.database_id, made.number),
                )
                for s in sources
            }
            try:
                reports = await self._jobs.run(takes, watch)
            except LogGapError as error:
                log.warning("image.repeated", database=record.name, why=error.message)
                await self._jobs.stop(prefix, [s.instance for s in sources])
                continue
            if _same_places(self.map_of(record), before):
                facts = {rs: report.facts for rs, report in reports.items() if report.facts}
                assert len(facts) == len(sources)
                return Images(made.number, before, facts, names)
            await self._jobs.stop(prefix, [s.instance for s in sources])
        raise OperationError(
            f"no image of database {record.name} could be made at an epoch", hint="Try again."
        )

    async def committed(self, images: Images, sources: list[Source]) -> tuple[m.Prepared, ...]:
        """Transactions that are prepared somewhere and committed somewhere: they take effect."""
        prepared = dict(p for facts in images.facts.values() for p in facts.prepared)
        if not prepared:
            return ()
        known: set[object] = set()
        for source in sources:
            message = m.AskCommitted(images.jobs[source.rs], tuple(prepared))
            answer: m.AreCommitted = await self._jobs.call(source.instance, message, EPOCH_S)
            known.update(answer.txns)
        return tuple((txn, sets) for txn, sets in prepared.items() if txn in known)


def _same_places(one: DistributionMap, other: DistributionMap) -> bool:
    """The same replica sets; which buckets are theirs, their images say."""
    return one.sets_in_use() == other.sets_in_use()


def prefix_of(kind: str, operation: int) -> str:
    """Under which the jobs of an operation are named."""
    return f"{kind}-{operation}"
