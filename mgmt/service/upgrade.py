"""gridUpgrade: another installation on every host, then instance after instance started from it.

A restart is a step of a journaled operation: whoever is the active goes on with what is left.
What an instance was last started from is remembered with what is in place (service/placed.py), so
the command repeated after a failure does only what is left.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
import structlog

from membership.port import ClusterView
from mgmt.api import schema
from mgmt.api import schema_upgrade as requests
from mgmt.model.names import check_name
from mgmt.model.types import Host, Installation, Instance, InstanceKind, Model
from mgmt.ops.operation import Record, Step
from mgmt.ops.runner import Progress, StepContext
from mgmt.service import apply, upgrade_plan
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import DatabaseRecord
from mgmt.service.database_status import health_of
from mgmt.service.hosts import new_guid
from mgmt.service.installations import check_location
from mgmt.service.placed import PlacedInstance
from mgmt.transport.installation import split_source
from mgmt.transport.port import HostTransport
from protocol import trace
from protocol.errors import (
    GridError,
    MembershipLostError,
    ModelError,
    NotActiveManagementError,
    OperationError,
    ParameterError,
)
from protocol.messages.admin import INTENT_LOADED, INTENT_OPEN
from protocol.topology import DistributionMap

log = structlog.get_logger(__name__)

COMMAND = "gridUpgrade"
LOOK_S = 0.2
WHOLE_TIMEOUT_S = 600.0  # for a copy to catch up, or to be made anew
STANDBY_TIMEOUT_S = 60.0
HANDED_OVER_S = 60.0
RESTARTED_S = 120.0
ANSWERED_S = 1.0  # the answer of the command leaves before this instance does
LEAVING = ("upgrade-switch", "upgrade-active")


def install(management: Management) -> None:
    """Register the performers."""
    upgrade = UpgradeService(management)
    for action, perform in (
        ("upgrade-data", upgrade.restart_data),
        ("upgrade-data-stop", upgrade.stop_data),
        ("upgrade-data-start", upgrade.start_data),
        ("upgrade-standby", upgrade.restart_standby),
        ("upgrade-switch", upgrade.hand_over),
        ("upgrade-active", upgrade.restart_only_active),
    ):
        management.runner.register(action, perform)


class UpgradeService:
    """The commands, and the steps of their operation."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._models = management.models
        self._reach = Reach(management)

    # -- gridUpgrade -createInstallations --------------------------------------------------------
    async def installations(
        self, request: requests.UpgradeInstallations, progress: Progress
    ) -> schema.Done:
        """Make them in the model and on the hosts."""
        split_source(request.source)
        if request.name:
            check_name(request.name, "installation")
        if request.location:
            check_location(request.location)
        self._check_nothing_pending(None)
        release = await self._release_of(request.source)
        new = upgrade_plan.new_installations(
            self._models.current(),
            release,
            request.source,
            name=request.name,
            location=request.location,
        )
        lines = tuple(f"Installation {i.host}.{i.name}: {i.path}" for i in new)
        if not new:
            return schema.Done(messages=(f"Every host has the installation of {release}",))
        if request.dryrun:
            return schema.Done(messages=("Would be made:", *lines))
        with_guids = tuple(msgspec.structs.replace(i, guid=new_guid()) for i in new)

        def add(model: Model) -> tuple[Model, tuple[str, ...]]:
            installations = (*model.installations, *with_guids)
            return msgspec.structs.replace(model, installations=installations), ()

        await self._apply(add, progress)
        return schema.Done(
            messages=(*lines, f"Next: ttGridAdmin gridUpgrade -type mgmt -to {release}")
        )

    async def _release_of(self, source: str) -> str:
        address, path = split_source(source)
        if not path.endswith((".tar.gz", ".tgz")):
            host = self._source_host(address)
            command = [f"{path}/bin/ttInstanceCreate", "-version"]
            result = await self._management.transports.to(host).run(command, timeout_s=60)
            if result.rc or not upgrade_plan.release_in(result.output):
                raise ParameterError(
                    f"-source {source} is no installation that runs: {result.output.strip()}"
                )
            return upgrade_plan.release_in(result.output)
        release = upgrade_plan.release_in_path(path)
        if not release:
            raise ParameterError(
                f"-source {source}: the release cannot be told from the name",
                hint="Archives are called tengrid-RELEASE.tar.gz.",
            )
        return release

    def _source_host(self, address: str) -> Host:
        own = self._models.current().host(self._management.settings.host)
        if address or own is None:
            return Host(name="", guid="", internal_address=address, external_address=address)
        return own

    # -- gridUpgrade -type -----------------------------------------------------------------------
    async def instances(
        self, request: requests.UpgradeInstances, progress: Progress
    ) -> schema.Done:
        """Move the instances of a kind in the model, then restart them."""
        if request.kind not in ("data", "mgmt"):
            raise ParameterError(f"-type {request.kind}: use mgmt or data")
        kind = cast(InstanceKind, request.kind)
        before = self._models.current()
        after = upgrade_plan.moved(before, kind, request.to)
        if not request.force:
            upgrade_plan.check_releases(before, after, kind)
        started_from = {
            name: p.instance.installation for name, p in self._management.placed.instances().items()
        }
        todo = upgrade_plan.left(after, kind, started_from)
        if not todo and after == before:
            return schema.Done(messages=(f"Nothing to do: all run from {request.to}",))
        self._check_nothing_pending(after)
        steps = (
            self._management_steps(after, todo)
            if kind == "mgmt"
            else self._data_steps(after, todo, online=request.online, force=request.force)
        )
        if request.dryrun:
            return schema.Done(messages=("Would be done:", *self._described(before, after, steps)))
        if after != before:
            await self._apply(lambda model: (after, ()), progress)
        if await self._ended(steps, progress):
            return schema.Done(messages=(f"{len(todo)} instances run from {request.to}",))
        return schema.Done(
            messages=(
                "This management instance goes away for that, the rest is done by itself.",
                "On the active one: ttGridAdmin operationList",
            )
        )

    async def _ended(self, steps: list[Step], progress: Progress) -> bool:
        """Run the operation. False: it goes on when this instance is not the active one, or has
        been restarted; whoever asked is told before."""
        last = {step.title for step in steps if step.action in LEAVING}
        leaving = asyncio.Event()

        async def show(kind: str, text: str) -> None:
            if not leaving.is_set():
                await progress(kind, text)
            if kind == "step" and text in last:
                await progress("ok", "begun")
                leaving.set()

        work = asyncio.create_task(self._management.runner.run(COMMAND, apply.SUBJECT, steps, show))
        left = asyncio.create_task(leaving.wait())
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
        if work.done():
            await work
            return True
        work.add_done_callback(_heard)
        return False

    def _check_nothing_pending(self, but: Model | None) -> None:
        """Changes of others are not applied by the way. `but`: left by this command itself."""
        latest = self._models.latest()
        if latest not in (self._models.current(), but):
            raise ModelError(
                "the latest version of the model has changes that are not applied",
                hint="Apply them first (ttGridAdmin modelApply), or take them back"
                " (ttGridAdmin modelCompare -current shows them).",
            )

    async def _apply(
        self, change: Callable[[Model], tuple[Model, tuple[str, ...]]], progress: Progress
    ) -> None:
        self._models.edit(change)
        await apply.apply(self._management, schema.ModelApply(start=False), progress)

    def _described(self, before: Model, after: Model, steps: list[Step]) -> list[str]:
        lines = [
            f"  instanceModify {new.full_name} -installation {new.installation}"
            for old, new in zip(before.instances, after.instances, strict=True)
            if old != new
        ]
        if lines:
            lines.append("  modelApply")
        return [*lines, *(f"  {step.title}" for step in steps)]

    def _data_steps(
        self, model: Model, todo: list[Instance], *, online: bool, force: bool
    ) -> list[Step]:
        alive = self._reach.alive()
        names = [i.full_name for i in todo]
        running = [name for name in names if name in alive]
        if not online:
            is_open = [r.name for r in self._reach.databases.all() if r.intent == INTENT_OPEN]
            if is_open and not force:
                raise ModelError(
                    f"{', '.join(is_open)}: open, and -offline stops all data instances at once",
                    hint="Close it first (ttGridAdmin dbClose), use -online, or -force.",
                )
            return [
                Step("Stopping the data instances", "upgrade-data-stop", {"instances": names}),
                Step(
                    "Starting the data instances",
                    "upgrade-data-start",
                    {"instances": names, "running": running},
                ),
            ]
        problems = upgrade_plan.alone(self._maps(), running)
        if problems:
            raise ModelError(
                f"-online would leave rows without a copy: {'; '.join(problems)}",
                hint="Close the database and use -offline.",
            )
        problems = upgrade_plan.lacking(self._maps(), self._view().sets, alive)
        if problems:
            raise ModelError(
                f"not every replica set is whole: {'; '.join(problems)}",
                hint="Start what is down, or replace it (dbDistribute -evict), then repeat.",
            )
        groups = {host.name: host.data_space_group for host in model.hosts}
        return [
            Step(
                f"Restarting {i.full_name} (data space group {groups[i.host]})",
                "upgrade-data",
                {"instance": i.full_name, "start": i.full_name in alive},
            )
            for i in todo
        ]

    def _management_steps(self, model: Model, todo: list[Instance]) -> list[Step]:
        management = self._management
        own, partner = management.settings.name, management.partner()
        names = [i.full_name for i in todo]
        steps = []
        if partner in names:
            steps.append(_step(f"Restarting the standby {partner}", "upgrade-standby", partner))
        if own not in names:
            return steps
        if partner:
            steps += [
                _step(f"Making {partner} the active one", "upgrade-switch", partner),
                _step(f"Restarting the former active {own}", "upgrade-standby", own),
            ]
        else:
            steps.append(
                Step(
                    f"Restarting {own}, the only management instance",
                    "upgrade-active",
                    {"instance": own, "incarnation": self._incarnation(own)},
                )
            )
        return steps

    # -- steps of data instances -----------------------------------------------------------------
    async def restart_data(self, body: dict[str, Any], context: StepContext) -> str:
        """One data instance: when every replica set is whole; ends when they are so again."""
        if trace.steps.listener is not None:
            trace.step("mgmt/service/upgrade.py", body)
        name = body["instance"]
        found = self._found(name)
        if found is None:
            return "not in the model any more"
        instance, placed = found
        if placed.instance.installation != instance.installation:
            if body["start"]:
                await self._until_whole(unless_away=name)
                problems = upgrade_plan.alone(self._maps(), [name])
                if problems:
                    raise ModelError(f"{name} cannot be stopped: {'; '.join(problems)}")
                await self._stop(placed)
            await self._point_at(placed, instance)
            if body["start"]:
                await self._start(placed)
            self._remember(placed, instance)
            await context.progress("line", f"  {name} was started from {instance.installation}")
        await self._until_whole()
        return "OK"

    async def stop_data(self, body: dict[str, Any], context: StepContext) -> str:
        """All of them, in order each."""
        await self._for_each(body["instances"], self._stop_one)
        return "OK"

    async def start_data(self, body: dict[str, Any], context: StepContext) -> str:
        """All that ran; ends when every replica set is whole."""

        async def start(instance: Instance, placed: PlacedInstance) -> None:
            await self._point_at(placed, instance)
            if instance.full_name in body["running"]:
                await self._start(placed)
            self._remember(placed, instance)

        await self._for_each(body["instances"], start)
        await self._until_whole()
        return "OK"

    async def _stop_one(self, instance: Instance, placed: PlacedInstance) -> None:
        if placed.instance.installation != instance.installation:  # else: this was done before
            await self._stop(placed)

    async def _for_each(
        self, names: list[str], work: Callable[[Instance, PlacedInstance], Awaitable[None]]
    ) -> None:
        pairs = [found for name in names if (found := self._found(name)) is not None]
        outcomes = await asyncio.gather(*(work(*pair) for pair in pairs), return_exceptions=True)
        failed = []
        for (instance, _), outcome in zip(pairs, outcomes, strict=True):
            if isinstance(outcome, GridError):
                failed.append(f"{instance.full_name}: {outcome.message}")
            elif isinstance(outcome, BaseException):
                raise outcome
        if failed:
            raise OperationError("; ".join(failed), hint="Mend the cause, repeat gridUpgrade.")

    async def _until_whole(self, unless_away: str = "") -> None:
        """Until every copy of every loaded database counts and, if it is open, takes clients.

        unless_away: or until this instance is not there (it was stopped before a crash). Raises
        OperationError after WHOLE_TIMEOUT_S, with what is missing.
        """
        problems: list[str] = []
        try:
            async with asyncio.timeout(WHOLE_TIMEOUT_S):
                while not unless_away or unless_away in self._reach.alive():
                    problems = await self._not_whole()
                    if not problems:
                        return
                    await asyncio.sleep(LOOK_S)  # a pace: elements are asked how they are
        except TimeoutError:
            raise OperationError(
                f"not whole after {WHOLE_TIMEOUT_S:.0f} s: {'; '.join(problems)}",
                hint="Mend the cause (ttGridAdmin dbStatus -element), then repeat gridUpgrade.",
            ) from None

    async def _not_whole(self) -> list[str]:
        if not self._view().connected:
            return ["no session with the membership servers"]
        problems = upgrade_plan.lacking(self._maps(), self._view().sets, self._reach.alive())
        if problems:
            return problems
        records = self._loaded()
        for name, elements in (await health_of(self._management, self._reach, records)).items():
            is_open = self._reach.databases.get(name).intent == INTENT_OPEN
            problems += [
                f"{name} at {e.instance}: {e.state}"
                for e in elements
                if e.replica_set and not (e.opened if is_open else e.loaded)
            ]
        return problems

    def _loaded(self) -> list[DatabaseRecord]:
        wanted = (INTENT_LOADED, INTENT_OPEN)
        return [r for r in self._reach.databases.all() if r.intent in wanted and r.map_version]

    def _maps(self) -> list[DistributionMap]:
        maps = [self._reach.map_in_force(record.name) for record in self._loaded()]
        return [new for new in maps if new is not None]

    # -- steps of management instances -----------------------------------------------------------
    async def restart_standby(self, body: dict[str, Any], context: StepContext) -> str:
        """The instance that is not the active one; ends when it is in sync."""
        name = body["instance"]
        if name == self._management.settings.name:
            raise OperationError(
                f"{name} has become the active management instance again",
                hint="Repeat gridUpgrade: it begins with the standby.",
            )
        found = self._found(name)
        if found is None:
            return "not in the model any more"
        instance, placed = found
        if placed.instance.installation != instance.installation:
            await self._stop(placed)
            await self._point_at(placed, instance)
            await self._start(placed)
            self._remember(placed, instance)
        keeper = self._management.keeper
        if keeper is None or not await keeper.standby_in_sync(STANDBY_TIMEOUT_S):
            raise OperationError(
                f"{name} is not in sync after {STANDBY_TIMEOUT_S:.0f} s",
                hint="ttGridAdmin mgmtExamine says how it is. Then repeat gridUpgrade.",
            )
        return "OK"

    async def hand_over(self, body: dict[str, Any], context: StepContext) -> str:
        """The standby becomes the active one, and goes on with this operation there."""
        name = body["instance"]
        if name == self._management.settings.name:
            return "OK"
        found = self._found(name)
        assert found is not None, "the standby is in place"
        home = found[1].home
        await asyncio.sleep(ANSWERED_S)  # a pace, nothing is awaited by it
        # Apart from this process: what it does ends when it yields.
        command = f"{shlex.quote(home)}/bin/ttGridAdmin mgmtActiveSwitch"
        await self._apart(found[1], command)
        await asyncio.sleep(HANDED_OVER_S)  # interrupted when the role goes
        raise OperationError(
            f"{name} has not become the active one within {HANDED_OVER_S:.0f} s",
            hint=f"What mgmtActiveSwitch said there: {home}/diag/upgrade.out",
        )

    async def restart_only_active(self, body: dict[str, Any], context: StepContext) -> str:
        """Without a standby: this process ends here, and its next life goes on."""
        name = body["instance"]
        found = self._found(name)
        assert found is not None, "it runs this"
        instance, placed = found
        if self._incarnation(name) == body["incarnation"]:
            await self._point_at(placed, instance)
            await asyncio.sleep(ANSWERED_S)  # a pace, nothing is awaited by it
            await self._apart(placed, f"{shlex.quote(placed.home)}/bin/ttDaemonAdmin -restart")
            await asyncio.sleep(RESTARTED_S)  # interrupted when this process ends
            raise OperationError(
                f"{name} was not restarted within {RESTARTED_S:.0f} s",
                hint=f"What ttDaemonAdmin said: {placed.home}/diag/upgrade.out",
            )
        self._remember(placed, instance)
        return "OK"

    async def _apart(self, placed: PlacedInstance, command: str) -> None:
        output = shlex.quote(f"{placed.home}/diag/upgrade.out")
        line = f"setsid {command} >{output} 2>&1 </dev/null &"
        result = await self._to(placed).run(["sh", "-c", line])
        if result.rc:
            raise OperationError(f"{command}: {result.output.strip()}")

    # -- one instance ----------------------------------------------------------------------------
    def _found(self, name: str) -> tuple[Instance, PlacedInstance] | None:
        """As the model in force has it, and as it is in place."""
        instance = self._models.current().instance(name)
        placed = self._management.placed.instances().get(name)
        return None if instance is None or placed is None else (instance, placed)

    async def _stop(self, placed: PlacedInstance) -> None:
        await self._daemon_admin(placed, "-stop")

    async def _start(self, placed: PlacedInstance) -> None:
        await self._daemon_admin(placed, "-start")

    async def _daemon_admin(self, placed: PlacedInstance, action: str) -> None:
        command = [f"{placed.home}/bin/ttDaemonAdmin", action]
        result = await self._to(placed).run(command)
        if result.rc and "runs already" not in result.output:
            raise OperationError(
                f"ttDaemonAdmin {action} of {placed.instance.full_name}: {result.output.strip()}",
                hint="Mend the cause, then repeat gridUpgrade.",
            )

    async def _point_at(self, placed: PlacedInstance, instance: Instance) -> None:
        """Its programs are those of the installation from now on (modelApply did it, mostly)."""
        installation = self._installation(instance)
        await self._to(placed).make_link(installation.path, f"{placed.home}/install")

    def _installation(self, instance: Instance) -> Installation:
        found = self._models.current().installation(instance.host, instance.installation)
        assert found is not None, "an instance runs from an installation of its host"
        return found

    def _remember(self, placed: PlacedInstance, instance: Instance) -> None:
        self._management.placed.put_instance(msgspec.structs.replace(placed, instance=instance))
        log.info("upgrade.moved", instance=instance.full_name, installation=instance.installation)

    def _to(self, placed: PlacedInstance) -> HostTransport:
        return self._management.transports.to(placed.host)

    def _view(self) -> ClusterView:
        membership = self._management.membership
        if membership is None:
            raise MembershipLostError("this management instance has no session with membership")
        return membership.view()

    def _incarnation(self, name: str) -> str:
        info = self._view().instances.get(name)
        if info is None:
            raise NotActiveManagementError(f"{name} is not registered")
        return info.incarnation


def _heard(work: asyncio.Task[Record]) -> None:
    if not work.cancelled() and (error := work.exception()) is not None:
        log.info("upgrade.left_to_others", error=str(error))


def _step(title: str, action: str, instance: str) -> Step:
    return Step(title, action, {"instance": instance})
