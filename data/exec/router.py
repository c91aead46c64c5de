"""Who leads which replica set now, and how a message gets there. The coordinator's address book."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from data.distribution.places import Places, places_of
from data.exec.partial import DOWN_AFTER_S, Leadless, leadless
from membership.port import ClusterView, Membership
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import (
    CutOffError,
    DeadlineError,
    GridError,
    MembershipLostError,
    NoMapError,
    NotLeadError,
    NotServingError,
    PeerLostError,
    PeerUnreachableError,
    ReplicaSetDownError,
)
from protocol.rpc.node import RpcNode
from protocol.rpc.reach import reach_of
from protocol.topology import DistributionMap

OnReply = Callable[[Any, GridError | None], None]

RETRY_PAUSE_S: Final = 0.02  # between two tries when no view change says that it is worth trying

# The request had no effect, or repeating it has none: it may go to the next lead.
NOTHING_DONE: Final = (NotLeadError, PeerUnreachableError, NotServingError)
MAYBE_DONE: Final = (PeerLostError, DeadlineError)


class LocalServer(Protocol):
    """The handlers of this process, called without a socket."""

    def serve_local(self, message: Any, on_reply: OnReply) -> Callable[[], None]: ...


class Router:
    """Routes of one database. Everything runs on the event loop."""

    def __init__(
        self, db: str, instance: str, rpc: RpcNode, membership: Membership, server: LocalServer
    ) -> None:
        self._db = db
        self.instance = instance
        self._rpc = rpc
        self._reach = reach_of(rpc)
        self._membership = membership
        self._server = server
        self.map = DistributionMap(db, 0, 1)
        self.places = Places()
        self.buckets: tuple[int, ...] = ()  # these three are those of `places`
        self.replica_sets: tuple[int, ...] = ()
        self.versions: dict[int, int] = {}
        self.all_sets: tuple[int, ...] = ()  # idle ones included
        self._instances: dict[int, str] = {}
        self.leads: dict[int, str] = {}  # replica set → instance of its lead element
        self._leadless: Leadless = {}
        self._element_map = ""
        self._changed = asyncio.Event()

    def map_changed(self, new: DistributionMap) -> None:
        """Take a newer map into force."""
        self.map = new
        places = self.places = places_of(new)
        self.buckets = places.buckets
        self.replica_sets = places.replica_sets
        self.versions = places.versions
        self.all_sets = tuple(new.replica_sets())
        self._instances = {e.element: e.instance for e in new.elements}
        self.view_changed(self._membership.view())

    def view_changed(self, view: ClusterView) -> None:
        """Take a newer membership view into force and wake who waits for a lead."""
        leads = {}
        for number in self.all_sets:
            state = view.sets.get((self._db, number))
            if state is not None and state.lead:
                leads[number] = self._instances.get(state.lead, "")
        old, self.leads = self.leads, leads
        self._leadless = leadless(
            view, self._db, self.replica_sets, self._instances, self._leadless, boottime_s()
        )
        for number, lead in old.items():
            if leads.get(number) != lead and self._is_silent(lead):
                self._rpc.disconnect(lead)  # what waits there goes to the new lead
        self._element_map = ""
        self._changed.set()
        self._changed = asyncio.Event()

    def _is_silent(self, instance: str) -> bool:
        reaches = self._reach.reaches
        return reaches is not None and instance != self.instance and instance not in reaches

    @property
    def map_version(self) -> int:
        """Version of the map in force here."""
        return self.map.version

    def may_repeat(self, error: GridError) -> bool:
        """True if the failed request had no effect: it may go to the next lead."""
        return isinstance(error, NOTHING_DONE)

    def down(self) -> frozenset[int]:
        """The replica sets that are down: not those that have been without a lead for a moment."""
        before_s = boottime_s() - DOWN_AFTER_S
        return frozenset(rs for rs, since_s in self._leadless.items() if since_s < before_s)

    def nearest(self) -> int:
        """A replica set to ask where any will do: one led here, else this element's own."""
        for number, lead in self.leads.items():
            if lead == self.instance and number in self.replica_sets:
                return number
        for place in self.map.elements:
            if place.instance == self.instance and place.replica_set in self.replica_sets:
                own = place.replica_set
                break
        else:
            if not self.replica_sets:
                raise no_map(self._db)
            own = self.replica_sets[0]
        if own in self._leadless:
            return next((rs for rs in self.replica_sets if rs not in self._leadless), own)
        return own

    def live_sets(self) -> list[int]:
        """The replica sets that log: those in use, and idle ones that have come up."""
        return [rs for rs in self.all_sets if rs in self.replica_sets or rs in self.leads]

    def need_map(self) -> None:
        """Raise NoMapError (3493) unless the database has a distribution map."""
        if not self.replica_sets or not self.buckets:
            raise no_map(self._db)

    def element_map(self) -> str:
        """Element of each bucket, separated by commas: its set's lead, or any copy without one."""
        self.need_map()
        if not self._element_map:
            element = {
                place.replica_set: place.element
                for place in reversed(self.map.elements)
                if place.replica_set
            }
            for place in self.map.elements:
                if self.leads.get(place.replica_set) == place.instance:
                    element[place.replica_set] = place.element
            self._element_map = ",".join(str(element.get(rs, 0)) for rs in self.buckets)
        return self._element_map

    def is_local(self, rs: int) -> bool:
        """True if this instance leads the replica set, as far as membership told."""
        return self.leads.get(rs) == self.instance

    def send(self, rs: int, message: Any, on_reply: OnReply, timeout_s: float) -> None:
        """Send to the lead of a replica set; `on_reply` is called exactly once."""
        if trace.steps.listener is not None:
            trace.step("data/exec/router.py", message)
        lead = self.leads.get(rs)
        if self._reach.stranded:
            on_reply = self._without_hope(on_reply)
        if lead == self.instance:
            self._server.serve_local(message, on_reply)
        elif lead:
            self._send(lead, message, on_reply, timeout_s)
        else:
            on_reply(None, PeerUnreachableError(f"replica set {rs} of {self._db} has no lead now"))

    def _send(self, instance: str, message: Any, on_reply: OnReply, timeout_s: float) -> None:
        """To another instance: straight, or, while the link is cut, through a third one."""
        reach = self._reach
        peer = self._rpc.peer(instance)
        if reach.relays and (relayed := reach.peer(instance)) is not None:
            relayed.send(message, on_reply, timeout_s)
        else:
            peer.send(message, on_reply, timeout_s)

    def _without_hope(self, on_reply: OnReply) -> OnReply:
        """While this instance is stranded, it would not learn of another lead: do not wait."""

        def answered(reply: Any, error: GridError | None) -> None:
            if isinstance(error, (NotLeadError, PeerUnreachableError)) and self._reach.stranded:
                error = CutOffError(
                    f"{self.instance} is cut off and does not reach a lead that it needs",
                    detail=error.message,
                    hint="Roll back, and retry at another data instance.",
                )
            on_reply(reply, error)

        return answered

    def _tell(self, instance: str, message: Any) -> None:
        reach = self._reach
        if reach.relays and (relayed := reach.peer(instance)) is not None:
            relayed.tell(message)
        else:
            self._rpc.peer(instance).tell(message)

    def tell(self, rs: int, message: Any) -> None:
        """One way, best effort."""
        lead = self.leads.get(rs)
        if lead == self.instance:
            self._server.serve_local(message, _ignore)
        elif lead:
            self._tell(lead, message)

    def call(self, rs: int, message: Any, timeout_s: float) -> asyncio.Future[Any]:
        """The same as a future."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.send(rs, message, _settle(future), timeout_s)
        return future

    def read(
        self, rs: int, instance: str, message: Any, timeout_s: float
    ) -> tuple[asyncio.Future[Any], Callable[[], None]]:
        """A request that may take long, to one instance or ("") the lead of a replica set.

        Gives the answer to come, and what makes the other side stop.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        on_reply = _settle(future)
        where = self.holder(rs, instance)
        if not instance and self._reach.stranded:
            on_reply = self._without_hope(on_reply)
        if where == self.instance:
            return future, self._server.serve_local(message, on_reply)
        if not where:
            on_reply(None, PeerUnreachableError(f"replica set {rs} of {self._db} has no lead now"))
            return future, _nothing
        if self._reach.relays and self._reach.peer(where) is not None:
            self._send(where, message, on_reply, timeout_s)
            return future, _nothing
        peer = self._rpc.peer(where)
        number = peer.send(message, on_reply, timeout_s)
        return future, lambda: peer.cancel(number)

    def holder(self, rs: int, instance: str) -> str:
        """The instance that a message for this target goes to now."""
        return instance or self.leads.get(rs, "")

    def instances(self) -> dict[int, str]:
        """The instance of every element in the map."""
        return self._instances

    def call_instance(self, instance: str, message: Any, timeout_s: float) -> asyncio.Future[Any]:
        """Send to the element of one instance, as a future."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        on_reply = _settle(future)
        if instance == self.instance:
            self._server.serve_local(message, on_reply)
        elif instance:
            self._send(instance, message, on_reply, timeout_s)
        else:
            on_reply(None, PeerUnreachableError(f"a replica set of {self._db} has no lead now"))
        return future

    def tell_instance(self, instance: str, message: Any) -> None:
        """One way to the element of one instance."""
        if instance == self.instance:
            self._server.serve_local(message, _ignore)
        elif instance:
            self._tell(instance, message)

    async def call_until(self, rs: int, message: Any, deadline_s: float) -> Any:
        """Repeat a harmless request at whoever leads, until it is answered.

        Raises ReplicaSetDownError when nobody answered by `deadline_s` (boottime), and every
        error that is an answer.
        """
        last: GridError | None = None
        while (left_s := deadline_s - boottime_s()) > 0:
            try:
                return await self.call(rs, message, left_s)
            except (*NOTHING_DONE, *MAYBE_DONE) as error:
                last = error
            await self.wait_for_change(RETRY_PAUSE_S)
        raise ReplicaSetDownError(
            f"replica set {rs} of {self._db} did not answer in time",
            detail=last.message if last else "",
            hint="Look at ttGridAdmin dbStatus; retry the transaction.",
        )

    async def wait_for_change(self, at_most_s: float) -> None:
        """Return at the next change of leads or map, or after a while."""
        try:
            async with asyncio.timeout(at_most_s):
                await self._changed.wait()
        except TimeoutError:
            pass

    def check_serving(self) -> None:
        """Lease rule 3: without a fresh word from membership this instance answers nothing."""
        if self._membership.serving_until_s() < boottime_s():
            raise MembershipLostError(
                "this instance has no session with the membership servers",
                hint="Retry at another data instance, or wait until the servers are back.",
            )


def _nothing() -> None:
    """There is nothing to stop."""


def _settle(future: asyncio.Future[Any]) -> OnReply:
    def on_reply(reply: Any, error: GridError | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(reply)

    return on_reply


def _ignore(reply: Any, error: GridError | None) -> None:
    """For one-way messages."""


def no_map(db: str) -> NoMapError:
    """Error 3493, as TimesTen words it."""
    return NoMapError(
        f"Grid partition table invalid: database {db} has no distribution map",
        hint=f"Run ttGridAdmin dbDistribute {db} -add all -apply.",
    )
