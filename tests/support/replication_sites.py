"""Several members of one replica set in one process: real sockets, real element files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from data.catalog.catalog import CreateTable
from data.replication.member import ReplicaSetMember
from data.replication.ports import MemberStatus, ReplicationSettings
from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, TxnPayload, encode_payload
from data.storage.settings import ElementIdentity, StorageSettings
from membership.memory import MemoryEnsemble, MemoryMembership
from membership.port import ClusterView, InstanceInfo
from protocol.clock import SystemClock, boottime_s
from protocol.errors import GridError, OutcomeUnknownError
from protocol.ids import InstanceName
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from protocol.sqltypes import StorageRow
from protocol.topology import BucketRange, DistributionMap, ElementPlace
from tests.support.elements import CUSTOMERS, ddl_change, txn

HOST = "127.0.0.1"
DB = "database1"
TIMEOUT_S = 1.0  # the membership session's, in these tests


class Writer:
    """A minimal lead's writer: one transaction per batch."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.leads_since_s = 0.0
        self.terms: list[int] = []
        self.statuses: list[MemberStatus] = []
        self.pending: asyncio.Future[None] | None = None

    def became_lead(self, term: int, in_sync: tuple[int, ...]) -> None:
        self.terms.append(term)
        self.leads_since_s = boottime_s()

    def lost_lead(self) -> None:
        self.leads_since_s = 0.0
        if self.site.element.in_batch:
            self.site.element.rollback()
        if self.pending is not None and not self.pending.done():
            self.pending.set_exception(OutcomeUnknownError("the lead lost its term"))

    def state_changed(self, status: MemberStatus) -> None:
        self.statuses.append(status)

    async def write(self, rows: list[StorageRow], ddl: bytes = b"") -> None:
        """Insert customers as one replicated transaction. Raises GridError."""
        element, member = self.site.element, self.site.member
        element.begin()
        term, lsn = member.term, element.tail.lsn + 1
        if ddl:
            payload = TxnPayload(b"", ddl)
            entry = LogEntry(term, lsn, EntryKind.COMMIT, txn(lsn), encode_payload(payload))
            element.apply_entry(entry)
        else:
            changes = element.insert_rows("TERRY.CUSTOMERS", rows)
            payload = TxnPayload(row_changes.encode(changes))
            entry = LogEntry(term, lsn, EntryKind.COMMIT, txn(lsn), encode_payload(payload))
            element.append(entry)
        await self._replicate(entry)

    async def write_parts(self, rows: list[StorageRow]) -> None:
        """The same, in PART entries of one piece each and a COMMIT that names them."""
        element, member = self.site.element, self.site.member
        who = txn(element.tail.lsn + 1)
        changes = [RowChange("TERRY.CUSTOMERS", None, row) for row in rows]
        parts = []
        for at in range(0, len(changes), row_changes.PIECE):
            data = row_changes.encode(changes[at : at + row_changes.PIECE])
            element.begin()
            parts.append(element.tail.lsn + 1)
            payload = encode_payload(TxnPayload(data))
            part = LogEntry(member.term, parts[-1], EntryKind.PART, who, payload)
            element.append(part)
            await self._replicate(part)
        element.begin()
        payload = encode_payload(TxnPayload(parts=tuple(parts)))
        commit = LogEntry(member.term, element.tail.lsn + 1, EntryKind.COMMIT, who, payload)
        element.apply_entry(commit)
        await self._replicate(commit)

    async def _replicate(self, entry: LogEntry) -> None:
        element = self.site.element
        done = self.pending = asyncio.get_running_loop().create_future()

        def on_done(error: GridError | None) -> None:
            if error is None:
                element.commit()
            elif element.in_batch:
                element.rollback()
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        self.site.member.replicate([entry], on_done, element.effect_bytes(entry))
        await done


