"""The picture of the grid at one moment, and what happens to it. No I/O.

Shared by the HTTP API (`grids/picture` and the stream of events), the console and gridWatch.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from mgmt.api.schema import MgmtRow, OperationRow, Reply, Request
from mgmt.api.schema_databases import RedistributionStatus

UNKNOWN = -1


class GridPicture(Request, frozen=True, kw_only=True):
    """How the whole grid is: at most a second old."""

    PATH: ClassVar[str] = "grids/picture"


class EventList(Request, frozen=True, kw_only=True):
    """What happened to the grid after event `since`, as far as it is remembered, oldest first."""

    PATH: ClassVar[str] = "grids/events"
    since: int = 0
    limit: int = 500


class GridEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. Numbers grow; each management instance counts for itself."""

    id: int
    at_us: int  # microseconds since 1970 UTC
    kind: str  # instance | lead | sync | element | map | database | management | model | operation
    severity: str  # info | good | warning | fault
    subject: str  # an instance, database, or what an operation works on
    text: str
    database: str = ""
    operation: int = 0  # its number; 0: none


class EventListReply(Reply, frozen=True, kw_only=True):
    """Answer of EventList."""

    events: tuple[GridEvent, ...]
    last: int  # the newest number given


class ElementPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One element. Sizes in KiB; -1: unknown, its instance did not say."""

    element: int
    instance: str  # host3.instance1
    host: str
    data_space: int
    replica_set: int  # 0: not in the map
    state: str  # the word of dbStatus: opened, loading, down, ...
    role: str  # lead | copy | catching-up | waiting-for-seed | idle | ""
    since_us: int
    message: str = ""
    term: int = 0
    lsn: int = 0
    lag: int = UNKNOWN  # log entries behind the lead
    connections: int = 0
    used_kb: int = UNKNOWN
    size_kb: int = UNKNOWN  # PermSize
    log_kb: int = UNKNOWN
    mark: str = ""  # add, remove, evict: pending; removed, evicted: it is out of the map


class SetPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One replica set. state: ok, degraded (a copy is missing), no lead, unloaded."""

    replica_set: int
    state: str
    lead: int  # element; 0: nobody leads
    term: int
    in_sync: tuple[int, ...]
    buckets: int


class DatabasePicture(msgspec.Struct, frozen=True, kw_only=True):
    """One database. `words`: creation, load and open state, as dbStatus shows them."""

    name: str
    words: tuple[str, str, str]
    k: int
    map_version: int
    data_spaces: int
    sets: tuple[SetPicture, ...]
    elements: tuple[ElementPicture, ...]
    redistribution: RedistributionStatus | None = None


class InstancePicture(msgspec.Struct, frozen=True, kw_only=True):
    """One data instance of the model in force."""

    name: str
    host: str
    address: str
    external_address: str
    cs_port: int
    data_space_group: int
    alive: bool
    version: str = ""


class ServerPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One membership server. role: leader, follower, standalone, no quorum, down, unknown."""

    address: str
    role: str
    latency_ms: str = ""
    connections: int = 0


class Picture(Reply, frozen=True, kw_only=True):
    """Answer of GridPicture, and the `picture` messages of the stream of events."""

    as_of_us: int
    grid: str
    k: int
    warn_threshold_pct: int
    active: str  # the management instance that says this
    model_latest: int
    model_current: int
    management: tuple[MgmtRow, ...]
    servers: tuple[ServerPicture, ...]
    instances: tuple[InstancePicture, ...]
    databases: tuple[DatabasePicture, ...]
    operations: tuple[OperationRow, ...]  # those that run
    collect_ms: float = 0.0  # how long collecting it took
