"""A data instance assembled: internal network, membership, databases, SQL front end.

Start order: RPC listener, membership session, elements as membership says, SQL listener. Stop: the
SQL listener refuses, leads are handed over, elements close clean, membership last.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import structlog

from data.admin import handlers
from data.admin.fence import ManagementFence
from data.admin.keeper import ElementKeeper
from data.admin.port import ElementFacts
from data.backup import image
from data.backup.server import BackupServer
from data.database import (
    DAMAGED_FOLDER,
    SCRATCH_FOLDER,
    Database,
    create_element,
    rebuild_element,
    storage_settings,
)
from data.exec import distribution_views, instance_views, logins
from data.exec.engine import DataEngine, Served
from data.exec.fragments import FragmentServer
from data.exec.shard import Shard
from data.figures import InstanceMeasures
from data.moving import moving
from data.session.frontend import Frontend
from data.session.roster import Roster
from data.session.worksheet import Worksheet
from data.storage.element import Element
from data.txn.epochs import EpochBook
from membership.port import ClusterView, InstanceInfo, Membership
from protocol import tls, trace
from protocol.clock import SystemClock, boottime_s
from protocol.errors import (
    CorruptElementError,
    DatabaseClosedError,
    DuplicateObjectError,
    UnknownDatabaseError,
)
from protocol.instance_file import InstanceSettings
from protocol.messages.admin import INTENT_LOADED, INTENT_OPEN, ElementSpec, parse_intent
from protocol.messages.sessions import SessionInfo
from protocol.rpc.node import RpcNode
from protocol.rpc.reach import reach_of
from protocol.tls import ServerTls
from protocol.topology import DistributionMap

log = structlog.get_logger(__name__)

UTL_FILE_FOLDER = Path("plsql") / "utl_file_temp"  # in the home of the instance
SESSION_DRAIN_S = 1.0  # sessions in the middle of a transaction get this long to end it


class DataInstance:
    """Also the DatabaseHost that the element keeper drives."""

    def __init__(
        self,
        settings: InstanceSettings,
        home: Path,
        info: InstanceInfo,
        rpc: RpcNode,
        membership: Membership,
    ) -> None:
        self._settings = settings
        self._home = home
        self._info = info
        self._rpc = rpc
        self._membership = membership
        self._clock = SystemClock()
        self._shards: dict[str, Shard] = {}
        self._databases: dict[str, Database] = {}  # by name in lower case
        self._served: dict[str, Served] = {}
        self._fragments = FragmentServer(self._shards, info.name)
        self._fragments.register(rpc)
        self._epochs = EpochBook(rpc)
        self.keeper = ElementKeeper(
            home, info.name, info.incarnation, self, membership, self._clock
        )
        self._fence = ManagementFence()
        handlers.register(rpc, self.keeper, self._fence)
        self._backups = BackupServer(str(info.name), self._find, self.keeper, storage_settings)
        self._backups.register(rpc, self._fence)
        moving.register(rpc, self.database, self._fence)
        distribution_views.register(rpc, self.database, self.keeper.reports)
        logins.register(rpc, self.database)
        instance_views.register(rpc, self.database)
        mode = settings.server_encryption
        self._engine = DataEngine(
            self._served, lambda database: bool(self.keeper.reports(database))
        )
        self.frontend = Frontend(
            self._engine,
            tls=None if mode == "rejected" else ServerTls(settings.path(tls.SERVER_FILE)),
            requires_tls=mode == "required",
        )
        self.measures = InstanceMeasures(
            settings,
            rpc,
            membership,
            self.frontend,
            lambda: [database.measures for database in self._databases.values()],
        )
        self.measures.register()
        Roster(self.frontend, self._other_connections).register(rpc, self._fence)
        Worksheet(home / "info" / f".s.PGSQL.{info.cs_port}").register(rpc)
        self._unsubscribe: Callable[[], None] | None = None
        self._peers: set[str] = set()
        self._reach = reach_of(rpc)
        self._reach.serves = lambda: membership.serving_until_s() > boottime_s()
        self._reach.subscribe(self._reach_changed)

    # -- life -----------------------------------------------------------------------------------
    async def start(self) -> None:
        """Return when membership knows this instance and SQL clients can connect."""
        self.measures.process.start()
        await self._rpc.listen(self._info.address, self._info.port)
        await self._membership.start()
        self._reach.start(self._settings.membership.session_timeout_s)
        self._unsubscribe = self._membership.subscribe(self._view_changed)
        self._view_changed(self._membership.view())
        await self.keeper.start()
        await self.frontend.listen_local(self._home / "info", self._info.cs_port)
        await self.frontend.listen(self._info.external_address, self._info.cs_port)
        log.info("instance.serving", name=self._info.name)

    async def stop(self) -> None:
        """Orderly: hand leads over, close everything, leave membership last."""
        await self.frontend.drain(SESSION_DRAIN_S)
        await self._backups.close()
        await self.keeper.stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
        await self._membership.stop()
        self._reach.stop()
        await self._rpc.close()
        self.measures.process.stop()

    def _view_changed(self, view: ClusterView) -> None:
        self._fence.seen(view)
        present = set()
        for info in view.instances.values():
            if info.name != self._info.name:
                present.add(str(info.name))
                self._rpc.set_peer(
                    info.name, info.address, info.port, info.incarnation, kind=info.kind
                )
        for name in self._peers - present:  # stopped or cut off: nobody waits for its answers
            self._rpc.disconnect(name)
        self._peers = present
        self._reach.watch(
            {str(i.name) for i in view.instances.values() if i.kind == "data"} & present
        )
        for database in list(self._databases.values()):
            database.view_changed(view)

    def _reach_changed(self) -> None:
        """Clients of an instance that is cut off are better served elsewhere."""
        away = self._reach.stranded
        if away != self.frontend.turns_away:
            log.warning("instance.stranded", stranded=away, cut_off=self._reach.cut_off)
            self.frontend.turn_away(away)

    # -- DatabaseHost ---------------------------------------------------------------------------
    async def create(self, spec: ElementSpec) -> None:
        """Make the element's files."""
        path = Path(spec.data_store)
        if await asyncio.to_thread(Element.exists, path):
            await asyncio.to_thread(_check_leftover, path, spec)
            return
        element = await asyncio.to_thread(create_element, spec, str(self._info.name))
        element.close(clean=True)

    async def load(self, spec: ElementSpec) -> None:
        """Open the files and join the replica set."""
        if trace.steps.listener is not None:
            trace.step("data/instance.py")
        key = spec.database.lower()
        if key in self._databases:
            return
        await asyncio.to_thread(
            image.remove, Path(spec.data_store) / image.FOLDER
        )  # of a past life
        element = await self._open_element(spec)
        database = Database(
            spec,
            element,
            str(self._info.name),
            self._info.incarnation,
            self._rpc,
            self._membership,
            self._fragments,
            self._clock,
            self._settings.membership.session_timeout_s,
            self._epochs.clock(spec.database),
        )
        database.space.files_folder = self._home / UTL_FILE_FOLDER
        database.observed.backups_of = lambda: self._backups.backups(spec.database)
        self._databases[key] = database
        self._served[key] = database
        self._shards[spec.database] = database.shard
        await database.start()

    async def _open_element(self, spec: ElementSpec) -> Element:
        """The element of the files, or, if they are damaged or gone, a new one to be filled.

        A new one only if another copy counts as in sync: it has all that was acknowledged.
        """
        path = Path(spec.data_store)
        try:
            return await asyncio.to_thread(Element.open, path, storage_settings(spec))
        except CorruptElementError as error:
            if not await self._another_has_it(spec):
                raise
            log.error("element.rebuilt", database=spec.database, why=error.message)
            return await asyncio.to_thread(rebuild_element, spec, str(self._info.name))

    async def _another_has_it(self, spec: ElementSpec) -> bool:
        value = self._membership.view().maps.get(spec.database)
        places = DistributionMap.decode(value).elements if value is not None else ()
        place = next((p for p in places if p.element == spec.element), None)
        if place is None or not place.replica_set:
            return False
        state = await self._membership.read_set(spec.database, place.replica_set)
        return state is not None and bool(set(state.in_sync) - {spec.element})

    async def open(self, database: str) -> None:
        """Accept users."""
        found = self._find(database)
        found.space.is_open = found.recovery.was_open = True

    async def close(self, database: str) -> None:
        """Refuse new users."""
        self._find(database).space.is_open = False

    async def unload(self, database: str) -> None:
        """End the sessions, leave the replica set, close the files."""
        found = self._databases.get(database.lower())
        if found is None:
            return
        self._served.pop(database.lower(), None)
        others_stay = self._others_stay(found)
        closed = DatabaseClosedError(
            f"database {database} is being unloaded {'here' if others_stay else ''}".rstrip(),
            hint="Connect to another data instance." if others_stay else "",
        )
        if others_stay:
            await self.frontend.leave_database(database, closed, SESSION_DRAIN_S)
        else:
            self.frontend.close_database(database, closed)
        await found.stop(hand_over=others_stay)
        self._databases.pop(database.lower(), None)
        self._shards.pop(found.spec.database, None)

    async def destroy(self, spec: ElementSpec) -> None:
        """Remove the files."""
        path = Path(spec.data_store)
        for folder in (SCRATCH_FOLDER, DAMAGED_FOLDER, image.FOLDER):
            await asyncio.to_thread(shutil.rmtree, path / folder, ignore_errors=True)
        if await asyncio.to_thread(Element.exists, path):
            await asyncio.to_thread(Element.destroy, path)

    def facts(self, database: str) -> ElementFacts:
        """Facts of a loaded element."""
        return self._find(database).facts()

    def _other_connections(self, database: str) -> tuple[SessionInfo, ...]:
        """Those of a loaded database that are not of clients here."""
        found = self._databases.get(database.lower())
        return () if found is None else found.connections()

    def _others_stay(self, database: Database) -> bool:
        """False if the whole database is being unloaded: then nobody takes the lead over."""
        intent, _ = parse_intent(self._membership.view().states.get(database.spec.database, ""))
        return intent in (INTENT_LOADED, INTENT_OPEN)

    def database(self, name: str) -> Database:
        """A loaded database. Raises UnknownDatabaseError."""
        return self._find(name)

    def _find(self, database: str) -> Database:
        found = self._databases.get(database.lower())
        if found is None:
            raise UnknownDatabaseError(f"database {database} is not loaded here")
        return found


def _check_leftover(path: Path, spec: ElementSpec) -> None:
    """A repeated create finds its own element; another one's is never taken over."""
    element = Element.open(path, storage_settings(spec))
    found = element.identity.database_id
    element.close(clean=True)
    if found != spec.database_id:
        raise DuplicateObjectError(
            f"{path} holds an element of another database ({element.identity.database})",
            hint="Move it away, or choose another DataStore.",
        )
