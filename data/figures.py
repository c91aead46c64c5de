"""What an instance counts and measures, for monitoring: the answer to AskFigures.

Gathered when somebody asks; nothing here is on the way of a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import nlargest

import structlog

from data.exec.coordination import STATEMENTS_MAX, Coordination
from data.exec.epochs import EpochKeeper
from data.exec.instance_views import pages_of
from data.exec.prepared import Key, PreparedStatement
from data.replication.leadership import Leadership, Phase
from data.replication.member import ReplicaSetMember
from data.session.frontend import Frontend
from data.storage.element import Element
from data.txn.lead import LeadWriter
from membership.port import Membership
from protocol.clock import boottime_s, wall_us
from protocol.instance_file import InstanceSettings
from protocol.messages.metrics import (
    AskFigures,
    CopyLag,
    DatabaseFigures,
    Figures,
    StatementFigures,
    Times,
)
from protocol.metrics import Histogram
from protocol.process import ProcessMeters, certificate_numbers, membership_numbers
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request

log = structlog.get_logger(__name__)
TEXT_CHARS_MAX = 4000  # of a statement
MEMORY_WARNING_PERCENT = 90
ROOM_AGAIN_PERCENT = 5  # so much below: no word each time a row comes and goes
ROOM_LOOKS = 2  # each so many looks
IN_DOUBT_AFTER_S = 5.0  # as data/database.py: then the anchor is asked


class DatabaseMeasures:
    """Of one loaded database."""

    def __init__(
        self,
        space: Coordination,
        element: Element,
        writer: LeadWriter,
        member: ReplicaSetMember,
        epochs: EpochKeeper,
    ) -> None:
        self._space = space
        self._element = element
        self._writer = writer
        self._member = member
        self._epochs = epochs
        self._began_us = wall_us()
        self._warned = False  # that PermSize is nearly full
        self._looks = 0
        self._level_s = boottime_s()  # when this element last lacked nothing

    @property
    def name(self) -> str:
        """Of the database."""
        return self._space.name

    def look(self) -> None:
        """Now and then: whether this element lacks something."""
        self._looks += 1
        if self._looks % ROOM_LOOKS == 0:
            self._look_at_room()
        if self._member.role == "lead" or (not self._lag_entries() and self._member.in_sync):
            self._level_s = boottime_s()

    def _look_at_room(self) -> None:
        """Say it when PermSize is nearly full: once, until there is room again."""
        size, pages, free = pages_of(self._element)
        percent = 100 * (pages - free) * size // (self._element.settings.perm_size_mb << 20)
        if percent >= MEMORY_WARNING_PERCENT and not self._warned:
            self._warned = True
            log.warning(
                "database.perm_nearly_full",
                database=self._space.name,
                element=self._element.identity.element,
                percent=percent,
                hint="A full element refuses writes (802): raise PermSize, or add replica sets.",
            )
        elif percent < MEMORY_WARNING_PERCENT - ROOM_AGAIN_PERCENT:
            self._warned = False

    def figures(self, statements: int) -> DatabaseFigures:
        """Everything, with so many statements of the cache."""
        self.look()
        identity, meters = self._element.identity, self._space.meters
        return DatabaseFigures(
            database=self._space.name,
            element=identity.element,
            data_space=identity.data_space,
            replica_set=identity.replica_set,
            role=self._member.role,
            is_open=self._space.is_open,
            began_us=self._began_us,
            numbers=self.numbers(),
            statements={k: times(h) for k, h in meters.kinds.items() if h.total_ns},
            commits=times(meters.commits),
            errors=tuple((*key, count) for key, count in sorted(meters.errors.items())),
            copies=self._copies(),
            cache=self._cache(statements),
        )

    def numbers(self) -> dict[str, float]:
        """By the names of protocol/metric_names.py."""
        return {**self._of_sessions(), **self._of_the_log(), **self._of_the_lead()}

    def _of_sessions(self) -> dict[str, float]:
        space = self._space
        return {
            "connections": space.sessions,
            "connections_max": space.connections_max,
            "connections_total": space.counts.connects,
            "logins_failed_total": space.logins.failures_total,
            "database_open": int(space.is_open),
            "statements_cached": space.cached_statements,
            "statements_cached_max": STATEMENTS_MAX,
            "prepares_total": space.counts.prepares,
            "reprepares_total": space.counts.reprepares,
            "slow_statements_total": space.meters.slow,
            "transactions_open": len(space.manager.open),
            "map_version": space.router.map.version,
            "catalog_version": self._element.schema_version,
        }

    def _of_the_log(self) -> dict[str, float]:
        element = self._element
        size, pages, free = pages_of(element)
        return {
            "perm_allocated_bytes": element.settings.perm_size_mb << 20,
            "perm_in_use_bytes": (pages - free) * size,
            "log_bytes": element.log_bytes,
            "log_newest_lsn": element.tail.lsn,
            "log_committed_lsn": self._member.status().commit_lsn,
            "log_oldest_lsn": element.log_start.lsn,
            "wal_bytes": element.wal_bytes,
            "checkpoints_total": element.checkpoints.total,
            "checkpoint_bytes_total": element.checkpoints.bytes,
            "epoch": element.newest_epoch()[0],
            "epoch_done": self._epochs.clock.done,
        }

    def _of_the_lead(self) -> dict[str, float]:
        writer, member, now_s = self._writer, self._member, boottime_s()
        waits, status = writer.waits, member.status()
        open_here = writer.transactions()
        prepared = [w for w in writer.prepared() if w.prepared_s]
        leads = member.role == "lead"
        numbers: dict[str, float] = {
            "lead_transactions_open": len(open_here),
            "transactions_prepared": len(prepared),
            "transactions_in_doubt": sum(now_s - w.prepared_s > IN_DOUBT_AFTER_S for w in prepared),
            "oldest_transaction_seconds": max((t.age_ms for t in open_here), default=0) / 1000,
            "locks_held": writer.locks.held,
            "locks_waiting": len(waits.waiting_since()),
            "lock_timeouts_total": waits.timeouts,
            "lock_grants_wait_total": waits.granted,
            "deadlocks_total": waits.deadlocks,
            "replica_set": self._element.identity.replica_set,
            "replica_set_lead": int(leads),
            "replica_set_serving": int(leads and member.lead_ok()),
            "replication_term": status.term,
            "replication_lag_entries": self._lag_entries(),
            "replication_lag_seconds": 0.0 if leads else self._lag_s(),
        }
        if leads:
            numbers["replica_set_copies"] = member.copies
            numbers["replica_set_in_sync"] = len(status.in_sync)
        return numbers

    def _lag_entries(self) -> int:
        return 0 if self._member.role == "lead" else self._member.status().lag

    def _lag_s(self) -> float:
        if self._member.in_sync and not self._lag_entries():
            return 0.0
        return round(boottime_s() - self._level_s, 3)

    def _copies(self) -> tuple[CopyLag, ...]:
        machine = self._member.machine
        lead = machine.leadership if machine is not None else None
        return copy_lags(lead, boottime_s()) if lead is not None else ()

    def _cache(self, wanted: int) -> tuple[StatementFigures, ...]:
        if wanted <= 0:
            return ()
        every = enumerate(self._space.statements(), 1)
        ran = [one for one in every if one[1][1].stats.total_ns or one[1][1].stats.errors]
        slowest = nlargest(wanted, ran, key=lambda one: one[1][1].stats.total_ns)
        return tuple(_statement(number, *found) for number, found in slowest)


def copy_lags(lead: Leadership, now_s: float) -> tuple[CopyLag, ...]:
    """How far each copy is behind what its lead has committed. Pure."""
    commit_lsn = lead.situation.commit_lsn
    lags = []
    for copy in lead.copies.values():
        level = copy.phase is Phase.SYNCED and copy.acked >= commit_lsn
        entries = -1 if copy.acked < 0 else max(0, commit_lsn - copy.acked)
        seconds = 0.0 if level else round(max(0.0, now_s - copy.behind_s), 3)
        lags.append(CopyLag(copy.element, copy.phase.value, entries, seconds))
    return tuple(sorted(lags, key=lambda lag: lag.element))


def times(histogram: Histogram) -> Times:
    """For the wire."""
    return Times(histogram.packed(), histogram.total_ns)


def _statement(number: int, key: Key, statement: PreparedStatement) -> StatementFigures:
    stats = statement.stats
    return StatementFigures(
        number=number,
        text=key[0][:TEXT_CHARS_MAX],
        user=statement.user,
        kind=stats.kind,
        plan=stats.plan,
        times=times(Histogram(stats.slots, stats.total_ns)),
        longest_ns=stats.longest_ns,
        rows=stats.rows,
        errors=stats.errors,
    )


class InstanceMeasures:
    """Of one data instance."""

    def __init__(
        self,
        settings: InstanceSettings,
        rpc: RpcNode,
        membership: Membership,
        frontend: Frontend,
        databases: Callable[[], Iterable[DatabaseMeasures]],
    ) -> None:
        self._settings = settings
        self._rpc = rpc
        self._membership = membership
        self._frontend = frontend
        self._databases = databases
        self.process = ProcessMeters()

    def register(self) -> None:
        """Answer AskFigures."""

        async def asked(message: AskFigures, _request: Request) -> Figures:
            return self.figures(message)

        self._rpc.handle_async(AskFigures, asked)

    def figures(self, wanted: AskFigures) -> Figures:
        """What is asked for."""
        database = wanted.database.lower()
        found = [d for d in self._databases() if not database or d.name.lower() == database]
        return Figures(
            instance=self._settings.name,
            incarnation=self._rpc.me.incarnation,
            taken_us=wall_us(),
            began_us=self.process.began_us,
            numbers={
                **self.process.numbers(),
                **self._rpc.numbers(),
                **self._frontend.numbers(),
                **self._of_membership(),
                **certificate_numbers(self._settings),
            },
            event_loop=times(self.process.delays),
            databases=tuple(d.figures(wanted.statements) for d in found),
        )

    def _of_membership(self) -> dict[str, float]:
        view = self._membership.view()
        until_s = self._membership.serving_until_s()
        return membership_numbers(view.connected, view.session, until_s, len(view.instances))
