"""dbCreate, dbLoad, dbOpen, dbClose, dbUnload, dbDestroy: check, then start a journaled operation.

An operation first makes the intended state known in membership, then tells the data instances
that are there and ends; those that are away follow when they come back. `-wait` waits until all
elements are where they should be, or until nothing is missing but instances that are down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from mgmt.api import schema
from mgmt.api import schema_databases as requests
from mgmt.health import rollup
from mgmt.health.rollup import ElementHealth
from mgmt.model import attributes
from mgmt.model.types import DatabaseDefinition, Instance, Model
from mgmt.ops.operation import State, Step
from mgmt.ops.runner import Progress, Running, StepContext
from mgmt.service import database_status
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach, Sweeper, with_missing_elements
from mgmt.service.database_records import (
    DatabaseRecord,
    hosts_of,
    new_database_id,
    paths_at,
)
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import DeadlineError, GridError, ModelError, UnknownModelObjectError
from protocol.messages.admin import INTENT_CREATED, INTENT_DESTROYED, INTENT_LOADED, INTENT_OPEN

POLL_S = 0.25  # of a waiting command
DOWN_PATIENCE_S = 30.0  # -wait without a number gives instances that are down so long to come up
INTENT = "db-intent"  # actions of the steps
COMMAND = "db-command"
PUBLISH = "db-publish"
FORGET = "db-forget"
Settled = Callable[[ElementHealth], bool]


class DatabaseService:
    """The commands on databases. One per management instance."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self.reach = Reach(management)

    # -- commands --------------------------------------------------------------------------------
    async def create(self, request: requests.DbCreate, progress: Progress) -> schema.Done:
        """dbCreate."""
        if request.instance:
            return await self._create_at(request, progress)
        model = self._management.models.current()
        definition = definition_in_force(self._management, request.name)
        if self.reach.databases.find(definition.name) is not None:
            raise ModelError(
                f"database {definition.name} exists already",
                hint=f"ttGridAdmin dbStatus {definition.name} shows how it is.",
            )
        warnings = await self._checked(model, definition)
        record = DatabaseRecord(
            name=definition.name,
            database_id=new_database_id(),
            dbdef_guid=definition.guid,
            k=self._management.models.grid.k,
            attributes=definition.attributes,
            created_us=self._management.clock.wall_us(),
        )
        record = with_missing_elements(record, model, self._management.transports.same_machine)
        self.reach.databases.put(record)
        numbers = [e.element for e in record.elements]
        running = self._start(
            "dbCreate",
            record,
            _command("Creating elements", record, "create", numbers),
            Step("Making the elements known", PUBLISH, {"name": record.name}),
            _intent(record, INTENT_LOADED),
            _command("Loading elements", record, "load", numbers),
        )
        for warning in warnings:
            await progress("line", f"Warning: {warning}")
        line = f"Database {record.name} creation started"
        return await self._ended(record, running, line, request.wait_s, _is_loaded, progress)

    async def _create_at(self, request: requests.DbCreate, progress: Progress) -> schema.Done:
        """Repair: make missing elements of one host or instance again."""
        record = self.reach.databases.get(request.name)
        chosen = _elements_at(record, request.instance)
        steps = [_command("Creating elements", record, "create", chosen)]
        if record.intent in (INTENT_LOADED, INTENT_OPEN):
            steps.append(_command("Loading elements", record, "load", chosen))
        running = self._start("dbCreate", record, *steps)
        line = f"Database {record.name} creation started"
        return await self._ended(record, running, line, request.wait_s, _is_created, progress)

    async def load(self, request: requests.DbLoad, progress: Progress) -> schema.Done:
        """dbLoad: also takes the database definition that is in force now."""
        if trace.steps.listener is not None:
            trace.step("mgmt/service/databases.py")
        record, elements = await self._look(request.name)
        self._refuse_destroyed(record)
        if record.intent != INTENT_CREATED and all(e.loaded for e in elements):
            raise ModelError(f"database {record.name} is loaded already")
        definition = self._management.models.current().database(record.name)
        if definition is not None:
            record = msgspec.structs.replace(record, attributes=definition.attributes)
            self.reach.databases.put(record)
        intent = INTENT_OPEN if record.intent == INTENT_OPEN else INTENT_LOADED
        running = self._start(
            "dbLoad",
            record,
            _command("Telling the definition", record, "attributes"),
            _intent(record, intent),
            _command("Loading elements", record, "load"),
        )
        line = f"Database {record.name} load started"
        return await self._ended(record, running, line, request.wait_s, _is_loaded, progress)

    async def open(self, request: requests.DbOpen, progress: Progress) -> schema.Done:
        """dbOpen."""
        record, elements = await self._look(request.name)
        self._refuse_destroyed(record)
        if not record.map_version:
            raise ModelError(
                f"database {record.name} has no distribution map",
                hint=f"Make it first: ttGridAdmin dbDistribute {record.name} -add all -apply",
            )
        if record.intent == INTENT_CREATED:
            raise ModelError(
                f"database {record.name} is not loaded",
                hint=f"ttGridAdmin dbLoad {record.name}",
            )
        if record.intent == INTENT_OPEN and not any(e.state == "open failed" for e in elements):
            raise ModelError(f"database {record.name} is open already")
        mapped = [e.element for e in record.elements if e.replica_set]
        running = self._start(
            "dbOpen",
            record,
            _intent(record, INTENT_OPEN),
            _command("Opening elements", record, "open", mapped),
        )
        line = f"Database {record.name} open started"
        return await self._ended(record, running, line, request.wait_s, _is_opened, progress)

    async def close(self, request: requests.DbClose, progress: Progress) -> schema.Done:
        """dbClose."""
        record, elements = await self._look(request.name)
        self._refuse_destroyed(record)
        if record.intent != INTENT_OPEN and not any(e.opened for e in elements):
            raise ModelError(f"database {record.name} is not open")
        running = self._start(
            "dbClose",
            record,
            _intent(record, INTENT_LOADED),
            _command("Closing elements", record, "close"),
        )
        line = f"Database {record.name} close started"
        return await self._ended(record, running, line, request.wait_s, _is_closed, progress)

    async def unload(self, request: requests.DbUnload, progress: Progress) -> schema.Done:
        """dbUnload."""
        record, elements = await self._look(request.name)
        self._refuse_destroyed(record)
        if record.intent == INTENT_OPEN:
            raise ModelError(
                f"database {record.name} is open",
                hint=f"Close it first: ttGridAdmin dbClose {record.name}",
            )
        if record.intent == INTENT_CREATED and not any(e.loaded for e in elements):
            raise ModelError(f"database {record.name} is not loaded")
        if not request.force:
            _refuse_to_lose(record, elements)
        running = self._start(
            "dbUnload",
            record,
            _intent(record, INTENT_CREATED),
            _command("Unloading elements", record, "unload"),
        )
        line = f"Database {record.name} unload started"
        return await self._ended(record, running, line, request.wait_s, _is_unloaded, progress)

    async def destroy(self, request: requests.DbDestroy, progress: Progress) -> schema.Done:
        """dbDestroy."""
        record, elements = await self._look(request.name)
        if request.instance:
            return await self._destroy_at(record, request, progress)
        if record.intent not in (INTENT_CREATED, INTENT_DESTROYED) or any(
            e.loaded for e in elements
        ):
            raise ModelError(
                f"database {record.name} is loaded",
                hint=f"Close and unload it first: ttGridAdmin dbClose {record.name},"
                f" ttGridAdmin dbUnload {record.name}",
            )
        running = self._start(
            "dbDestroy",
            record,
            _intent(record, INTENT_DESTROYED),
            _command("Destroying elements", record, "destroy"),
            Step("Forgetting the database", FORGET, {"name": record.name}),
        )
        line = f"Database {record.name.upper()} destroy started"
        return await self._ended(record, running, line, request.wait_s, _is_gone, progress)

    async def _destroy_at(
        self, record: DatabaseRecord, request: requests.DbDestroy, progress: Progress
    ) -> schema.Done:
        chosen = _elements_at(record, request.instance)
        mapped = [e.instance for e in record.elements if e.element in chosen and e.replica_set]
        if mapped:
            raise ModelError(f"the element at {mapped[0]} is in the distribution map")
        running = self._start(
            "dbDestroy",
            record,
            _command("Unloading elements", record, "unload", chosen),
            _command("Destroying elements", record, "destroy", chosen),
        )
        line = f"Database {record.name.upper()} destroy started"
        return await self._ended(record, running, line, request.wait_s, lambda e: True, progress)

    # -- checks ----------------------------------------------------------------------------------
    async def _look(self, name: str) -> tuple[DatabaseRecord, list[ElementHealth]]:
        record = self.reach.databases.get(name)
        health = await database_status.health_of(self._management, self.reach, [record])
        return record, health[record.name]

    def _refuse_destroyed(self, record: DatabaseRecord) -> None:
        if record.intent == INTENT_DESTROYED:
            raise ModelError(f"database {record.name} is being destroyed")

    async def _checked(self, model: Model, definition: DatabaseDefinition) -> list[str]:
        """Refuse what cannot work; returns warnings."""
        name, grid = definition.name, self._management.models.grid
        attributes.check_database(definition.attributes, name=name, k=grid.k)
        pairs = hosts_of(model, model.instances_of("data"))
        if not pairs:
            raise ModelError(
                "the grid has no data instances",
                hint="Add hosts and instances, then ttGridAdmin modelApply.",
            )
        refuse_shared_folders(self._management, definition, self.reach.databases.all())
        return [
            f"database definition {name}: {attribute} has no meaning here"
            for attribute in attributes.without_meaning(definition.attributes)
        ]

    # -- operations ------------------------------------------------------------------------------
    def _start(self, kind: str, record: DatabaseRecord, *steps: Step) -> Running:
        return self._management.runner.start(kind, record.subject, list(steps))

    async def _ended(
        self,
        record: DatabaseRecord,
        running: Running,
        line: str,
        wait_s: int | None,
        settled: Settled,
        progress: Progress,
    ) -> schema.Done:
        """The reply at once, or after all elements have settled."""
        if wait_s is None:
            return schema.Done(messages=(line,))
        await progress("line", line)
        try:
            async with asyncio.timeout(wait_s or None):
                ended = await running.wait()
                if ended.state is not State.DONE and ended.error is not None:
                    raise GridError.from_wire(ended.error)
                await self._until_settled(record, settled, progress, for_ever=not wait_s)
        except TimeoutError:
            raise DeadlineError(
                f"{running.record.kind} {record.name} has not finished after {wait_s} s",
                hint=f"It goes on; ttGridAdmin dbStatus {record.name} -element shows how far.",
            ) from None
        return schema.Done(messages=())

    async def _until_settled(
        self, record: DatabaseRecord, settled: Settled, progress: Progress, *, for_ever: bool
    ) -> None:
        """for_ever: no time was named, so what is down is not waited for without end."""
        said, said_s = "", boottime_s()
        stuck_s = boottime_s()  # since then only instances that are down are missing
        while True:
            now = self.reach.databases.find(record.name)
            if now is None or now.database_id != record.database_id:
                return  # destroyed
            health = (await database_status.health_of(self._management, self.reach, [now]))[
                now.name
            ]
            if now.intent != INTENT_DESTROYED and all(settled(e) for e in health):
                return
            _raise_failures(now, health)
            if not _only_down_ones_miss(health, settled):
                stuck_s = boottime_s()
            elif for_ever and boottime_s() - stuck_s >= DOWN_PATIENCE_S:
                raise _down(now, health)
            words = rollup.overall(health, intent=now.intent, has_map=now.map_version > 0).summary
            text = f"  {','.join(words)} ({sum(settled(e) for e in health)} of {len(health)})"
            if text != said and boottime_s() - said_s > 2:
                await progress("line", text)
                said, said_s = text, boottime_s()
            await asyncio.sleep(POLL_S)

    # -- performers ------------------------------------------------------------------------------
    async def perform_intent(self, body: dict[str, Any], context: StepContext) -> str:
        """Make the intended state known."""
        if trace.steps.listener is not None:
            trace.step("mgmt/service/databases.py")
        await self.reach.set_intent(str(body["name"]), str(body["intent"]))
        return "OK"

    async def perform_command(self, body: dict[str, Any], context: StepContext) -> str:
        """Tell the elements (none named: all)."""
        if trace.steps.listener is not None:
            trace.step("mgmt/service/databases.py")
        record = self.reach.databases.get(str(body["name"]))
        elements = body["elements"] or [e.element for e in record.elements]
        if body["verb"] == "attributes":
            await self.reach.publish_attributes(record)
        await self.reach.command(record, str(body["verb"]), elements)
        return "OK"

    async def perform_publish(self, body: dict[str, Any], context: StepContext) -> str:
        """Put the list of elements into membership."""
        await self.reach.publish_elements(str(body["name"]))
        return "OK"

    async def perform_forget(self, body: dict[str, Any], context: StepContext) -> str:
        """Forget the database if no element is left; else the sweeper does it later."""
        record = self.reach.databases.find(str(body["name"]))
        if record is not None and not any(e.created for e in record.elements):
            await self.reach.forget(record.name)
        return "OK"

    # -- other nouns -----------------------------------------------------------------------------
    def guard(self, command: str, name: str) -> None:
        """Edits of the model that a database forbids. Raises ModelError."""
        if command in ("dbdefDelete", "dbdefModify"):
            if self.reach.databases.find(name) is not None:
                raise ModelError(
                    f"database {name} exists",
                    hint=f"Destroy it first: ttGridAdmin dbDestroy {name}"
                    if command == "dbdefDelete"
                    else "Data store attributes are fixed when the database is created.",
                )
        elif command == "instanceDelete":
            for record in self.reach.databases.all():
                element = record.element_at(name)
                if element is not None and element.replica_set:
                    raise ModelError(
                        f"{name} holds element {element.element} of database {record.name}, which"
                        " is in the distribution map",
                        hint="Take it out of the map first: ttGridAdmin dbDistribute.",
                    )

    async def before_remove(self, instance: Instance) -> None:
        """An instance is about to go: destroy its elements and forget them."""
        for record in self.reach.databases.all():
            element = record.element_at(instance.full_name)
            if element is None:
                continue
            for verb in ("close", "unload", "destroy"):
                await self.reach.command(record, verb, [element.element])
            kept = tuple(e for e in record.elements if e.element != element.element)
            changed = msgspec.structs.replace(self.reach.databases.get(record.name), elements=kept)
            self.reach.databases.put(changed)
            await self.reach.publish_elements(record.name)


