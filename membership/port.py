"""The Membership port: who is alive, who leads, and which facts all instances agree on.

Adapters: zookeeper.py (a ZooKeeper ensemble) and memory.py (one process, for tests). One suite of
contract tests, tests/contract/test_membership.py, runs on both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from protocol.errors import NotActiveManagementError
from protocol.ids import InstanceName

HEARTBEATS_PER_TIMEOUT = 6  # an instance writes its own node every session_timeout / 6
LEASE_SHARE = 2 / 3  # of the session timeout: so long does one answered write allow to serve


def _empty() -> MappingProxyType[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """What one running instance says about itself; but for `login` constant in an incarnation."""

    name: InstanceName
    kind: str  # "data" or "mgmt"
    incarnation: str  # one start of one process; unique for ever
    address: str  # of the internal listener (RPC)
    port: int
    external_address: str = ""  # of the SQL listener; empty: this instance has none
    cs_port: int = 0
    version: str = ""  # of the software
    login: str = ""  # with which logins its session speaks (protocol/logins.py), as a stamp


@dataclass(frozen=True, slots=True)
class SetState:
    """What is agreed on one replica set. Replaced as a whole, only by compare-and-set."""

    term: int
    lead: int  # element id; 0: nobody leads
    lead_incarnation: str
    in_sync: tuple[int, ...]  # element ids
    writer: str  # incarnation of the process that wrote this value ...
    counter: int  # ... and that process's own number of it: so a writer knows its own change


@dataclass(frozen=True, slots=True)
class MgmtState:
    """The active management instance. The term grows with each one that becomes active."""

    name: str
    incarnation: str
    term: int


@dataclass(frozen=True, slots=True)
class MgmtRegister:
    """What stays known of management while nobody is active. Replaced only by compare-and-set.

    A *copy* is one store of one management instance: "host.instance#<id of the store>".
    """

    term: int = 0  # of the newest active
    last: str = ""  # the copy that was active then
    in_sync: tuple[str, ...] = ()  # copies that hold every acknowledged change
    stopped: bool = False  # mgmtActiveStop: nobody becomes active before a command says so
    alone_seq: int = 0  # what the active had when a copy was taken out of in_sync


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One whole, immutable picture; a newer one replaces it, nothing in it ever changes.

    Each part is what a quorum agreed on at some moment; parts may be some milliseconds apart.
    """

    connected: bool = False  # now. False alone does not end serving: serving_until_s() does
    session: int = 0  # counts own sessions: a lead whose number changed has ended its term
    instances: Mapping[str, InstanceInfo] = field(default_factory=_empty)
    dead: frozenset[str] = frozenset()  # incarnations proven dead: somebody saw the process exit
    sets: Mapping[tuple[str, int], SetState] = field(default_factory=_empty)
    maps: Mapping[str, bytes] = field(default_factory=_empty)  # database -> what put_map got
    map_versions: Mapping[str, int] = field(default_factory=_empty)
    states: Mapping[str, str] = field(default_factory=_empty)
    mgmt: MgmtState | None = None
    mgmt_register: MgmtRegister = MgmtRegister()

    def is_alive(self, incarnation: str) -> bool:
        """Whether this incarnation is registered and nobody saw it die."""
        return incarnation not in self.dead and any(
            info.incarnation == incarnation for info in self.instances.values()
        )


ViewCallback = Callable[[ClusterView], None]
# who is active (None: nobody) and the register in force -> the register that an instance which
# becomes active puts in force (its term is set by become_active), or None: it may not. Pure.
Claim = Callable[["MgmtState | None", MgmtRegister], "MgmtRegister | None"]
Amendment = Callable[[MgmtRegister], MgmtRegister]  # by the active; pure, may be repeated


def not_active(name: str) -> NotActiveManagementError:
    """What a management instance is told that changes a database's facts without the role."""
    return NotActiveManagementError(
        f"{name} is not the active management instance: it changes nothing",
        hint="Repeat the command: it goes to whoever is active.",
    )


