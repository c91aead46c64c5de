"""Management → data instance: who is connected to a database there, and end that."""

from __future__ import annotations

import msgspec

from protocol.messages import registry

# Ways to disconnect, as dbDisconnect names them
TRANSACTIONAL = "transactional"  # each ends with its transaction, or with its next request
IMMEDIATE = "immediate"  # open transactions are rolled back, what commits is waited for
ABORT = "abort"  # the connection is cut, whatever it does
MODES = (TRANSACTIONAL, IMMEDIATE, ABORT)

# Kinds of connections
DIRECT, CLIENT = "direct", "client"  # over the local socket, over the external network
PROXY = "proxy"  # what a client of another instance does here
SYSTEM = "system"  # this instance's own


class ListSessions(msgspec.Struct, frozen=True, array_like=True, tag="sessions.list"):
    """Who is connected to the database there? Reply: SessionList."""

    database: str


class SessionInfo(msgspec.Struct, frozen=True, array_like=True):
    """One connection."""

    number: int  # unique at the instance as long as it lasts
    name: str  # application_name; of a proxy: the transaction
    pid: int  # of the client's process; 0: it is on another machine
    kind: str
    user: str
    address: str  # of the client; of a proxy: the coordinator's element
    state: str  # idle | active | in transaction
    since_us: int  # connected at, microseconds since 1970


class SessionList(msgspec.Struct, frozen=True, array_like=True, tag="sessions.listed"):
    """Reply to ListSessions."""

    sessions: tuple[SessionInfo, ...]


class Disconnect(msgspec.Struct, frozen=True, array_like=True, tag="sessions.disconnect"):
    """End the users' sessions of a database there. May be repeated. Reply: Disconnecting."""

    database: str
    database_id: str
    mode: str


class Disconnecting(msgspec.Struct, frozen=True, array_like=True, tag="sessions.disconnecting"):
    """How far that is."""

    left: int  # sessions that are still to be ended
    idle: int  # of a transactional disconnect: those that end when they next ask for something


registry.declare_module(__name__)
