"""One database on this instance, assembled: storage, replication, writer, coordination."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog

from data.admin.port import ElementFacts
from data.admin.settings import DatabaseSettings, settings_of
from data.admin.settings import shown as shown_settings
from data.exec.coordination import Coordination
from data.exec.epochs import EpochKeeper
from data.exec.fragments import FragmentServer
from data.exec.recovery import Recovery
from data.exec.shard import Shard
from data.figures import DatabaseMeasures
from data.moving.moving import Moving
from data.observed import Observed
from data.replication.member import ReplicaSetMember
from data.replication.ports import ReplicationSettings
from data.storage.element import Element
from data.storage.settings import ElementIdentity, StorageSettings
from data.txn.deadlock_watch import DeadlockWatch
from data.txn.epochs import EpochClock
from data.txn.evicted import outcome_without_anchor
from data.txn.isolation import isolation_of_attribute
from data.txn.lead import LeadWriter
from data.txn.settling import Settling
from data.txn.workspace import Workspace
from membership.port import ClusterView, Membership
from protocol import trace, trace_id
from protocol.clock import Clock, boottime_s, wall_us
from protocol.errors import GridError, NotInMapError, NotServingError
from protocol.ids import TxnId
from protocol.messages.admin import ElementSpec
from protocol.messages.sessions import PROXY, SYSTEM, SessionInfo
from protocol.messages.txn import AskOpen, AskOutcome, Decide, Outcome, RollBack, StillOpen
from protocol.rpc.node import RpcNode
from protocol.topology import DistributionMap
from protocol.transactions import shown

DAMAGED_FOLDER = "damaged"  # in the folder of the element: files that could not be used
SCRATCH_FOLDER = "scratch"  # in the folder of the element: temporary files of queries
log = structlog.get_logger(__name__)

HOUSEKEEPING_S = 1.0
UNUSED_S = 5.0  # an open transaction that was silent for so long is asked about
IN_DOUBT_AFTER_S = 5.0  # a prepared transaction older than this asks its anchor
ANCHOR_PATIENCE_S = 30.0  # and the anchor itself decides after this
RESOLVE_TIMEOUT_S = 10.0
SETTLE_S = 10.0  # how often a lead looks for decisions that may be forgotten


def storage_settings(spec: ElementSpec) -> StorageSettings:
    """Storage's settings from the database definition."""
    settings = settings_of(spec)
    return StorageSettings(perm_size_mb=settings.perm_size_mb, durability=settings.durability)


