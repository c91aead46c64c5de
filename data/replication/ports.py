"""What a member of a replica set is given, and what it tells: settings, listeners, its status."""

from __future__ import annotations

from typing import Protocol

import msgspec

from protocol.limits import MIB


class ReplicationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one member."""

    session_timeout_s: float = 2.0  # as negotiated with the membership servers
    log_bytes_kept: int = 32 * MIB  # a copy that lacks more than this needs a snapshot
    hand_over_timeout_s: float = 1.5  # a stop waits so long for its successor


class RoleListener(Protocol):
    """Who serves requests while this element leads. Called on the event loop."""

    def became_lead(self, term: int, in_sync: tuple[int, ...]) -> None:
        """The own log is the truth on all in-sync copies and committed here: serve."""
        ...

    def lost_lead(self) -> None:
        """Roll back the open batch, fail waiting requests, forget locks and workspaces; now."""
        ...

    def state_changed(self, status: MemberStatus) -> None:
        """Role, term or in-sync copies changed."""
        ...


class Luggage(Protocol):
    """What a planned hand-over carries along: open workspaces, their locks and counts."""

    def pack(self) -> bytes:
        """Called before `lost_lead`."""
        ...

    def unpack(self, luggage: bytes) -> None:
        """Called before `became_lead` of the next term."""
        ...


class MemberStatus(msgspec.Struct, frozen=True):
    """For dbStatus and SYS views."""

    role: str  # lead, copy, catching-up, waiting-for-seed, idle
    term: int
    lead: int  # element, 0 unknown
    in_sync: tuple[int, ...]
    lsn: int  # newest entry committed here
    commit_lsn: int  # newest entry known to be committed by the lead
    lag: int  # entries that the lead has committed and this element lacks
    since_wall_us: int  # in this role and term since
