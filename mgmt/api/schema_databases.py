"""Requests and replies about databases (the HTTP API's part databases/). No I/O.

The JSON names of a database's status are those of TimesTen's `dbStatus -o json`.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from mgmt.api.schema import Reply, Request
from mgmt.api.schema_sessions import ConnectionRow

# wait_s of the asynchronous commands: None returns at once, 0 waits for ever


class DbCreate(Request, frozen=True, kw_only=True):
    """Create the elements of a database and load them; `instance`: only there (repair)."""

    PATH: ClassVar[str] = "databases/create"
    STREAM: ClassVar[bool] = True
    name: str
    instance: str = ""  # "host" or "host.instance"
    wait_s: int | None = None


class DbLoad(Request, frozen=True, kw_only=True):
    """Load all elements."""

    PATH: ClassVar[str] = "databases/load"
    STREAM: ClassVar[bool] = True
    name: str
    wait_s: int | None = None


class DbUnload(Request, frozen=True, kw_only=True):
    """Unload all elements."""

    PATH: ClassVar[str] = "databases/unload"
    STREAM: ClassVar[bool] = True
    name: str
    force: bool = False
    wait_s: int | None = None


class DbOpen(Request, frozen=True, kw_only=True):
    """Let users in."""

    PATH: ClassVar[str] = "databases/open"
    STREAM: ClassVar[bool] = True
    name: str
    wait_s: int | None = None


class DbClose(Request, frozen=True, kw_only=True):
    """Let no new users in."""

    PATH: ClassVar[str] = "databases/close"
    STREAM: ClassVar[bool] = True
    name: str
    wait_s: int | None = None


class DbDestroy(Request, frozen=True, kw_only=True):
    """Remove all elements with their files; `instance`: only there, an element outside the map."""

    PATH: ClassVar[str] = "databases/destroy"
    STREAM: ClassVar[bool] = True
    name: str
    instance: str = ""
    wait_s: int | None = None


class Going(msgspec.Struct, frozen=True):
    """Elements that leave the map: "host" or "host.instance", and who takes their place."""

    place: str
    replace_with: str = ""


class DbDistribute(Request, frozen=True, kw_only=True):
    """Change the distribution map. `add`: "all", "host" or "host.instance".

    `force`: evict also elements that live. `rows_per_s` bounds the cost to clients beyond the
    rests that a move takes anyhow; 0: it does not.
    """

    PATH: ClassVar[str] = "databases/distribute"
    STREAM: ClassVar[bool] = True
    name: str
    add: tuple[str, ...] = ()
    remove: tuple[Going, ...] = ()
    evict: tuple[Going, ...] = ()
    force: bool = False
    rows_per_s: int = 0
    apply: bool = False
    reset: bool = False
    resync: bool = False
    list: bool = False


class DistributionRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One element and its place in the map; change is what is pending, or Removed, Evicted."""

    host: str
    instance: str
    element: int
    data_space: int
    replica_set: int  # 0: not in the map
    change: str = ""


class DbDistributeReply(Reply, frozen=True, kw_only=True, rename="camel"):
    """Answer of DbDistribute; elements only for list."""

    messages: tuple[str, ...] = ()
    elements: tuple[DistributionRow, ...] = ()
    map_version: int = 0


class DbList(Request, frozen=True, kw_only=True):
    """All databases."""

    PATH: ClassVar[str] = "databases/list"


class DbRow(msgspec.Struct, frozen=True, kw_only=True):
    """One database."""

    name: str
    loaded: bool
    opened: bool


class DbListReply(Reply, frozen=True, kw_only=True):
    """Answer of DbList."""

    databases: tuple[DbRow, ...]


# -- dbTransactions -------------------------------------------------------------------------------
class DbTransactions(Request, frozen=True, kw_only=True):
    """The open, prepared and in-doubt transactions of a database."""

    PATH: ClassVar[str] = "databases/transactions"
    name: str
    in_doubt: bool = False  # only those


class TransactionRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One transaction. Numbers in the tuples are replica sets."""

    transaction: str  # element.connection.counter, as SYS.V$XACT_ID has it
    incarnation: str  # of its coordinator's process: counters begin anew with it
    coordinator: int  # element of the client's connection
    state: str  # open | failed | prepared | in doubt
    age_ms: int
    prepared_ms: int  # 0: it is not prepared
    participants: tuple[int, ...]
    prepared_at: tuple[int, ...]
    rows: int
    locks: int
    waits_for: str  # transactions
    waits_on: str  # the lock


class DbTransactionsReply(Reply, frozen=True, kw_only=True):
    """What dbTransactions shows. `silent`: instances that did not answer."""

    name: str
    as_of: int
    transactions: tuple[TransactionRow, ...]
    silent: tuple[str, ...] = ()


# -- dbStatus -------------------------------------------------------------------------------------
class DbStatus(Request, frozen=True, kw_only=True):
    """How databases are; no name: all."""

    PATH: ClassVar[str] = "databases/status"
    name: str = ""
    connections: bool = False  # also who is connected
    proxy: bool = False  # among them what clients of other instances do at each
    system: bool = False  # and the instances' own


class ElementStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One element. `sync_replica_set` 0: not in the map."""

    element_number: int
    data_space: int
    sync_replica_set: int
    state: str
    message: str = ""
    created: bool = False
    creating: bool = False
    loaded: bool = False
    loading: bool = False
    opened: bool = False
    unloaded: bool = False
    unloading: bool = False
    destroying: bool = False
    in_cur_dist_map: bool = False
    in_prev_dist_map: bool = False
    add_in_next_dist_map: bool = False
    remove_in_next_dist_map: bool = False
    evict_in_next_dist_map: bool = False
    last_change_start: int = 0  # microseconds since 1970 UTC; 0: unknown (down)
    role: str = ""  # lead | copy | catching-up | waiting-for-seed | idle
    term: int = 0
    lsn: int = 0
    connections: int = 0
    catalog_version: int = 0
    epoch: int = 0  # newest one in its log; 0: none, or unknown (down)
    epoch_done: int = 0  # newest one that it knows to be flushed on every copy


class InstanceOfDatabase(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A data instance and its element of the database."""

    host_name: str
    host_addr: str
    instance_name: str
    instance_home: str
    instance_guid: str
    instance_type: str = "data"
    data_space_group: int
    in_membership: bool
    reachable: bool
    opened: bool
    elements: tuple[ElementStatus, ...]


class Overall(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of the summary; JSON names as TimesTen has them."""

    n_instances: int = msgspec.field(name="nInstances")
    n_instances_in_map: int = msgspec.field(name="nInstancesInMap")
    n_created: int = msgspec.field(name="nCreated")
    n_creating: int = msgspec.field(name="nCreating")
    n_create_failed: int = msgspec.field(name="nCreateFailed")
    n_loading: int = msgspec.field(name="nLoading")
    n_instances_loaded: int = msgspec.field(name="nInstancesLoaded")
    n_instances_opened: int = msgspec.field(name="nInstancesOpened")
    n_down: int = msgspec.field(name="nDown")
    n_replica_sets: int = msgspec.field(name="nReplicaSets")
    n_rs_created: int = msgspec.field(name="nRSCreated")
    n_rs_loaded: int = msgspec.field(name="nRSLoaded")
    summary: tuple[str, str, str]


class SetReadiness(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether a replica set can be loaded now."""

    replica_set: int
    state: str


class RedistributionStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How far the move of buckets is. `seconds_left` -1: unknown."""

    percent: int
    buckets: int
    buckets_left: int
    rows: int = 0  # moved so far
    seconds_left: int = -1
    source: int = 0  # the replica sets between which rows move at this moment
    target: int = 0
    waits: str = ""  # why it does not get on; "": it does

    def words(self) -> str:
        """As dbStatus and dbDistribute show it."""
        done = self.buckets - self.buckets_left
        parts = [f"{self.percent} % ({done} of {self.buckets} buckets)"]
        if self.rows:
            parts.append(f"{self.rows} rows")
        if self.source:
            parts.append(f"replica set {self.source} to {self.target}")
        if self.seconds_left >= 0:
            parts.append(f"about {self.seconds_left} s left")
        if self.waits:
            parts.append(f"waits: {self.waits}")
        return ", ".join(parts)


class DatabaseStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One database."""

    name: str
    db_guid: str
    dbdef_guid: str
    k: int
    loaded: bool
    opened: bool
    quiesced: bool = False
    delete_pending: bool = False
    pt_version: int  # of the distribution map; 0: none
    as_of: int  # microseconds since 1970 UTC
    overall: Overall
    redistribution: RedistributionStatus | None = None
    load_state: str  # Loadable | Not loadable | Loaded | Waiting for seed
    readiness: tuple[SetReadiness, ...]
    instances: tuple[InstanceOfDatabase, ...]
    connections: tuple[ConnectionRow, ...] = ()  # if they were asked for
    silent: tuple[str, ...] = ()  # instances that did not tell their connections


class DbStatusReply(Reply, frozen=True, kw_only=True, rename="camel"):
    """Answer of DbStatus."""

    databases: tuple[DatabaseStatus, ...]
    k: int
    space_warn: int
    warning: str = ""  # that nothing is encrypted
