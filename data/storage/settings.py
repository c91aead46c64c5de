"""Who an element is and how it is kept: frozen values. Pure."""

from __future__ import annotations

import msgspec

from protocol.limits import MIB


class ElementIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Written into the element's file; an element is never opened as another one by accident."""

    database: str
    database_id: str  # unique for ever: a database of the same name made again has another one
    element: int
    instance: str  # "host3.instance1"
    replica_set: int = 0  # 0: not (yet) in the distribution map
    data_space: int = 0


class StorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one element, from the database definition. Sizes in MB are 2**20 bytes."""

    perm_size_mb: int = 128  # PermSize: bounds rows and indexes
    durability: int = 0  # 1: every commit is flushed before it returns
    log_bytes_max: int = 64 * MIB  # room for the transaction log beside PermSize
    scan_threads: int = 3  # scans that run at once; more wait for each other's next batch
    scan_connections: int = 200  # scans and snapshots that are open at once; more wait
    scan_cache_bytes: int = 32 * MIB  # page cache of each scan's connection
    scratch_cache_bytes: int = 32 * MIB  # a Scratch spills to a temporary file beyond
    wal_bytes_checkpoint: int = 8 * MIB  # a checkpoint starts, in the background
    wal_bytes_max: int = 32 * MIB  # beyond, commit() helps with the checkpoint
    check_on_open: bool = True  # PRAGMA quick_check
    boot_id: str = ""  # "": this machine's; tests give another one
