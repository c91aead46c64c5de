"""A management instance: store, operations, role, API. Started by daemons/mgmtd.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from membership.port import ClusterView, Membership
from mgmt.api.app import Api
from mgmt.api.events import EventStreams
from mgmt.api.routes import all as all_routes
from mgmt.api.server import HttpListener
from mgmt.ha.keeper import RoleKeeper, Setting
from mgmt.ha.role import Role
from mgmt.model.store import Store
from mgmt.ops.operation import State
from mgmt.ops.runner import Runner
from mgmt.service import (
    apply,
    auto_replace,
    backups,
    certificates,
    connections,
    databases,
    distribution,
    redistribution,
    restores,
    upgrade,
)
from mgmt.service.context import Management, Models
from mgmt.service.exported import Exported
from mgmt.service.placed import Placed
from mgmt.service.watching import Watcher
from mgmt.transport.installation import release
from mgmt.transport.port import Transports
from protocol import instance_file, tls
from protocol.clock import Clock
from protocol.errors import GridError, ModelError, NotActiveManagementError, ParameterError
from protocol.instance_file import InstanceSettings
from protocol.rpc.node import RpcNode
from protocol.tls import ServerTls

log = structlog.get_logger(__name__)
STORE_FILE = "grid/management.db"
RETRY_S = 1.0
START_TIMEOUT_S = 5.0  # then the API opens all the same and says what is missing
ROLE_TIMEOUT_S = 5.0  # a request waits so long for the role to be known, then it is refused

MakeMembership = Callable[[InstanceSettings], Membership]  # not started yet
MakeRpc = Callable[[InstanceSettings], RpcNode]  # not listening yet
INSTALLERS: tuple[Callable[[Management], None], ...] = (
    apply.install,
    certificates.install,
    databases.install,
    connections.install,
    distribution.install,
    backups.install,
    restores.install,
    redistribution.install,
    auto_replace.install,
    upgrade.install,
)


class ManagementInstance:
    """One per process; a Service of daemons/runtime.py."""

    def __init__(
        self,
        settings: InstanceSettings,
        *,
        incarnation: str,
        make_membership: MakeMembership,
        make_rpc: MakeRpc,
        transports: Transports,
        clock: Clock,
    ) -> None:
        self._incarnation = incarnation
        self._make_membership = make_membership
        self._make_rpc = make_rpc
        self._drained = asyncio.Event()
        self._joining: asyncio.Task[None] | None = None
        self._background: list[asyncio.Task[None]] = []  # while active
        store_path = settings.path(STORE_FILE)
        store_path.parent.mkdir(parents=True, exist_ok=True)
        store_path.touch(mode=0o600)  # it holds the key of the certificate authority
        store_path.chmod(0o600)
        store = Store(store_path)
        self.management = Management(
            store=store,
            models=Models(store, clock),
            placed=Placed(store),
            runner=Runner(store, clock),
            transports=transports,
            clock=clock,
            settings=settings,
            software=release(),
        )
        self.management.runner.secured = self.management.secured = self.secured
        for install in INSTALLERS:
            install(self.management)
        self.watcher = Watcher(self.management)
        self.exported = Exported(self.management, self.watcher)
        self.api = Api(
            all_routes.routes(self.management, self, self.watcher),
            token=_token(settings),
            role_known=self.role_known,
            check_active=self.check_active,
            secured=self.secured,
            events=EventStreams(self.watcher),
            active_url=self._active_url,
            version=self.management.software,
        )
        self._listener = HttpListener(self.api)

    # -- Service
    async def start(self) -> None:
        """Open the API; the role is looked after in the background."""
        settings = self.management.settings
        self.exported.process.start()
        if settings.grid:
            self._joining = asyncio.create_task(self._join(), name="management-join")
        try:
            await self._listener.start(
                settings.internal_address, settings.mgmt_port, _api_tls(settings)
            )
        except OSError as error:
            raise ParameterError(
                f"cannot listen on {settings.internal_address}:{settings.mgmt_port}:"
                f" {error.strerror}"
            ) from error
        await self._joined()
        if self.management.keeper is not None:
            await self.management.keeper.known(START_TIMEOUT_S)

    async def run(self) -> None:
        """Until drained."""
        await self._drained.wait()

    async def drain(self) -> None:
        """Stop answering, interrupt operations (they resume), leave the membership."""
        self.exported.process.stop()
        await self._listener.stop()
        if self._joining is not None:
            self._joining.cancel()
            await asyncio.gather(self._joining, return_exceptions=True)
        background = tuple(self._background)
        await self.management.runner.stop()
        await self._disconnect()
        await asyncio.gather(*background, return_exceptions=True)
        self.management.store.close()
        self._drained.set()

    # -- roles
    @property
    def role(self) -> Role:
        """The present role."""
        keeper = self.management.keeper
        if keeper is not None:
            return keeper.role
        return Role.STARTING if self.management.settings.grid else Role.NO_GRID

    async def role_known(self) -> None:
        """Wait while it is open who is active, at most a while: after a stall of the machine."""
        if self.management.keeper is not None:
            await self.management.keeper.known(ROLE_TIMEOUT_S)

    def check_active(self) -> None:
        """Raises NotActiveManagementError, naming the active one, unless this is it."""
        self._kept().check_active()

    async def secured(self) -> None:
        """Until every change made so far is safe: see Management.secured."""
        await self._kept().secured()

    async def join(self, settings: InstanceSettings) -> None:
        """gridCreate: see mgmt/api/routes/management.py."""
        before = self.management.settings
        self.management.settings = settings
        try:
            keeper = await self._connect()
            await keeper.create()
        except BaseException:
            await self._disconnect()
            self.management.settings = before
            raise
        keeper.start()
        encryption = _api_tls(settings)
        if encryption is not None:
            await self._listener.encrypt(encryption)

    async def start_active(self) -> None:
        """mgmtActiveStart."""
        await self._joined()
        await self._kept().start_active()

    async def stop_active(self) -> None:
        """mgmtActiveStop."""
        keeper = self._kept()
        keeper.check_active()
        running = [r for r in self.management.runner.list() if r.state is State.RUNNING]
        if running:
            raise ModelError(
                f"{running[0].kind} {running[0].subject} is still running",
                hint="Wait for it, or stop it with ttGridAdmin operationCancel.",
            )
        await keeper.stop_active()

    async def switch(self, *, force: bool) -> tuple[str, ...]:
        """mgmtActiveSwitch."""
        await self._joined()
        return await self._kept().switch(force=force)

    async def start_standby(self) -> None:
        """mgmtStandbyStart."""
        await self._joined()
        await self._kept().start_standby()

    async def stop_standby(self) -> None:
        """mgmtStandbyStop."""
        await self._kept().stop_standby()

    async def _joined(self) -> None:
        """Wait for the session with the membership servers, at most a while."""
        if self.management.keeper is None and self._joining is not None:
            await asyncio.wait({self._joining}, timeout=START_TIMEOUT_S)

    def _kept(self) -> RoleKeeper:
        keeper = self.management.keeper
        if keeper is not None:
            return keeper
        if not self.management.settings.grid:
            raise ModelError(
                "this instance has no grid yet", hint="Create it with ttGridAdmin gridCreate."
            )
        raise NotActiveManagementError(
            "no session with the membership servers",
            hint="Start a majority of the membership servers, then repeat the command.",
        )

    # -- inside
    async def _join(self) -> None:
        """Connect, however long that takes."""
        while True:
            try:
                keeper = await self._connect()
                break
            except GridError as error:
                log.warning("management.not_connected", problem=error.message)
                await asyncio.sleep(RETRY_S)
        keeper.start()

    def _became_active(self) -> None:
        management = self.management
        self._background = [asyncio.create_task(w()) for w in management.while_active]
        runner, models = management.runner, management.models
        resumed = runner.resume()
        applying = any(r.record.kind == apply.COMMAND for r in resumed)
        if models.exists and not applying and runner.running_on(apply.SUBJECT) is None:
            models.abort_apply()  # the process ended before its operation was journaled

    def _ceased_to_be_active(self) -> Sequence[asyncio.Task[Any]]:
        background = tuple(self._background)
        for task in background:
            task.cancel()
        self._background.clear()
        return (*background, *self.management.runner.interrupt())

    def _automatic(self) -> bool:
        models = self.management.models
        return not models.exists or models.grid.mgmt_failover == "automatic"

    async def _connect(self) -> RoleKeeper:
        settings = self.management.settings
        membership, rpc = self._make_membership(settings), self._make_rpc(settings)
        try:
            await rpc.listen(settings.internal_address, settings.daemon_port)
        except OSError as error:
            await rpc.close()
            raise ModelError(
                f"cannot listen on {settings.internal_address}:{settings.daemon_port}:"
                f" {error.strerror}"
            ) from error
        try:
            await membership.start()
        except BaseException:
            await rpc.close()
            raise
        self.management.membership, self.management.rpc = membership, rpc
        membership.subscribe(self._view_changed)
        self._view_changed(membership.view())
        self.management.keeper = RoleKeeper(
            self.management.store,
            membership,
            rpc,
            Setting(
                name=settings.name,
                incarnation=self._incarnation,
                session_timeout_s=settings.membership.session_timeout_s,
                partner=self.management.partner,
                has_grid=lambda: self.management.models.exists,
                automatic=self._automatic,
                began=self._became_active,
                ceased=self._ceased_to_be_active,
            ),
        )
        return self.management.keeper

    async def _disconnect(self) -> None:
        keeper, self.management.keeper = self.management.keeper, None
        if keeper is not None:
            await keeper.stop()
        membership, rpc = self.management.membership, self.management.rpc
        self.management.membership = self.management.rpc = None
        if rpc is not None:
            await rpc.close()
        if membership is not None:
            await membership.stop()

    def _active_url(self) -> str:
        """Where the API of the active management instance is, if another one is; "": unknown."""
        management = self.management
        membership, models = management.membership, management.models
        active = membership.view().mgmt if membership is not None else None
        if membership is None or active is None or not models.exists:
            return ""
        instance = models.current().instance(active.name)
        info = membership.view().instances.get(active.name)
        if active.name == management.settings.name or instance is None or info is None:
            return ""
        scheme = "http" if management.settings.internal_encryption == "off" else "https"
        return f"{scheme}://{info.address}:{instance.mgmt_port}"

    def _view_changed(self, view: ClusterView) -> None:
        self.watcher.view_changed(view)
        rpc = self.management.rpc
        if rpc is not None:
            for name, info in view.instances.items():
                if name != self.management.settings.name:
                    rpc.set_peer(name, info.address, info.port, info.incarnation, info.kind)


def _api_tls(settings: InstanceSettings) -> ServerTls | None:
    """The API is on the internal network and encrypted like everything there."""
    if settings.internal_encryption == "off":
        return None
    return ServerTls(settings.path(tls.SERVER_FILE))


def _token(settings: InstanceSettings) -> str:
    path = Path(settings.home) / instance_file.TOKEN_FILE
    try:
        token = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ParameterError(
            f"no token of the management API: {error.strerror} ({path})",
            hint="ttGridAdmin gridCreate makes it.",
        ) from error
    if len(token) < 32:
        raise ParameterError(f"{path} is damaged: it must hold at least 32 characters")
    return token
