"""Keeps this instance's elements in the states they are meant to have.

Two things move an element: commands of management (handlers.py) and the intended state of its
database in membership, which every instance follows by itself: so a restarted instance loads and
opens its elements without management. Both go through `perform`, one at a time per database; what
is legal is decided in element_state.py, the work is done by the DatabaseHost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from data.admin import element_state
from data.admin.element_state import State, Verb
from data.admin.port import DatabaseHost, ElementFacts
from data.admin.settings import merged
from data.admin.spec_store import SpecStore
from membership.port import ClusterView, Membership
from protocol import trace
from protocol.clock import Clock
from protocol.errors import ElementStateError, GridError, InternalError, UnknownDatabaseError
from protocol.messages.admin import (
    INTENT_CREATED,
    INTENT_DESTROYED,
    INTENT_LOADED,
    INTENT_OPEN,
    Attributes,
    ElementReport,
    ElementSpec,
    parse_intent,
)
from protocol.topology import DistributionMap

log = structlog.get_logger(__name__)

RETRY_FIRST_S = 1.0  # after a failure on the way to an intended state; doubles up to:
RETRY_LAST_S = 30.0
_UNMADE = (State.UNCREATED, State.CREATING, State.CREATE_FAILED, State.DESTROYED)
_LOADED_STATES = (State.LOADED, State.OPENED, State.OPENING, State.CLOSING)
_WAYS: dict[str, tuple[Verb, ...]] = {  # verbs that lead to an intended state from anywhere
    INTENT_OPEN: (Verb.LOAD, Verb.OPEN),
    INTENT_LOADED: (Verb.LOAD, Verb.CLOSE),
    INTENT_CREATED: (Verb.CLOSE, Verb.UNLOAD),
    INTENT_DESTROYED: (Verb.CLOSE, Verb.UNLOAD, Verb.DESTROY),
}


@dataclass
class _Kept:
    """One element."""

    spec: ElementSpec
    state: State
    since_us: int
    message: str = ""
    shown: str = ""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    follower: asyncio.Task[None] | None = None


class ElementKeeper:
    """The elements of one data instance. Lives on the event loop."""

    def __init__(
        self,
        home: Path,
        me: str,
        incarnation: str,
        host: DatabaseHost,
        membership: Membership,
        clock: Clock,
    ) -> None:
        self.me = me
        self.incarnation = incarnation
        self._host = host
        self._membership = membership
        self._clock = clock
        self._store = SpecStore(home)
        self._kept: dict[str, _Kept] = {}  # database in lower case ->
        self._works: set[asyncio.Task[State]] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self._stopping = False

    # -- life ------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Take up the elements of the last run and follow the intended states."""
        for spec in self._store.load():
            self._keep(spec, State.UNLOADED)
        self._unsubscribe = self._membership.subscribe(self._view_changed)

    async def stop(self) -> None:
        """Close and unload all elements in order; the intents stay: the next start follows them."""
        self._stopping = True
        if self._unsubscribe:
            self._unsubscribe()
        followers = [kept.follower for kept in self._kept.values() if kept.follower]
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        await asyncio.gather(*self._works, return_exceptions=True)
        await asyncio.gather(*(self._rest(kept) for kept in self._kept.values()))

    async def _rest(self, kept: _Kept) -> None:
        for verb in _WAYS[INTENT_CREATED]:
            try:
                await self._perform(kept, verb)
            except GridError as error:
                log.warning("element.not_unloaded", database=kept.spec.database, error=str(error))

    # -- commands --------------------------------------------------------------------------------
    async def create(self, spec: ElementSpec) -> State:
        """Make the element; an element of an older database of that name is removed first."""
        kept = self._kept.get(spec.database.lower())
        if kept is not None and kept.spec.database_id != spec.database_id:
            await self._remove(kept)
            kept = None
        if kept is not None and kept.spec.element != spec.element:
            if kept.state not in _UNMADE:
                raise ElementStateError(
                    f"{self.me} still has element {kept.spec.element} of {spec.database}",
                    hint="Destroy it first.",
                )
            await self._remove(kept)
            kept = None
        if kept is None:
            kept = self._keep(spec, State.UNCREATED)
        state = await self._shielded(kept, Verb.CREATE)
        kept.changed.set()
        return state

    async def perform(
        self, database: str, database_id: str, verb: Verb, attributes: Attributes | None = None
    ) -> State:
        """Do it, or nothing if it is done. Raises UnknownDatabaseError, ElementStateError, ..."""
        kept = self._kept.get(database.lower())
        if kept is None or kept.spec.database_id != database_id:
            if verb is Verb.DESTROY:
                return State.DESTROYED
            raise UnknownDatabaseError(f"{self.me} has no element of database {database}")
        if attributes is not None:
            self.keep_attributes(database, database_id, attributes)
        return await self._shielded(kept, verb)

    def keep_attributes(self, database: str, database_id: str, attributes: Attributes) -> State:
        """What the next load goes by. Raises UnknownDatabaseError."""
        kept = self._kept.get(database.lower())
        if kept is None or kept.spec.database_id != database_id:
            raise UnknownDatabaseError(f"{self.me} has no element of database {database}")
        if attributes != kept.spec.attributes:
            kept.spec = merged(kept.spec, attributes)
            self._store.save(kept.spec)
        return kept.state

    async def while_at_rest(
        self, database: str, database_id: str, work: Callable[[ElementSpec], Awaitable[Any]]
    ) -> Any:
        """Do something with the files of an element that is created and not loaded.

        Nothing loads or destroys it meanwhile. Raises UnknownDatabaseError, ElementStateError.
        """
        kept = self._kept.get(database.lower())
        if kept is None or kept.spec.database_id != database_id:
            raise UnknownDatabaseError(f"{self.me} has no element of database {database}")
        async with kept.lock:
            if kept.state not in element_state.AT_REST:
                raise ElementStateError(f"the element at {self.me} is {kept.state}")
            return await work(kept.spec)

    async def _remove(self, kept: _Kept) -> None:
        if kept.follower:
            kept.follower.cancel()
        for verb in _WAYS[INTENT_DESTROYED]:
            await self._shielded(kept, verb)

    async def _shielded(self, kept: _Kept, verb: Verb) -> State:
        """Work that has begun is not cut off when its caller goes away."""
        work = asyncio.ensure_future(self._perform(kept, verb))
        self._works.add(work)
        work.add_done_callback(self._works.discard)
        return await asyncio.shield(work)

    async def _perform(self, kept: _Kept, verb: Verb) -> State:
        if trace.steps.listener is not None:
            trace.step("data/admin/keeper.py")
        async with kept.lock:
            if not element_state.begins(kept.state, verb):
                return kept.state
            before = kept.state
            if verb is Verb.LOAD:
                self._take_newest_attributes(kept)
            self._enter(kept, element_state.during(verb))
            try:
                await self._work(kept.spec, verb)
            except ElementStateError:
                self._enter(kept, before)
                raise
            except GridError as error:
                self._enter(kept, element_state.after(verb, ok=False), error.message)
                raise
            except Exception as error:
                log.exception("element.failed", database=kept.spec.database, verb=verb)
                self._enter(kept, element_state.after(verb, ok=False), repr(error))
                raise InternalError(f"{verb} of {kept.spec.database}: {error!r}") from error
            self._enter(kept, element_state.after(verb, ok=True))
            return kept.state

    async def _work(self, spec: ElementSpec, verb: Verb) -> None:
        match verb:
            case Verb.CREATE:
                await self._host.create(spec)
                self._store.save(spec)
            case Verb.LOAD:
                await self._host.load(spec)
            case Verb.OPEN:
                await self._host.open(spec.database)
            case Verb.CLOSE:
                await self._host.close(spec.database)
            case Verb.UNLOAD:
                await self._host.unload(spec.database)
            case Verb.DESTROY:
                await self._host.destroy(spec)
                self._store.forget(spec.database)

    # -- following the intended states -----------------------------------------------------------
    def _keep(self, spec: ElementSpec, state: State) -> _Kept:
        kept = _Kept(spec, state, self._clock.wall_us(), shown=state)
        self._kept[spec.database.lower()] = kept
        kept.follower = asyncio.create_task(self._follow(kept), name=f"follow {spec.database}")
        kept.changed.set()
        return kept

    def _view_changed(self, view: ClusterView) -> None:
        for kept in self._kept.values():
            self._recheck(kept)
            kept.changed.set()

    async def _follow(self, kept: _Kept) -> None:
        """Bring the element to what membership says, whenever that changes; retry failures."""
        reached = failed = ""
        delay_s = again_s = 0.0
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, again_s - self._clock.now_s()) or None):
                    await kept.changed.wait()
            kept.changed.clear()
            intent = self._intent(kept.spec)
            if not intent or intent == reached or kept.state in _UNMADE:
                continue
            if intent == failed and self._clock.now_s() < again_s:
                continue  # something else changed: the next try is not due
            try:
                for verb in _WAYS[intent]:
                    await self._perform(kept, verb)
                reached, failed, delay_s, again_s = intent, "", 0.0, 0.0
            except GridError as error:
                reached, failed = "", intent
                delay_s = min(max(2 * delay_s, RETRY_FIRST_S), RETRY_LAST_S)
                again_s = self._clock.now_s() + delay_s
                log.warning(
                    "element.intent_not_reached",
                    database=kept.spec.database,
                    intent=intent,
                    error=str(error),
                    retry_s=delay_s,
                )

    def _intent(self, spec: ElementSpec) -> str:
        """The word in membership; "" when nothing is known. Another id: ours is an old database.

        An element that was taken out of the distribution map is to be unloaded, with its files
        kept: management destroys it, or the administrator does.
        """
        view = self._membership.view()
        value = view.states.get(spec.database)
        if value is None:
            return ""
        word, database_id = parse_intent(value)
        if database_id != spec.database_id:
            return INTENT_DESTROYED
        if word in (INTENT_LOADED, INTENT_OPEN) and self._is_out(spec, view):
            return INTENT_CREATED
        return word

    def _take_newest_attributes(self, kept: _Kept) -> None:
        """This instance may have been away when a dbLoad told them."""
        value = self._membership.view().maps.get(kept.spec.database)
        newest = DistributionMap.decode(value).attributes if value is not None else ()
        if newest and newest != kept.spec.attributes:
            kept.spec = merged(kept.spec, newest)
            self._store.save(kept.spec)

    def _is_out(self, spec: ElementSpec, view: ClusterView) -> bool:
        """The database has a distribution map, and this element is not even listed there."""
        value = view.maps.get(spec.database)
        if value is None:
            return False
        known = DistributionMap.decode(value)
        return bool(known.ranges) and all(e.element != spec.element for e in known.elements)

    # -- reports ---------------------------------------------------------------------------------
    def reports(self, database: str = "") -> tuple[ElementReport, ...]:
        """One per element that exists here, or was made and failed."""
        return tuple(
            self._report(kept)
            for name, kept in sorted(self._kept.items())
            if database.lower() in ("", name)
            and kept.state not in (State.UNCREATED, State.DESTROYED)
        )

    def _report(self, kept: _Kept) -> ElementReport:
        facts = self._recheck(kept)
        spec = kept.spec
        return ElementReport(
            database=spec.database,
            database_id=spec.database_id,
            element=spec.element,
            data_space=spec.data_space,
            replica_set=facts.replica_set,
            state=kept.shown,
            since_us=kept.since_us,
            message=kept.message or facts.message,
            role=facts.role,
            term=facts.term,
            lsn=facts.lsn,
            connections=facts.connections,
            catalog_version=facts.catalog_version,
            map_version=facts.map_version,
            epoch=facts.epoch,
            epoch_done=facts.epoch_done,
        )

    def _recheck(self, kept: _Kept) -> ElementFacts:
        facts = ElementFacts()
        if kept.state in _LOADED_STATES:
            facts = self._host.facts(kept.spec.database)
        word = element_state.shown(kept.state, facts.role)
        if word != kept.shown:
            kept.shown, kept.since_us = word, self._clock.wall_us()
        return facts

    def _enter(self, kept: _Kept, state: State, message: str = "") -> None:
        kept.state, kept.message = state, message
        self._recheck(kept)
        log.info("element.entered_state", database=kept.spec.database, state=kept.shown)