class Site:
    """One instance with one element; can be killed and started again."""

    def __init__(self, sites: Sites, number: int) -> None:
        self.sites = sites
        self.number = number
        self.name = f"host{number}.instance1"
        self.path = sites.folder / f"element{number}"
        self.life = 0
        self.running = False
        self.element: Element
        self.member: ReplicaSetMember
        self.membership: MemoryMembership
        self.rpc: RpcNode
        self.writer: Writer
        self.cut_from: set[str] = set()

    @property
    def incarnation(self) -> str:
        return f"{self.name}#{self.life}"

    async def start(self) -> None:
        before = (self.incarnation,) if self.life else ()
        self.life += 1
        if Element.exists(self.path):
            self.element = Element.open(self.path, self.sites.settings)
        else:
            identity = ElementIdentity(
                database=DB, database_id="db-1", element=self.number, instance=self.name
            )
            self.element = Element.create(self.path, identity, self.sites.settings)
        self.rpc = RpcNode(NodeIdentity("grid1", self.name, self.incarnation, b"secret"))
        port = await self.rpc.listen(HOST, 0)
        info = InstanceInfo(InstanceName(self.name), "data", self.incarnation, HOST, port)
        self.membership = MemoryMembership(self.sites.ensemble, info, before)
        await self.membership.start()
        self._set_peers(self.membership.view())
        self.membership.subscribe(self._set_peers)
        self.writer = Writer(self)
        self.member = ReplicaSetMember(
            self.element, self.membership, self.rpc, SystemClock(), self.sites.replication,
            self.writer, DB,
        )  # fmt: skip
        self.running = True
        await self.member.start(self.sites.map)

    def _set_peers(self, view: ClusterView) -> None:
        for info in view.instances.values():
            if info.name != self.name and info.name not in self.cut_from:
                self.rpc.set_peer(info.name, info.address, info.port, info.incarnation)

    def cut_link(self, other: Site) -> None:
        for a, b in ((self, other), (other, self)):
            a.cut_from.add(b.name)
            a.rpc.drop_peer(b.name)

    def heal_link(self, other: Site) -> None:
        for a, b in ((self, other), (other, self)):
            a.cut_from.discard(b.name)
            a._set_peers(a.membership.view())

    async def kill(self, *, proof: bool) -> None:
        """As SIGKILL: nobody is told anything, except by the supervisor (`proof`)."""
        self.running = False
        await self._silence()
        await self.rpc.close(0)
        self.sites.ensemble.cut(self.name)
        self.sites.ensemble.members.remove(self.membership)  # its session still has to expire
        self.writer.lost_lead()  # its clients' connections break
        self.element.close(clean=False)
        if proof:
            await self.sites.observer.report_death(self.incarnation)

    async def _silence(self) -> None:
        member = self.member
        member._stopped = True
        for unsubscribe in member._undo_subscriptions:
            unsubscribe()
        if member._timer is not None:
            member._timer.cancel()
        for task in list(member._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def stop(self, *, hand_over: bool) -> None:
        """An orderly stop."""
        await self.member.stop(hand_over)
        self.running = False
        await self.membership.stop()
        await self.rpc.close()
        self.element.close(clean=True)


class Sites:
    """All of them, and what they share."""

    def __init__(self, folder: Path, k: int, **settings: int) -> None:
        self.folder = folder
        self.k = k
        self.ensemble = MemoryEnsemble(TIMEOUT_S)
        self.observer = MemoryMembership(self.ensemble, None)
        self.settings = StorageSettings(perm_size_mb=64, **settings)  # type: ignore[arg-type]
        self.replication = ReplicationSettings(session_timeout_s=TIMEOUT_S)
        self.sites = {number: Site(self, number) for number in range(1, k + 1)}
        elements = tuple(ElementPlace(n, s.name, 1, n) for n, s in self.sites.items())
        self.map = DistributionMap(DB, 1, k, elements, (BucketRange(0, 4095, 1),))

    async def start(self) -> None:
        await self.observer.start()
        await self.observer.put_map(DB, 0, self.map.encode())
        for site in self.sites.values():
            await site.start()

    async def close(self) -> None:
        for site in self.sites.values():
            if site.running:
                await site.stop(hand_over=False)
        await self.observer.stop()

    def __getitem__(self, number: int) -> Site:
        return self.sites[number]

    @property
    def lead(self) -> Site | None:
        leads = [s for s in self.sites.values() if s.running and s.member.lead_ok()]
        assert len(leads) <= 1, "two leads"
        return leads[0] if leads else None

    async def until(self, condition: Callable[[], object], timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.005)  # many things change; none of them has one event

    def whole(self) -> bool:
        """Every running element is in sync and follows one lead, which is where it belongs."""
        lead = self.lead
        running = tuple(n for n, s in self.sites.items() if s.running)
        return (
            lead is not None
            and (lead.number == 1 or not self.sites[1].running)
            and all(self.sites[n].member.in_sync for n in running)
            and lead.member.status().in_sync == running
            and all(self.sites[n].element.tail == lead.element.tail for n in running)
        )

    async def until_whole(self, timeout_s: float = 10.0) -> Site:
        await self.until(self.whole, timeout_s)
        assert self.lead is not None
        return self.lead

    async def make_table(self) -> None:
        lead = await self.until_whole()
        ddl = ddl_change(lead.element, CreateTable(CUSTOMERS), tables=(CUSTOMERS,))
        await lead.writer.write([], ddl)