def install(management: Management) -> None:
    """Register steps, guards and hooks; called once."""
    service = DatabaseService(management)
    sweeper = Sweeper(management, service.reach)
    management.runner.register(INTENT, service.perform_intent)
    management.runner.register(COMMAND, service.perform_command)
    management.runner.register(PUBLISH, service.perform_publish)
    management.runner.register(FORGET, service.perform_forget)
    management.guards.append(service.guard)
    management.after_apply.append(sweeper.model_applied)
    management.before_remove.append(service.before_remove)
    management.while_active.append(sweeper.run)


def definition_in_force(management: Management, name: str) -> DatabaseDefinition:
    """The definition in the current model. Raises UnknownModelObjectError."""
    definition = management.models.current().database(name)
    if definition is None:
        waiting = management.models.latest().database(name) is not None
        raise UnknownModelObjectError(
            f"database definition {name} is not in the current model",
            hint="Run ttGridAdmin modelApply first."
            if waiting
            else "Make it with ttGridAdmin dbdefCreate, then run ttGridAdmin modelApply.",
        )
    return definition


def refuse_shared_folders(
    management: Management, definition: DatabaseDefinition, others: Iterable[DatabaseRecord]
) -> None:
    """Raises ModelError when an element would have the folder of another one, or of another
    database of these."""
    model = management.models.current()
    taken = [(e.instance, e.data_store) for record in others for e in record.elements]
    for instance, host in hosts_of(model, model.instances_of("data")):
        folder = paths_at(definition.attributes, instance).data_store
        for other_name, other_folder in taken:
            other = model.host(other_name.partition(".")[0])
            if other_folder == folder and (
                other is None or management.transports.same_machine(host, other)
            ):
                raise ModelError(
                    f"{instance.full_name} and {other_name} would both keep an element in {folder}",
                    hint="Put !!INSTANCE_NAME!! into DataStore of the database definition"
                    " (dbdefModify, modelApply).",
                )
        taken.append((instance.full_name, folder))


