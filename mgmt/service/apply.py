"""modelApply: carries out the steps of mgmt/model/diff.py on hosts, each of them repeatable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import msgspec
import structlog

from mgmt.api import schema
from mgmt.model import diff, document, versions
from mgmt.model.types import Host, Installation, Instance, Model
from mgmt.ops.operation import Step
from mgmt.ops.runner import Progress, StepContext, silent
from mgmt.service import certificates, membership_list
from mgmt.service.context import Management
from mgmt.service.instance_files import push_secrets, push_settings, push_token
from mgmt.service.placed import PlacedInstallation, PlacedInstance
from mgmt.service.placing import Placing
from mgmt.transport.installation import installation_works, remove_installation
from mgmt.transport.port import HostTransport
from protocol import instance_file
from protocol.errors import GridError, ModelError, OperationError, PeerUnreachableError

log = structlog.get_logger()
T = TypeVar("T")
COMMAND = "modelApply"
SUBJECT = "model"
STANDBY_TIMEOUT_S = 60.0
PARALLEL = 10  # hosts worked on at a time, unless told otherwise


def install(management: Management) -> None:
    """Register the performers, and what follows a failure."""
    performers: dict[str, Callable[[Apply], Callable[[dict[str, Any]], Awaitable[str]]]] = {
        "apply-freeze": lambda a: a.freeze,
        "apply-export": lambda a: a.export,
        "apply-identify-deleted": lambda a: a.identify_deleted,
        "apply-delete-instances": lambda a: a.delete_instances,
        "apply-delete-installations": lambda a: a.delete_installations,
        "apply-verify-installations": lambda a: a.verify_installations,
        "apply-create-installations": lambda a: a.create_installations,
        "apply-verify-instances": lambda a: a.verify_instances,
        "apply-create-instances": lambda a: a.create_instances,
        "apply-grid-state": lambda a: a.grid_state,
        "apply-authentication": lambda a: a.authentication,
        "apply-push": lambda a: a.push,
        "apply-make-current": lambda a: a.make_current,
        "apply-connectivity": lambda a: a.connectivity,
        "apply-start-management": lambda a: a.start_management,
        "apply-standby": lambda a: a.standby,
        "apply-start": lambda a: a.start,
    }

    def performer(name: str) -> Callable[[dict[str, Any], StepContext], Awaitable[str]]:
        async def perform(body: dict[str, Any], context: StepContext) -> str:
            work = Apply(management, context.progress, parallel=body.get("parallel", PARALLEL))
            return await performers[name](work)(body)

        return perform

    for name in performers:
        management.runner.register(name, performer(name))
    management.runner.on_failure(COMMAND, lambda record: management.models.abort_apply())


async def apply(
    management: Management, request: schema.ModelApply, progress: Progress
) -> schema.Done:
    """Run the whole operation and report its lines."""
    register = management.models.versions
    versions.check_writable(register)
    model = management.models.get(register.latest)
    check(model)
    certificates.check_addresses(
        management.models.grid.internal_encryption,
        {host.name: host.internal_address for host in model.hosts},
    )
    await membership_list.check(management, model)
    todo = _todo(management, model)
    never_ran = [
        i.full_name
        for i in model.instances_of("mgmt")
        if (placed := management.placed.instances().get(i.full_name)) is None or not placed.started
    ]
    planned = diff.apply_steps(
        todo, version=register.latest, start=request.start, standby=bool(never_ran)
    )
    facts: dict[str, object] = {"parallel": request.parallel}
    steps = [Step(step.title, step.action, facts) for step in planned]

    async def show(kind: str, text: str) -> None:
        if kind != "line" or request.details:
            await progress(kind, text)

    await management.runner.run(COMMAND, SUBJECT, steps, show)
    current = management.models.current()
    for follow in management.after_apply:
        await follow(current)
    return schema.Done(messages=("ttGridAdmin modelApply complete",))


def check(model: Model) -> None:
    """Raises when the model as a whole cannot be applied."""
    if len(model.instances_of("mgmt")) > 2:
        raise ModelError("a grid has at most two management instances: cannot add a third")
    homes: dict[tuple[str, str], str] = {}
    for instance in model.instances:
        key = (instance.host, instance.home)
        if key in homes:
            raise ModelError(f"{instance.full_name} and {homes[key]} have the same home")
        homes[key] = instance.full_name


def _todo(management: Management, model: Model) -> diff.Work:
    placed = management.placed
    return diff.work(
        model,
        installations=[k for k, p in placed.installations().items() if p.usable],
        instances=[k for k, p in placed.instances().items() if p.created],
    )


class Apply:
    """The work of one apply, as far as one step needs it."""

    def __init__(
        self, management: Management, progress: Progress = silent, *, parallel: int = PARALLEL
    ) -> None:
        self._management = management
        self._parallel = parallel
        self._models = management.models
        self._placed = management.placed
        self._progress = progress
        register = self._models.versions
        self._number = register.applying or register.current
        self._model = self._models.get(self._number)

    # -- steps
    async def freeze(self, body: dict[str, Any]) -> str:
        """The version becomes read-only while the apply works on it."""
        if not self._models.versions.applying:
            self._models.begin_apply()
        return "OK"

    async def export(self, body: dict[str, Any]) -> str:
        """Make sure that the version can be written out and read back without a loss."""
        again, _ = document.from_text(self._document())
        if not document.is_faithful(again, self._model):
            raise OperationError("the model cannot be exported without a loss")
        return "OK"

    async def identify_deleted(self, body: dict[str, Any]) -> str:
        """Name what will go."""
        todo = _todo(self._management, self._model)
        for name in (*todo.gone_instances, *todo.gone_installations):
            await self._progress("line", f"  to be deleted: {name}")
        return "OK"

    async def delete_instances(self, body: dict[str, Any]) -> str:
        """Stop and remove what the model does not have any more, half-made instances included."""
        wanted = {i.full_name for i in self._model.instances}
        gone = [p for name, p in self._placed.instances().items() if name not in wanted]

        async def delete(placed: PlacedInstance) -> None:
            try:
                await self._delete_instance(placed)
            except PeerUnreachableError:
                if not self._is_lost(placed.host):
                    raise
                name = placed.instance.full_name
                await self._tell_forgotten(placed.host, f"instance {name}: {placed.home}")
                self._placed.forget_instance(name)

        await self._everywhere(gone, lambda p: p.instance.full_name, delete)
        return "OK"

    async def delete_installations(self, body: dict[str, Any]) -> str:
        """Remove trees that nothing uses any more."""
        wanted = {f"{i.host}.{i.name}" for i in self._model.installations}
        for name, placed in self._placed.installations().items():
            if name in wanted:
                continue
            try:
                await self._delete_installation(name, placed)
            except PeerUnreachableError:
                if not self._is_lost(placed.host):
                    raise
                await self._tell_forgotten(placed.host, f"installation {name}: {placed.path}")
                self._placed.forget_installation(name)
        return "OK"

    async def verify_installations(self, body: dict[str, Any]) -> str:
        """Those in place must run."""
        present = [p for p in self._placed.installations().values() if p.usable]
        await self._everywhere(present, _installation_name, self._verify_installation)
        return "OK"

    async def create_installations(self, body: dict[str, Any]) -> str:
        """Several machines at a time."""
        placed = self._placed.installations()
        new = [
            i
            for i in self._model.installations
            if (key := f"{i.host}.{i.name}") not in placed or not placed[key].usable
        ]
        placing = Placing(self._management, self._model, self._progress)

        async def place(batch: list[Installation]) -> None:
            for installation in batch:
                await placing.place(installation)

        try:
            await self._everywhere(placing.batches(new), _names, place)
        finally:
            await placing.close()
        return "OK"

    async def verify_instances(self, body: dict[str, Any]) -> str:
        """Homes in place must be those of our instances; places of new ones must be free."""
        placed = self._placed.instances()
        await self._everywhere(
            self._model.instances,
            lambda i: i.full_name,
            lambda i: self._verify_instance(i, placed.get(i.full_name)),
        )
        return "OK"

    async def create_instances(self, body: dict[str, Any]) -> str:
        """Make the homes."""
        placed = self._placed.instances()
        new = [
            i
            for i in self._model.instances
            if i.full_name not in placed or not placed[i.full_name].created
        ]
        await self._everywhere(new, lambda i: i.full_name, self._create_instance)
        return "OK"

    async def grid_state(self, body: dict[str, Any]) -> str:
        """Whoever is not the active any more must not configure instances."""
        membership = self._management.membership
        active = membership.view().mgmt if membership is not None else None
        if active is None or active.name != self._management.settings.name:
            raise OperationError(
                "this instance is not the active management instance any more",
                hint="Run modelApply on the active one (ttGridAdmin mgmtExamine).",
            )
        return "OK"

    async def authentication(self, body: dict[str, Any]) -> str:
        """Every instance gets the grid secret and certificates; management ones the API's token."""
        own = self._management.settings
        token = own.path(instance_file.TOKEN_FILE).read_text(encoding="ascii")

        async def push_to(instance: Instance) -> None:
            await push_secrets(self._to(instance), instance.home, own)
            if instance.kind == "mgmt":
                await push_token(self._to(instance), instance.home, token)

        await self._everywhere(self._model.instances, lambda i: i.full_name, push_to)
        certificates.forget_others(self._management, self._model)
        await self._everywhere(
            self._model.instances,
            lambda i: i.full_name,
            lambda i: certificates.provide(self._management, self._model, i),
        )
        return "OK"

    async def push(self, body: dict[str, Any]) -> str:
        """Every instance gets its settings, the membership file and the model."""
        text = self._document()

        async def push_to(instance: Instance) -> None:
            await push_settings(self._management, self._to(instance), self._model, instance, text)

        await self._everywhere(self._model.instances, lambda i: i.full_name, push_to)
        return "OK"

    async def make_current(self, body: dict[str, Any]) -> str:
        """The version is in force from here on."""
        if self._models.versions.applying:  # else: done before a crash
            self._models.finish_apply()
        return "OK"

    async def connectivity(self, body: dict[str, Any]) -> str:
        """Commands must run on every host."""

        async def check_host(name: str) -> None:
            host = self._model.host(name)
            assert host is not None
            result = await self._management.transports.to(host).run(["true"], timeout_s=30)
            if result.rc:
                raise OperationError(f"no command runs there: {result.output.strip()}")

        await self._everywhere([h.name for h in self._model.hosts], str, check_host)
        return "OK"

    async def start(self, body: dict[str, Any]) -> str:
        """Start data instances that never ran; those an operator stopped stay stopped."""
        return await self._start_new("data")

    async def start_management(self, body: dict[str, Any]) -> str:
        """Start the standby, if it never ran."""
        return await self._start_new("mgmt")

    async def standby(self, body: dict[str, Any]) -> str:
        """Wait until the standby holds everything this instance holds."""
        keeper = self._management.keeper
        if keeper is None or not await keeper.standby_in_sync(STANDBY_TIMEOUT_S):
            raise OperationError(
                f"the standby is not in sync after {STANDBY_TIMEOUT_S:.0f} s",
                hint="ttGridAdmin mgmtExamine says how it is.",
            )
        return "OK"

    async def _start_new(self, kind: str) -> str:
        new = [
            p
            for p in self._placed.instances().values()
            if p.instance.kind == kind and p.created and not p.started
        ]
        await self._everywhere(new, lambda p: p.instance.full_name, self._start)
        return "OK"

    # -- one object
    async def _delete_instance(self, placed: PlacedInstance) -> None:
        name = placed.instance.full_name
        for prepare in self._management.before_remove:
            await prepare(placed.instance)
        transport = self._management.transports.to(placed.host)
        if await transport.exists(f"{placed.home}/{instance_file.INSTANCE_FILE}"):
            found = await self._settings_at(transport, placed.home)
            if found is not None and found.name not in (name, placed.instance.name):
                raise OperationError(f"{placed.home} is the home of {found.name}: not removed")
            command = [f"{placed.home}/bin/ttDaemonAdmin", "-stop", "-force"]
            result = await transport.run(command)
            if result.rc:
                raise OperationError(f"it does not stop: {result.output.strip()}")
        await transport.remove_tree(placed.home)
        self._placed.forget_instance(name)
        await self._progress("line", f"  deleted instance {name}: {placed.home}")

    def _is_lost(self, host: Host) -> bool:
        """Whether a host that cannot be reached is lost for good.

        That is what deleting it from the model says, unless one of its instances is registered.
        """
        membership = self._management.membership
        there = membership.view().instances.values() if membership is not None else ()
        alive = any(str(info.name).startswith(f"{host.name}.") for info in there)
        return self._model.host(host.name) is None and not alive

    async def _tell_forgotten(self, host: Host, what: str) -> None:
        log.warning("apply.forgotten", what=what, host=host.name)
        await self._progress(
            "line", f"  host {host.name} is lost, forgotten: {what}; remove it if the host is back"
        )

    async def _delete_installation(self, name: str, placed: PlacedInstallation) -> None:
        transports = self._management.transports
        sharers = [
            other
            for key, other in self._placed.installations().items()
            if key != name
            and other.path == placed.path
            and transports.same_machine(other.host, placed.host)
        ]
        if sharers:
            if not placed.shared:  # whoever remains owns the tree from now on
                heir = msgspec.structs.replace(sharers[0], shared=False)
                self._placed.put_installation(heir)
        elif not placed.shared:
            await remove_installation(transports.to(placed.host), placed.path)
        self._placed.forget_installation(name)
        await self._progress("line", f"  deleted installation {name}: {placed.path}")

    async def _verify_installation(self, placed: PlacedInstallation) -> None:
        transport = self._management.transports.to(placed.host)
        wanted = self._model.installation(placed.host.name, placed.name)
        release = wanted.release if wanted is not None else ""
        if not await installation_works(transport, placed.path, release):
            broken = msgspec.structs.replace(
                placed,
                usable=False,
                message="does not run",
                when_us=self._management.clock.wall_us(),
            )
            self._placed.put_installation(broken)
            raise OperationError(
                f"the installation {placed.path} does not run",
                detail="The next modelApply makes it again.",
            )

    async def _verify_instance(self, instance: Instance, placed: PlacedInstance | None) -> None:
        found = await self._settings_at(self._to(instance), instance.home)
        if placed is not None and placed.created:
            if found is None or not self._is_ours(found, instance):
                raise OperationError(
                    f"{instance.home} is not the home of {instance.full_name} any more",
                    hint="Delete the instance from the model and apply, then create it again.",
                )
            return
        if found is not None and not self._is_ours(found, instance):
            raise OperationError(
                f"{instance.home} is the home of another instance ({found.name})",
                hint="Choose another -location; it may hold !!HOST_NAME!!.",
            )

    def _is_ours(self, found: instance_file.InstanceSettings, instance: Instance) -> bool:
        """A home we made and were interrupted at; a fresh one has only the short name."""
        if found.grid_id:
            same_grid = found.grid_id == self._management.settings.grid_id
            return same_grid and found.name == instance.full_name
        placed = self._placed.instances().get(instance.full_name)
        return placed is not None and placed.home == instance.home

    async def _create_instance(self, instance: Instance) -> None:
        host = self._model.host(instance.host)
        installation = self._model.installation(instance.host, instance.installation)
        assert host is not None
        assert installation is not None
        transport = self._to(instance)
        placed = PlacedInstance(host=host, instance=instance, home=instance.home)
        is_there = await transport.exists(instance.home)
        if is_there and instance.full_name not in self._placed.instances():
            raise OperationError(
                f"{instance.home} exists already",
                hint="Remove it, or choose another -location, then repeat modelApply.",
            )
        self._placed.put_instance(placed)  # journal first: from here on what is there is ours
        await self._management.secured()
        if await self._settings_at(transport, instance.home) is None:
            if is_there:
                await transport.remove_tree(instance.home)  # half made by an interrupted apply
            location = instance.home.rsplit("/", 1)[0]
            await transport.make_dir(location)
            command = [f"{installation.path}/bin/ttInstanceCreate", "-name", instance.name]
            command += ["-location", location, "-data" if instance.kind == "data" else "-grid"]
            command += ["-daemonPort", str(instance.daemon_port)]
            command += ["-csPort", str(instance.cs_port)]
            result = await transport.run(command)
            if result.rc:
                raise OperationError(f"ttInstanceCreate: {result.output.strip()}")
        self._placed.put_instance(msgspec.structs.replace(placed, created=True))
        await self._progress("line", f"  created instance {instance.full_name}: {instance.home}")

    async def _start(self, placed: PlacedInstance) -> None:
        transport = self._management.transports.to(placed.host)
        result = await transport.run([f"{placed.home}/bin/ttDaemonAdmin", "-start"])
        if result.rc and "runs already" not in result.output:
            raise OperationError(
                f"it does not start: {result.output.strip()}",
                hint="Mend the cause, then repeat modelApply.",
            )
        self._placed.put_instance(msgspec.structs.replace(placed, started=True))
        await self._progress("line", f"  {placed.instance.full_name}: {result.output.strip()}")

    # -- help
    def _document(self) -> str:
        grid = self._models.grid
        return document.to_text(self._model, grid=grid.name, k=grid.k, version=self._number)

    def _to(self, instance: Instance) -> HostTransport:
        host = self._model.host(instance.host)
        assert host is not None, "an instance stands below its host"
        return self._management.transports.to(host)

    async def _settings_at(
        self, transport: HostTransport, home: str
    ) -> instance_file.InstanceSettings | None:
        content = await transport.read_file(f"{home}/{instance_file.INSTANCE_FILE}")
        return None if content is None else instance_file.parse(content.decode())

    async def _everywhere(
        self,
        objects: Iterable[T],
        name: Callable[[T], str],
        work: Callable[[T], Awaitable[None]],
    ) -> None:
        """Work on all objects, some at a time; one error names every object that failed."""
        gate = asyncio.Semaphore(self._parallel)
        failures: list[tuple[str, GridError]] = []

        async def one(item: T) -> None:
            async with gate:
                try:
                    await work(item)
                except GridError as error:
                    failures.append((name(item), error))

        async with asyncio.TaskGroup() as group:
            for item in objects:
                group.create_task(one(item))
        if failures:
            text = "; ".join(f"{place}: {error.message}" for place, error in failures)
            hint = next((e.hint for _, e in failures if e.hint), "Mend it, repeat modelApply.")
            raise OperationError(text, hint=hint)


def _names(installations: list[Installation]) -> str:
    return ", ".join(f"{i.host}.{i.name}" for i in installations)


def _installation_name(placed: PlacedInstallation) -> str:
    return f"{placed.host.name}.{placed.name}"
