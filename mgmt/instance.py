"""A management instance: store, operations, role, API. Started by daemons/mgmtd.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from membership.port import ClusterView, Membership
from mgmt.api.app import Api
from mgmt.api.routes import all as all_routes
from mgmt.api.server import HttpListener
from mgmt.ha.role import Role, next_role
from mgmt.model.store import Delete, Put, Store
from mgmt.ops.operation import State
from mgmt.ops.runner import Runner
from mgmt.service import apply, databases, distribution
from mgmt.service.context import Management, Models
from mgmt.service.placed import Placed
from mgmt.transport.installation import release
from mgmt.transport.port import Transports
from protocol import instance_file
from protocol.clock import Clock, boottime_s
from protocol.errors import GridError, ModelError, NotActiveManagementError, ParameterError
from protocol.instance_file import InstanceSettings
from protocol.rpc.node import RpcNode

log = structlog.get_logger(__name__)
STORE_FILE = "grid/management.db"
STOPPED = ("active", "stopped")  # the mark mgmtActiveStop leaves in the store
RETRY_S = 1.0
START_TIMEOUT_S = 5.0  # then the API opens all the same and says what is missing
ROLE_TIMEOUT_S = 20.0  # for mgmtActiveStart

MakeMembership = Callable[[InstanceSettings], Membership]  # not started yet
MakeRpc = Callable[[InstanceSettings], RpcNode]  # not listening yet
INSTALLERS: tuple[Callable[[Management], None], ...] = (
    apply.install,
    databases.install,
    distribution.install,
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
        self._role = Role.NO_GRID
        self._wake = asyncio.Event()
        self._role_changed = asyncio.Event()
        self._drained = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._background: list[asyncio.Task[None]] = []  # while active
        store_path = settings.path(STORE_FILE)
        store_path.parent.mkdir(parents=True, exist_ok=True)
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
        for install in INSTALLERS:
            install(self.management)
        api = Api(
            all_routes.routes(self.management, self),
            token=_token(settings),
            check_active=self.check_active,
        )
        self._listener = HttpListener(api)

    # -- Service
    async def start(self) -> None:
        """Open the API; the role is looked after in the background."""
        settings = self.management.settings
        if self.management.models.exists:
            self._set_role(Role.STARTING)
            self._keeper = asyncio.create_task(self._keep_role(), name="management-role")
        try:
            await self._listener.start(settings.internal_address, settings.mgmt_port)
        except OSError as error:
            raise ParameterError(
                f"cannot listen on {settings.internal_address}:{settings.mgmt_port}:"
                f" {error.strerror}"
            ) from error
        await self._role_known(START_TIMEOUT_S)

    async def run(self) -> None:
        """Until drained."""
        await self._drained.wait()

    async def drain(self) -> None:
        """Stop answering, interrupt operations (they resume), leave the membership."""
        await self._listener.stop()
        await self._stop_keeper()
        await self.management.runner.stop()
        await self._disconnect()
        self.management.store.close()
        self._drained.set()

    # -- roles
    @property
    def role(self) -> Role:
        """The present role."""
        return self._role

    def check_active(self) -> None:
        """Raises NotActiveManagementError, naming the active one, unless this is it."""
        management = self.management
        if self._role is Role.NO_GRID:
            raise ModelError(
                "this instance has no grid yet", hint="Create it with ttGridAdmin gridCreate."
            )
        membership = management.membership
        if self._role is Role.ACTIVE and membership is not None:
            if membership.serving_until_s() > boottime_s():
                return
            raise NotActiveManagementError(
                "no session with the membership servers",
                hint="Start a majority of the membership servers, then repeat the command.",
            )
        if self._role is Role.STANDBY and membership is not None:
            active = membership.view().mgmt
            info = membership.view().instances.get(active.name) if active else None
            where = f"{active.name} at {info.address}" if active and info else "another instance"
            raise NotActiveManagementError(
                "this management instance is not the active one",
                hint=f"Run the command on {where}.",
            )
        raise NotActiveManagementError(
            f"this management instance is not active (it is {self._role})",
            hint="ttGridAdmin mgmtExamine says what to do.",
        )

    async def join(self, settings: InstanceSettings) -> None:
        """gridCreate: see mgmt/api/routes/management.py."""
        before = self.management.settings
        self.management.settings = settings
        try:
            await self._connect()
            membership = self.management.membership
            assert membership is not None
            active = await membership.become_active(settings.name)
            if active.incarnation != self._incarnation:
                raise ModelError(
                    f"a grid {settings.grid} is there already: {active.name} manages it",
                    hint="Choose another name, or other membership servers.",
                )
        except BaseException:
            await self._disconnect()
            self.management.settings = before
            raise
        self._set_role(Role.ACTIVE)
        self._keeper = asyncio.create_task(self._keep_role(), name="management-role")

    async def start_active(self) -> None:
        """mgmtActiveStart: lift the mark of mgmtActiveStop and wait until this is the active."""
        if self._role is Role.NO_GRID:
            self.check_active()
        self.management.store.write(Delete(*STOPPED))
        if self._role is Role.STOPPED:
            self._set_role(Role.STARTING)
        self._wake.set()
        await self._role_known(ROLE_TIMEOUT_S)
        if self._role is Role.STANDBY:
            raise ModelError(
                "another management instance is active",
                hint="Stop it there first: ttGridAdmin mgmtActiveStop.",
            )
        self.check_active()

    async def stop_active(self) -> None:
        """mgmtActiveStop: leave the role and a mark, so that nobody takes it up again by itself."""
        if self._role is not Role.ACTIVE:
            self.check_active()
        running = [r for r in self.management.runner.list() if r.state is State.RUNNING]
        if running:
            raise ModelError(
                f"{running[0].kind} {running[0].subject} is still running",
                hint="Wait for it, or stop it with ttGridAdmin operationCancel.",
            )
        self.management.store.write(Put(*STOPPED, b"1"))
        membership = self.management.membership
        assert membership is not None
        await membership.resign_active()
        self._set_role(Role.STOPPED)

    # -- inside
    async def _role_known(self, timeout_s: float) -> None:
        """Wait until the role is found out, at most so long."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._role is Role.STARTING:
                    self._role_changed.clear()
                    await self._role_changed.wait()
        except TimeoutError:
            log.warning("management.role_unknown", waited_s=timeout_s)

    async def _keep_role(self) -> None:
        """Follow the membership: be active when nobody is, resume work when becoming so."""
        if self._role is Role.ACTIVE:
            self._became_active()
        while True:
            self._wake.clear()
            try:
                await self._follow_once()
            except GridError as error:
                log.warning("management.role_unknown", problem=error.message)
                self._set_role(Role.STARTING)
            try:
                async with asyncio.timeout(RETRY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _follow_once(self) -> None:
        if self.management.membership is None:
            await self._connect()
        membership = self.management.membership
        assert membership is not None
        view = membership.view()
        role, try_it = next_role(
            connected=view.connected,
            stopped=self.management.store.get(*STOPPED) is not None,
            active=view.mgmt,
            name=self.management.settings.name,
            incarnation=self._incarnation,
        )
        if try_it:
            active = await membership.become_active(self.management.settings.name)
            mine = active.incarnation == self._incarnation
            role = Role.ACTIVE if mine else Role.STANDBY
        became = role is Role.ACTIVE and self._role is not Role.ACTIVE
        self._set_role(role)
        if became:
            self._became_active()

    def _became_active(self) -> None:
        self._background = [asyncio.create_task(w()) for w in self.management.while_active]
        runner, models = self.management.runner, self.management.models
        resumed = runner.resume()
        applying = any(r.record.kind == apply.COMMAND for r in resumed)
        if models.exists and not applying and runner.running_on(apply.SUBJECT) is None:
            models.abort_apply()  # the process ended before its operation was journaled

    async def _connect(self) -> None:
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

    async def _disconnect(self) -> None:
        membership, rpc = self.management.membership, self.management.rpc
        self.management.membership = self.management.rpc = None
        if rpc is not None:
            await rpc.close()
        if membership is not None:
            await membership.stop()

    async def _stop_keeper(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        background = tuple(self._background)
        self._end_background()
        await asyncio.gather(*background, return_exceptions=True)

    def _view_changed(self, view: ClusterView) -> None:
        rpc = self.management.rpc
        if rpc is not None:
            for name, info in view.instances.items():
                if name != self.management.settings.name:
                    rpc.set_peer(name, info.address, info.port, info.incarnation, info.kind)
        self._wake.set()

    def _set_role(self, role: Role) -> None:
        if role is not self._role:
            log.info("management.role_changed", role=str(role), before=str(self._role))
            if self._role is Role.ACTIVE:
                self._end_background()
            self._role = role
            self._role_changed.set()

    def _end_background(self) -> None:
        for task in self._background:
            task.cancel()
        self._background.clear()


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