def _intent(record: DatabaseRecord, word: str) -> Step:
    return Step(f"Making {word} known", INTENT, {"name": record.name, "intent": word}, attempts=3)


def _command(
    title: str, record: DatabaseRecord, verb: str, elements: list[int] | None = None
) -> Step:
    body: dict[str, object] = {"name": record.name, "verb": verb, "elements": elements or []}
    return Step(title, COMMAND, body)


def _elements_at(record: DatabaseRecord, place: str) -> list[int]:
    """Elements of a host or of host.instance. Raises UnknownModelObjectError."""
    found = [e.element for e in record.elements if place in (e.instance, e.host)]
    if not found:
        raise UnknownModelObjectError(f"database {record.name} has no element at {place}")
    return found


def _refuse_to_lose(record: DatabaseRecord, elements: list[ElementHealth]) -> None:
    """With Durability=0 the newest commits of a set without loaded element may be lost."""
    given = {name.lower(): value for name, value in record.attributes}
    if given.get("durability", "1" if record.k == 1 else "0") == "1":
        return
    sets: dict[int, bool] = {}
    for e in elements:
        if e.replica_set:
            sets[e.replica_set] = sets.get(e.replica_set, False) or e.loaded
    empty = [str(number) for number, loaded in sets.items() if not loaded]
    if empty:
        raise ModelError(
            f"no element of replica set {', '.join(empty)} is loaded, and the database has"
            " Durability=0: unloading may lose its newest commits",
            hint="Bring an instance of that set back first; -force unloads nevertheless.",
        )


