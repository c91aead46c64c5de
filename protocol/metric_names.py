"""Every number that instances tell of themselves: name, kind, meaning. Pure.

A name here is that of the Prometheus metric without `timesten_` in front; names that end in
`_total` are counters, the others are what is now. docs/monitoring.md shows the same table.
"""

from __future__ import annotations

from collections.abc import Mapping

INSTANCE: Mapping[str, str] = {
    "process_cpu_seconds_total": "Processor time of the daemon",
    "process_resident_bytes": "Memory of the daemon",
    "process_open_files": "File descriptors of the daemon",
    "gc_collections_total": "Collections of Python's garbage collector",
    "gc_seconds_total": "Time they took",
    "gc_longest_seconds": "The longest of them",
    "event_loop_longest_delay_seconds": "The latest turn of the event loop within the last 30 s",
    "rpc_peers_connected": "Instances with an open internal connection to this one",
    "rpc_requests_total": "Requests sent to other instances",
    "rpc_requests_waiting": "Requests sent and not answered yet",
    "rpc_requests_open": "Requests of others that are being worked on",
    "rpc_queued_bytes": "Bytes waiting to be written to other instances",
    "rpc_sent_bytes_total": "Bytes sent to other instances",
    "rpc_received_bytes_total": "Bytes received from other instances",
    "membership_connected": "1: the session with the membership servers is alive",
    "membership_sessions_total": "Sessions with the membership servers so far",
    "membership_serving_seconds": "How long this instance may answer SQL without a new answer",
    "membership_instances": "Instances that the membership servers know to be alive",
    "wire_clients": "Open sockets of SQL clients",
    "wire_clients_total": "Sockets opened by SQL clients",
    "wire_received_bytes_total": "Bytes received from SQL clients",
    "certificate_expires_seconds": "Until the first certificate of this instance expires",
    "stranded": "1: cut off from most of the others; clients are turned away",
}
DATABASE: Mapping[str, str] = {
    "perm_allocated_bytes": "PermSize of the element",
    "perm_in_use_bytes": "Of that, in use by rows and indexes",
    "connections": "Sessions of users here",
    "connections_max": "Connections: how many there may be",
    "connections_total": "Sessions begun",
    "logins_failed_total": "Logins refused for a wrong password",
    "database_open": "1: open for users",
    "statements_cached": "Plans in the statement cache",
    "statements_cached_max": "How many there may be",
    "prepares_total": "Statements compiled",
    "reprepares_total": "Of these, again because the schema was changed",
    "slow_statements_total": "Statements that took QueryThreshold or more",
    "transactions_open": "Transactions open at this coordinator",
    "lead_transactions_open": "Transactions with uncommitted changes at this lead",
    "transactions_prepared": "Of these, prepared and waiting for a decision",
    "transactions_in_doubt": "Of these, waiting so long that the anchor is asked",
    "oldest_transaction_seconds": "Age of the oldest of them",
    "locks_held": "Row and table locks held at this lead",
    "locks_waiting": "Statements waiting for a lock at this lead",
    "lock_timeouts_total": "Waits that ended with LockWait",
    "lock_grants_wait_total": "Waits that ended with the lock",
    "deadlocks_total": "Deadlocks broken",
    "log_bytes": "Transaction log kept",
    "log_newest_lsn": "Newest entry of the log",
    "log_committed_lsn": "Newest entry known to be committed",
    "log_oldest_lsn": "Oldest entry that is kept",
    "wal_bytes": "SQLite's write-ahead log",
    "checkpoints_total": "Checkpoints of it",
    "checkpoint_bytes_total": "Bytes they wrote",
    "replica_set": "Number of the replica set, 0: not in the distribution map",
    "replica_set_lead": "1: this element leads it",
    "replica_set_serving": "1: this element leads it and its lease is valid",
    "replica_set_copies": "Elements of the replica set (of the lead)",
    "replica_set_in_sync": "Of these, in sync (of the lead)",
    "replication_term": "Term of the replica set",
    "replication_lag_entries": "Log entries that the lead has committed and this element lacks",
    "replication_lag_seconds": "Since when this element lacks something",
    "epoch": "Newest epoch of the element",
    "epoch_done": "Newest epoch that is on all disks",
    "map_version": "Version of the distribution map here",
    "catalog_version": "Version of the schema here",
}
COPIES: Mapping[str, str] = {
    "replication_copy_lag_entries": "Log entries that a copy has not acknowledged (of the lead)",
    "replication_copy_lag_seconds": "Since when a copy lacks something (of the lead)",
}
HISTOGRAMS: Mapping[str, str] = {
    "sql_seconds": "Time of a statement, by kind",
    "commit_seconds": "Time of a commit, writes that commit by themselves included",
    "event_loop_delay_seconds": "How late a turn of the event loop came",
}
ERRORS = ("sql_errors_total", "Errors answered to clients, by code and SQLSTATE")
GRID: Mapping[str, str] = {
    "mgmt_active": "1: the active management instance",
    "mgmt_operations_running": "Operations under way",
    "membership_server_serving": "1: the membership server is part of a quorum",
    "membership_server_leader": "1: it is their leader",
    "membership_servers": "Membership servers of the grid",
    "membership_servers_serving": "Of these, part of a quorum",
    "instance_alive": "1: the membership servers know the instance",
    "replica_set_known_in_sync": "In-sync copies of a replica set, as membership has it",
    "replica_set_known_term": "Its term, as membership has it",
    "replica_set_known_copies": "Its elements, as the distribution map has them",
    "scaleout_state_normal": "1: every element of every database is as it should be",
}