class Database:
    """A loaded element and everything that serves it."""

    def __init__(
        self,
        spec: ElementSpec,
        element: Element,
        instance: str,
        incarnation: str,
        rpc: RpcNode,
        membership: Membership,
        server: FragmentServer,
        clock: Clock,
        session_timeout_s: float,
        epochs: EpochClock,
    ) -> None:
        self.spec = spec
        self.settings: DatabaseSettings = settings_of(spec)
        self.element = element
        self.map = DistributionMap(spec.database, 0, spec.k)
        self._instance = instance
        self._membership = membership
        self.writer = LeadWriter(element, spec.database, 0)
        self.member = ReplicaSetMember(
            element,
            membership,
            rpc,
            clock,
            ReplicationSettings(session_timeout_s=session_timeout_s),
            self.writer,
            spec.database,
            luggage=self.writer,
            cut_limit=lambda: self.epochs.cut_limit(),
        )
        self.writer.attach(self.member)
        self.writer.epochs = epochs
        self.shard = Shard(element, self.writer, self.member)
        self.shard.open_here = lambda txn: txn in self.space.manager.open
        self.shard.coordinated = lambda: self.space.manager.coordinated()
        scratch = Path(spec.data_store) / SCRATCH_FOLDER
        scratch.mkdir(parents=True, exist_ok=True)
        self.space = Coordination(
            element, self.shard, rpc, membership, server, incarnation, scratch
        )
        self._apply_settings()
        self.epochs = self.shard.epochs = EpochKeeper(
            self.space.router,
            self.writer,
            self.member,
            element,
            epochs,
            self.settings.epoch_interval_s,
        )
        self.recovery = self.shard.recovery = Recovery(
            self.space.router, membership, element, self.writer, self.member, epochs
        )
        self.space.make_epoch = self.epochs.create
        self.observed = Observed(
            lambda: shown_settings(self.spec), element, self.writer, self.member, self.epochs
        )
        self.space.catalog_queries.instance.instance = self.observed
        self.measures = DatabaseMeasures(self.space, element, self.writer, self.member, self.epochs)
        self.moving = Moving(self.space, membership, self.writer)
        self._map_task: asyncio.Task[None] | None = None
        self._housekeeper: asyncio.Task[None] | None = None
        self._deadlocks = DeadlockWatch(spec.database, self.writer, self.space.router, self._spawn)
        self._resolving: set[TxnId] = set()
        self._settling = Settling(spec.database, element, self.writer, self.space.router)
        self._settle_task: asyncio.Task[None] | None = None
        self._settled_s = boottime_s()
        self._started = False

    def _apply_settings(self) -> None:
        """What the definition says of sessions and statements."""
        settings, space = self.settings, self.space
        space.lock_wait_ms = int(settings.lock_wait_s * 1000)
        space.isolation = isolation_of_attribute(settings.isolation)
        space.connections_max = settings.connections
        space.epoch_at_ddl = settings.epoch_interval_s > 0
        space.epoch_at_commit = settings.create_epoch_at_commit
        space.temp_size_mb = settings.temp_size_mb or space.temp_size_mb
        space.optimizer_hint = settings.optimizer_hint
        space.aborts_on_error = settings.abort_on_error
        self._set_copy_reads()
        space.statement_timeout_s = settings.statement_timeout_s
        if settings.query_threshold_s:
            space.meters.slow_ns = int(settings.query_threshold_s * 1e9)
        trace_id.Slow.set(self.spec.database, settings.query_threshold_s)

    def _set_copy_reads(self) -> None:
        self.space.copy_reads.rs = self.writer.rs if self.settings.read_at_copies else 0

    async def start(self) -> None:
        """Take the map as membership shows it now, and keep house."""
        if trace.steps.listener is not None:
            trace.step("data/database.py")
        self._settling.is_gone = self._is_gone
        self._housekeeper = asyncio.create_task(self._keep_house(), name="housekeeping")
        self.epochs.start()
        self.view_changed(self._membership.view())
        if self._map_task is not None:
            await self._map_task

    def view_changed(self, view: ClusterView) -> None:
        """Membership shows something new."""
        value = view.maps.get(self.spec.database)
        if value is not None and (self._map_task is None or self._map_task.done()):
            new = DistributionMap.decode(value)
            if new.version > self.map.version:
                self._map_task = asyncio.create_task(self._take_map(new), name="take-map")
        self.space.router.view_changed(view)
        if self._started and self.writer.leading:  # a coordinator may be gone
            self._resolve_in_doubt()

    def _look_again(self) -> None:
        """A newer map came while one was being taken."""
        self.view_changed(self._membership.view())

    async def _take_map(self, new: DistributionMap) -> None:
        place = next((e for e in new.elements if e.element == self.spec.element), None)
        self.map = new
        if place is not None and place.replica_set:
            if not self._started:
                self._started = True
                if self.element.identity.replica_set != place.replica_set:
                    self.element.set_place(place.replica_set, place.data_space)
                self.writer.rs = place.replica_set
                self._set_copy_reads()
                await self.member.start(new)
            else:
                self.member.map_changed(new)
        elif self._started:
            self.member.map_changed(new)  # it is to leave: the keeper unloads it
        self.space.router.map_changed(new)
        newest = self._membership.view().maps.get(self.spec.database)
        if newest is not None and DistributionMap.decode(newest).version > new.version:
            asyncio.get_running_loop().call_soon(self._look_again)
        log.info("map.taken", database=self.spec.database, version=new.version)

    # -- what is asked of it --------------------------------------------------------------------
    def check_ready(self) -> None:
        """Raise NotServingError unless sessions may run here (the element's catalog is current)."""
        if not self._started and self.map.ranges:
            raise NotInMapError(
                f"the element of {self.spec.database} on {self._instance} is not in the"
                " distribution map",
                hint="Connect to another data instance, or add the element to the map"
                f" (ttGridAdmin dbDistribute {self.spec.database} -add ... -apply).",
            )
        if self._started and self.member.role not in ("lead", "copy"):
            raise NotServingError(
                f"the element of {self.spec.database} on {self._instance} is {self.member.role}",
                hint="Connect to another data instance, or wait until it has caught up.",
            )
        if self._started and self.writer.rs in self.map.idle:
            raise NotServingError(
                f"replica set {self.writer.rs} of {self.spec.database} takes no part now",
                hint="Connect to another data instance.",
            )

    def facts(self) -> ElementFacts:
        """For management."""
        member = self.member
        return ElementFacts(
            replica_set=self.element.identity.replica_set,
            role=member.role if self._started else "idle",
            term=member.term if self._started else 0,
            lsn=self.element.tail.lsn,
            connections=self.space.sessions,
            catalog_version=self.element.schema_version,
            map_version=self.map.version,
            message=self.recovery.message,
            epoch=self.element.newest_epoch()[0],
            epoch_done=self.epochs.clock.done,
        )

    async def make_epoch(self) -> int:
        """Make an epoch that begins now; its number. Raises ReplicaSetDownError."""
        return await self.epochs.create()

    def connections(self) -> tuple[SessionInfo, ...]:
        """What works here without being a client: for clients of other instances, and our own."""
        own, now_us = self.spec.element, wall_us()
        proxies = [t for t in self.writer.transactions() if t.txn.element != own]
        system = (
            ("writer", "active" if self.element.busy else "idle"),
            ("replication", self.member.role),
            ("epochs", "active" if self.settings.epoch_interval_s else "idle"),
        )
        return (
            *(
                SessionInfo(
                    number,
                    f"transaction {shown(t.txn)}",
                    0,
                    PROXY,
                    "",
                    f"element {t.txn.element}",
                    "in transaction",
                    now_us - t.age_ms * 1000,
                )
                for number, t in enumerate(proxies, 1)
            ),
            *(
                SessionInfo(number, name, os.getpid(), SYSTEM, "SYS", "local", state, 0)
                for number, (name, state) in enumerate(system, 1)
            ),
        )

    async def stop(self, *, hand_over: bool) -> None:
        """Leave the replica set, end everything, close the files."""
        if self._started:
            await self.epochs.last()
        self._deadlocks.close()
        if self._housekeeper is not None:
            self._housekeeper.cancel()
            await asyncio.gather(self._housekeeper, return_exceptions=True)
        if self._map_task is not None:
            await asyncio.gather(self._map_task, return_exceptions=True)
        await self.epochs.close()
        await self.recovery.close()
        await self.space.close()
        if self._started:
            await self.member.stop(hand_over)
        trace_id.Slow.set(self.spec.database, 0.0)
        self.writer.lost_lead()
        await self.shard.close()
        self.element.close(clean=True)

    # -- housekeeping ---------------------------------------------------------------------------
    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)  # a pace, nothing is awaited by it
            try:
                self.writer.no_room = not self.element.has_room()
                if self.writer.no_room and self.writer.leading:
                    self.member.offer_lead()
                self.space.manager.forget_now()
                self._resolve_in_doubt()
                self._ask_coordinators()
                self._settle()
                self.moving.look()
                self.shard.drop_old_snapshots()
                self.measures.look()
                if self._started:
                    self.recovery.look()
            except Exception:
                log.exception("database.housekeeping_failed", database=self.spec.database)

    def _resolve_in_doubt(self) -> None:
        alive = {info.incarnation for info in self._membership.view().instances.values()}
        orphans = self.writer.drop_orphans(lambda txn: txn.incarnation in alive)
        now_s = boottime_s()
        for workspace in self.writer.prepared():
            age_s = now_s - workspace.prepared_s
            patience_s = IN_DOUBT_AFTER_S
            if workspace in orphans or workspace.anchor_decides:
                patience_s = 0.0  # nobody else will end it
            elif workspace.participants[:1] == (self.writer.rs,):
                patience_s = ANCHOR_PATIENCE_S
            if age_s >= patience_s and workspace.txn not in self._resolving:
                self._resolving.add(workspace.txn)
                self._spawn(self._resolve(workspace), "resolve-in-doubt")

    def _ask_coordinators(self) -> None:
        """Open transactions that are silent: the message that ended them may have been lost."""
        names = {i.incarnation: i.name for i in self._membership.view().instances.values()}
        silent: dict[str, list[TxnId]] = {}
        for txn in self.writer.unused(UNUSED_S):
            if txn.incarnation in names:  # else an orphan
                silent.setdefault(str(names[txn.incarnation]), []).append(txn)
        for name, txns in silent.items():
            self._spawn(self._ask_open(name, tuple(txns)), "ask-open")

    def _settle(self) -> None:
        """Decisions that nobody can ask about any more are forgotten."""
        task, now_s = self._settle_task, boottime_s()
        if now_s - self._settled_s >= SETTLE_S and (task is None or task.done()):
            self._settled_s = now_s
            names = {i.incarnation: str(i.name) for i in self._membership.view().instances.values()}
            self._settle_task = self._spawn(self._settling.sweep(names), "settle-decisions")

    async def _ask_open(self, name: str, txns: tuple[TxnId, ...]) -> None:
        ask = AskOpen(self.spec.database, txns)
        try:
            answer: StillOpen = await self.space.router.call_instance(name, ask, HOUSEKEEPING_S)
        except GridError:
            return  # the next round asks again
        for txn in set(txns) - set(answer.txns):
            log.info("txn.abandoned", txn=txn)
            self.writer.roll_back(RollBack(self.spec.database, self.writer.rs, txn))

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self.space.background.add(task)
        task.add_done_callback(self.space.background.discard)
        return task

    async def _resolve(self, workspace: Workspace) -> None:
        """Ask the anchor what became of a prepared transaction, and do it here."""
        txn = workspace.txn
        router = self.space.router
        try:
            anchor = workspace.participants[0]
            deadline_s = boottime_s() + RESOLVE_TIMEOUT_S
            if self._is_gone(anchor):
                found = await self._outcome_without_anchor(workspace)
                if found is None:
                    return
                commit = found
            else:
                ask = AskOutcome(self.spec.database, anchor, txn, in_doubt=True)
                outcome: Outcome = await router.call_until(anchor, ask, deadline_s)
                commit = outcome.state == "committed"
            if anchor != self.writer.rs:
                if commit:
                    self.writer.anchor_decided(txn)
                decide = Decide(
                    self.spec.database, self.writer.rs, txn, commit, workspace.participants
                )
                await router.call_until(self.writer.rs, decide, deadline_s)
            log.info("txn.resolved", txn=txn, commit=commit)
        except GridError as error:
            log.info("txn.still_in_doubt", txn=txn, error=error.message)
        finally:
            self._resolving.discard(txn)

    def _is_gone(self, rs: int) -> bool:
        """The replica set was taken out of the map: evicted, or removed when nobody needed it."""
        return bool(self.map.ranges) and rs not in self.map.replica_sets()

    async def _outcome_without_anchor(self, workspace: Workspace) -> bool | None:
        names = {i.incarnation: i.name for i in self._membership.view().instances.values()}
        others = [
            rs for rs in workspace.participants if rs != self.writer.rs and not self._is_gone(rs)
        ]
        return await outcome_without_anchor(
            self.spec.database,
            workspace.txn,
            others,
            str(names.get(workspace.txn.incarnation, "")),
            workspace.prepared_s,
            self.space.router,
        )


def create_element(spec: ElementSpec, instance: str) -> Element:
    """Make an element's files and open it; the caller closes it."""
    path = Path(spec.data_store)
    path.mkdir(parents=True, exist_ok=True)
    os.chmod(path, 0o700)
    identity = ElementIdentity(
        database=spec.database,
        database_id=spec.database_id,
        element=spec.element,
        instance=instance,
        data_space=spec.data_space,
    )
    return Element.create(path, identity, storage_settings(spec))


def rebuild_element(spec: ElementSpec, instance: str) -> Element:
    """Make the element anew; what is left of its files stays in a folder beside, for a look.

    A new element counts as damaged: its replica set fills it by a snapshot before it counts.
    """
    path = Path(spec.data_store)
    aside = path / DAMAGED_FOLDER
    left = list(path.glob("element.db*"))
    if left:
        shutil.rmtree(aside, ignore_errors=True)  # one generation is kept
        aside.mkdir()
        for file in left:
            file.rename(aside / file.name)
    return create_element(spec, instance)