def _raise_failures(record: DatabaseRecord, health: list[ElementHealth]) -> None:
    failed = [e for e in health if e.state.endswith(" failed")]
    if failed:
        worst = failed[0]
        message = worst.report.message if worst.report else ""
        raise ModelError(
            f"{worst.instance}: {worst.state}: {message}",
            hint=f"Mend the cause, then repeat the command; ttGridAdmin dbStatus {record.name}"
            " -element shows all elements.",
        )


def _only_down_ones_miss(health: list[ElementHealth], settled: Settled) -> bool:
    return all(settled(e) for e in health if e.reachable)


def _down(record: DatabaseRecord, health: list[ElementHealth]) -> GridError:
    names = ", ".join(e.instance for e in health if not e.reachable)
    return DeadlineError(
        f"{names} of database {record.name} did not come up within {DOWN_PATIENCE_S:g} s;"
        " all other elements are done",
        hint="What is down follows by itself when it comes up; -wait SECS waits longer.",
    )


def _is_created(element: ElementHealth) -> bool:
    return element.created and element.reachable


def _is_loaded(element: ElementHealth) -> bool:
    return element.loaded


def _is_opened(element: ElementHealth) -> bool:
    return element.opened or not element.replica_set


def _is_closed(element: ElementHealth) -> bool:
    return element.reachable and element.state in ("loaded", "loading", "unloaded", "created")


def _is_unloaded(element: ElementHealth) -> bool:
    return element.reachable and element.state in ("unloaded", "created")


def _is_gone(element: ElementHealth) -> bool:
    return False  # the record disappears with the last element