def claim_if_free(active: MgmtState | None, register: MgmtRegister) -> MgmtRegister | None:
    """The claim of an instance that asks for nothing but that nobody is active."""
    return register if active is None else None


class Membership(Protocol):
    """Who is alive and who leads.

    Every coroutine raises MembershipLostError when no quorum answers; whether a change was made
    is then unknown and is settled by reading, once the quorum is back.
    """

    async def start(self) -> None:
        """Open a session, register the own instance, read the first view.

        Raises MembershipLostError if no quorum answers in time and AuthenticationError if the
        grid secret is wrong. An observer (no own instance) registers nothing.
        """
        ...

    async def stop(self) -> None:
        """Leave in an orderly way: nothing is served from now on, and everybody may know it.

        The own incarnation is marked dead and its node deleted, so nobody waits for a timeout.
        Call it last, when the process answers no more SQL.
        """
        ...

    def view(self) -> ClusterView:
        """The newest view."""
        ...

    def subscribe(self, callback: ViewCallback) -> Callable[[], None]:
        """Call back on the event loop after each change; returns what ends that."""
        ...

    def serving_until_s(self) -> float:
        """Until when (CLOCK_BOOTTIME, seconds) this process may answer SQL; 0.0: not at all.

        Design §3, lease rule 3: the moment the newest answered write of the own node was sent,
        plus 2/3 of the negotiated session timeout.
        """
        ...

    async def create_set(self, db: str, rs: int, state: SetState) -> SetState:
        """Create a replica set's value unless it is there; returns the value in force."""
        ...

    async def compare_and_set(
        self, db: str, rs: int, expected: SetState, new: SetState
    ) -> SetState:
        """Replace `expected` by `new` if it is in force; returns the value in force afterwards.

        The caller finds out by `writer` and `counter` whether that is its own value. Raises
        UnknownObjectError if the set does not exist.
        """
        ...

    async def read_set(self, db: str, rs: int) -> SetState | None:
        """The value in force now, every earlier acknowledged write included; None: no such set."""
        ...

    async def delete_database(self, db: str) -> None:
        """Forget sets, map and state of a database; nothing happens if there are none.

        This, `put_map` and `put_state` a management instance does only while it is the active, in
        one step with the proof of that: a deposed one changes nothing, it gets
        NotActiveManagementError.
        """
        ...

    async def put_map(self, db: str, expected_version: int, value: bytes) -> bool:
        """Put `value` in force as map version expected_version + 1; False: another was faster.

        0 expects that there is no map yet.
        """
        ...

    async def put_state(self, db: str, value: str) -> None:
        """Set the intended state of a database (its words are the callers'); last writer wins."""
        ...

    async def become_active(self, name: str, claim: Claim = claim_if_free) -> MgmtState | None:
        """Become the active management instance if `claim` agrees; returns who is active now.

        Bound to the session: it ends with it, and a new one raises the term. The register that
        `claim` gives is put in force in the same step. None: nobody is active, and `claim`
        refused.
        """
        ...

    async def amend_register(self, change: Amendment) -> MgmtRegister | None:
        """As the active: replace the register in one step with the proof that this process still
        is the active. Returns what is in force; None: it is not active, nothing was changed."""
        ...

    async def protect(self) -> int:
        """Let nobody but the login in force read and change the grid's nodes; how many there are.

        Nobody may make nodes by another one any more (InstanceInfo.login).
        """
        ...

    async def login_stamps(self) -> dict[str, str]:
        """`InstanceInfo.login` of every registered instance as it is now; views do not show it."""
        ...

    async def resign_active(self) -> None:
        """Stop being the active management instance; nothing happens if somebody else is."""
        ...

    async def report_death(self, incarnation: str) -> None:
        """Make known that this process was seen to exit: mark it dead and delete its node.

        To be called by who saw the exit (its supervisor) or by itself at the end. The incarnation
        must never serve again. Repeating it changes nothing.
        """
        ...
