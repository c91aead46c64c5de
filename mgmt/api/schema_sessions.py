"""Requests and replies about the connections of databases: dbDisconnect and its status. No I/O."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from mgmt.api.schema import Reply, Request


class DbDisconnect(Request, frozen=True, kw_only=True):
    """End the users' connections. mode: transactional, immediate or abort. wait_s as DbCreate's."""

    PATH: ClassVar[str] = "databases/disconnect"
    STREAM: ClassVar[bool] = True
    name: str
    mode: str
    wait_s: int | None = None


class DbDisconnectStatus(Request, frozen=True, kw_only=True):
    """How far the newest dbDisconnect is; no name: of every database that had one."""

    PATH: ClassVar[str] = "databases/disconnect-status"
    name: str = ""


class InstanceDisconnect(msgspec.Struct, frozen=True, kw_only=True):
    """One instance. state: Disconnecting, Failed or Disconnected."""

    instance: str
    state: str
    left: int = 0  # connections still to be ended
    idle: int = 0  # those that end when they next ask for something
    message: str = ""


class DisconnectRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One dbDisconnect. state: Defined, Disconnecting, Failed or Complete."""

    name: str
    database_id: str
    mode: str
    state: str
    started_us: int
    ended_us: int = 0
    instances: tuple[InstanceDisconnect, ...] = ()


class DbDisconnectStatusReply(Reply, frozen=True, kw_only=True):
    """Answer of DbDisconnectStatus."""

    disconnects: tuple[DisconnectRecord, ...]


class ConnectionRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One connection, as protocol/messages/sessions.py has it."""

    host: str
    instance: str
    id: int
    name: str
    pid: int
    kind: str  # direct | client | proxy | system
    user: str
    address: str
    state: str
    since_us: int
