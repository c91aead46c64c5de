"""Brings elements where they are meant to be: sends commands to the data instances that are there.

Instances that are away follow by themselves when they come back (the intended state is in
membership); only elements that do not exist yet, or must go, need management: `Sweeper`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec
import structlog

from membership.port import Membership, SetState
from mgmt.model.types import Host, Model
from mgmt.placement import map_builder
from mgmt.service.context import Management
from mgmt.service.database_records import (
    REMOVED,
    DatabaseRecord,
    Databases,
    ElementRecord,
    hosts_of,
    paths_at,
)
from protocol import trace
from protocol.errors import (
    DeadlineError,
    GridError,
    MembershipLostError,
    NotActiveManagementError,
    OperationError,
    PeerLostError,
    PeerUnreachableError,
    UnknownDatabaseError,
)
from protocol.messages import admin
from protocol.topology import DistributionMap

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 600.0  # loading a large element checks its file
SWEEP_INTERVAL_S = 2.0
PUT_ATTEMPTS = 10
PUT_AGAIN_S = 0.2
AWAY = (PeerUnreachableError, PeerLostError, DeadlineError)
Message = (
    admin.CreateElement
    | admin.LoadElement
    | admin.SetAttributes
    | admin.OpenElement
    | admin.CloseElement
    | admin.UnloadElement
    | admin.DestroyElement
)
_PLAIN: dict[str, Callable[[str, str], Message]] = {
    "open": admin.OpenElement,
    "close": admin.CloseElement,
    "unload": admin.UnloadElement,
    "destroy": admin.DestroyElement,
}


class Reach:
    """Commands to the elements of databases, and the values in membership about them."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self.databases = Databases(management.store)

    def alive(self) -> frozenset[str]:
        """Data instances that are registered now."""
        instances = self._membership().view().instances
        return frozenset(name for name, info in instances.items() if info.kind == "data")

    async def command(self, record: DatabaseRecord, verb: str, elements: Iterable[int]) -> None:
        """Tell these elements' instances; who is away is passed over.

        Raises OperationError naming every element that failed.
        """
        if trace.steps.listener is not None:
            trace.step("mgmt/service/database_reach.py")
        await self._management.secured()
        alive = self.alive()
        chosen = [e for e in record.elements if e.element in set(elements) and e.instance in alive]
        outcomes = await asyncio.gather(
            *(self._one(record, verb, element) for element in chosen), return_exceptions=True
        )
        failures: list[str] = []
        for element, outcome in zip(chosen, outcomes, strict=True):
            if isinstance(outcome, AWAY):
                log.warning("element.away", instance=element.instance, verb=verb)
            elif isinstance(outcome, NotActiveManagementError):
                raise outcome  # this instance may not go on
            elif isinstance(outcome, GridError):
                failures.append(f"{element.instance}: {outcome.message}")
            elif isinstance(outcome, BaseException):
                raise outcome
        if failures:
            raise OperationError(
                f"{verb} of {record.name} failed at {'; '.join(failures)}",
                hint="Mend the cause (diag/ttmesg.log there has more), then repeat the command.",
            )

    async def _one(self, record: DatabaseRecord, verb: str, element: ElementRecord) -> None:
        rpc = self._management.rpc
        assert rpc is not None
        peer = await rpc.wait_connected(element.instance, CONNECT_TIMEOUT_S)
        if verb == "load" and not element.created and not element.gone:
            await self._one(record, "create", element)  # it was away when the others were made
        try:
            await peer.call(_message(record, verb, element), ANSWER_TIMEOUT_S)
        except UnknownDatabaseError:
            if verb not in ("attributes", "close", "unload"):
                raise
        if verb in ("create", "destroy"):
            self._note(record.name, element.element, created=verb == "create")

    def _note(self, name: str, number: int, *, created: bool) -> None:
        record = self.databases.find(name)
        element = record and next((e for e in record.elements if e.element == number), None)
        if record and element and element.created != created:
            changed = msgspec.structs.replace(element, created=created)
            self.databases.put(record.with_element(changed))

    # -- membership ------------------------------------------------------------------------------
    async def set_intent(self, name: str, word: str) -> None:
        """Remember the intended state and make it known; whoever is away follows later."""
        if trace.steps.listener is not None:
            trace.step("mgmt/service/database_reach.py")
        record = msgspec.structs.replace(self.databases.get(name), intent=word)
        self.databases.put(record)
        await self._management.secured()
        await self._membership().put_state(
            record.name, admin.render_intent(word, record.database_id)
        )

    async def publish_attributes(self, record: DatabaseRecord) -> None:
        """What the definition says now, for instances that are away while it is told."""
        told = tuple(pair for pair in record.attributes if pair[0].lower() not in ("uid", "pwd"))
        known = self.map_in_force(record.name)
        if known is None or known.attributes == told:
            return
        await self.change_map(
            record.name,
            lambda m: msgspec.structs.replace(
                m, attributes=told, version=m.version + bool(m.ranges)
            ),
        )

    def map_in_force(self, name: str) -> DistributionMap | None:
        """The distribution map in membership."""
        value = self._membership().view().maps.get(name)
        return None if value is None else DistributionMap.decode(value)

    async def put_map(self, new: DistributionMap) -> None:
        """Put a map in force; nothing happens if it is already. Raises OperationError."""
        await self._management.secured()
        membership, value = self._membership(), new.encode()
        for _ in range(PUT_ATTEMPTS):  # the view may be some milliseconds behind our own change
            view = membership.view()
            if view.maps.get(new.database) == value:
                return
            before = view.map_versions.get(new.database, 0)
            if await membership.put_map(new.database, before, value):
                return
            await asyncio.sleep(PUT_AGAIN_S)
        raise OperationError(
            f"the distribution map of {new.database} was changed by somebody else meanwhile",
            hint="Repeat the command.",
        )

    async def change_map(
        self, name: str, change: Callable[[DistributionMap], DistributionMap]
    ) -> DistributionMap:
        """Put what `change` makes of the map in force into force; returns it.

        Data instances change the same value while buckets move: so `change` is called again with
        a newer map whenever they were faster, and must leave alone what is theirs. What it makes
        equal to the map in force is not written. Raises OperationError.
        """
        membership = self._membership()
        for _ in range(PUT_ATTEMPTS):
            view = membership.view()
            value = view.maps.get(name)
            if value is None:
                raise OperationError(f"database {name} has no distribution map in membership")
            before = DistributionMap.decode(value)
            new = change(before)
            if new == before:
                return before
            if await membership.put_map(name, view.map_versions[name], new.encode()):
                return new
            await asyncio.sleep(PUT_AGAIN_S)  # the view may be behind our own last change
        raise OperationError(
            f"the distribution map of {name} changes all the time", hint="Repeat the command."
        )

    def remember(self, new: DistributionMap, gone: dict[int, str] | None = None) -> None:
        """Write down what a map says of the elements; `gone`: those taken out, and why."""
        record = self.databases.get(new.database)
        sets = {e.element: e.replica_set for e in new.elements}
        self.databases.put(
            msgspec.structs.replace(
                record,
                elements=tuple(_remembered(e, sets, gone or {}) for e in record.elements),
                map_version=new.version,
                next_replica_set=max([record.first_free_set, *(n + 1 for n in sets.values())]),
            )
        )

    async def publish_elements(self, name: str) -> None:
        """Make the list of elements known: the map as it is, with all elements in it."""
        record = self.databases.get(name)
        if self.map_in_force(record.name) is None:
            await self.put_map(map_builder.without_ranges(record.name, record.k, record.places()))
        else:
            places = record.places()
            await self.change_map(record.name, lambda m: map_builder.with_elements(m, places))

    def set_state(self, name: str, replica_set: int) -> SetState | None:
        """What membership shows of a replica set."""
        return self._membership().view().sets.get((name, replica_set))

    async def read_set(self, name: str, replica_set: int) -> SetState | None:
        """What is agreed on a replica set now."""
        return await self._membership().read_set(name, replica_set)

    async def forget(self, name: str) -> None:
        """Every element is gone: so is the database."""
        record = self.databases.get(name)
        await self._management.secured()
        await self._membership().delete_database(record.name)
        self.databases.forget(record.name)
        log.info("database.destroyed", database=record.name)

    def _membership(self) -> Membership:
        membership = self._management.membership
        if membership is None:
            raise MembershipLostError("this management instance has no session with membership")
        return membership


def _message(record: DatabaseRecord, verb: str, element: ElementRecord) -> Message:
    if verb == "create":
        return admin.CreateElement(record.spec(element))
    if verb == "load":
        return admin.LoadElement(record.name, record.database_id, record.attributes)
    if verb == "attributes":
        return admin.SetAttributes(record.name, record.database_id, record.attributes)
    return _PLAIN[verb](record.name, record.database_id)


def _remembered(
    element: ElementRecord, sets: dict[int, int], gone: dict[int, str]
) -> ElementRecord:
    number = element.element
    if number in gone:
        return msgspec.structs.replace(
            element.unmarked(), replica_set=0, gone=gone[number], in_previous=True
        )
    if number not in sets:  # another step took it out, or it is not listed yet
        left = element.replica_set > 0
        return msgspec.structs.replace(
            element, replica_set=0, gone=element.gone or (REMOVED if left else "")
        )
    return msgspec.structs.replace(element, replica_set=sets[number])


class Sweeper:
    """Looks after databases whose elements were away: makes and removes what is missing.

    Runs while this management instance is active; leaves databases alone on which an operation
    works.
    """

    def __init__(self, management: Management, reach: Reach) -> None:
        self._management = management
        self._reach = reach
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """For ever: after each change of the model, and every SWEEP_INTERVAL_S."""
        while True:
            for record in self._reach.databases.all():
                try:
                    await self.sweep(record)
                except GridError as error:
                    log.warning("database.not_swept", database=record.name, error=error.message)
                except Exception:  # whatever it was: the other databases still want their care
                    log.exception("database.sweep_crashed", database=record.name)
            self._wake.clear()
            try:
                async with asyncio.timeout(SWEEP_INTERVAL_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def model_applied(self, model: Model) -> None:
        """There may be new data instances."""
        self._wake.set()

    async def sweep(self, record: DatabaseRecord) -> None:
        """Bring one database a step nearer to what it should be."""
        management, reach = self._management, self._reach
        if management.runner.running_on(record.subject) is not None:
            return
        if record.intent == admin.INTENT_DESTROYED:
            left = [e.element for e in record.elements if e.created]
            await reach.command(record, "destroy", left)
            if not any(e.created for e in reach.databases.get(record.name).elements):
                await reach.forget(record.name)
            return
        if record.intent == admin.INTENT_CREATED and not record.elements:
            return
        model = self._lasting_model()
        record = self._without_destroyed(record, model)
        grown = with_missing_elements(record, model, self._management.transports.same_machine)
        if grown is not record:
            reach.databases.put(grown)
            await reach.publish_elements(record.name)
        missing = [e.element for e in grown.elements if not e.created and not e.gone]
        if missing:
            await reach.command(grown, "create", missing)

    def _lasting_model(self) -> Model:
        """The current model without the instances that a modelApply under way removes."""
        models = self._management.models
        model, applying = models.current(), models.versions.applying
        if not applying:
            return model
        wanted = {i.full_name for i in models.get(applying).instances}
        stay = tuple(i for i in model.instances if i.full_name in wanted)
        return msgspec.structs.replace(model, instances=stay)

    def _without_destroyed(self, record: DatabaseRecord, model: Model) -> DatabaseRecord:
        """Elements that were taken out of the map and have been destroyed since are forgotten;
        and those that were to be made on an instance that is no more."""
        there = {i.full_name for i in model.instances}
        kept = tuple(
            e
            for e in record.elements
            if e.created or not (e.gone or (e.instance not in there and not e.replica_set))
        )
        if kept != record.elements:
            record = msgspec.structs.replace(record, elements=kept)
            self._reach.databases.put(record)
        return record


def with_missing_elements(
    record: DatabaseRecord, model: Model, same_machine: Callable[[Host, Host], bool]
) -> DatabaseRecord:
    """The record with an element for each data instance of the model that has none.

    Not for one that would share the folder of another: on one machine, that is.
    """
    for instance, host in hosts_of(model, model.instances_of("data")):
        if record.element_at(instance.full_name) is not None or not host.data_space_group:
            continue
        paths = paths_at(record.attributes, instance)
        others = (model.host(e.host) for e in record.elements if e.data_store == paths.data_store)
        if not any(other is not None and same_machine(host, other) for other in others):
            record = record.with_new_element(instance, host, paths)
    return record
