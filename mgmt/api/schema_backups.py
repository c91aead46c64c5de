"""Requests and replies about repositories, backups, restores, exports and imports. No I/O."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from mgmt.api.schema import Reply, Request


# -- repositories ---------------------------------------------------------------------------------
class RepositoryCreate(Request, frozen=True, kw_only=True):
    """Make a repository: a folder for backups and exports."""

    PATH: ClassVar[str] = "repositories/create"
    name: str
    path: str  # the folder above it
    method: str  # mount | scp
    address: str = ""  # scp: its host


class RepositoryAttach(Request, frozen=True, kw_only=True):
    """Use one that is there, perhaps made by another grid."""

    PATH: ClassVar[str] = "repositories/attach"
    name: str
    path: str
    method: str
    address: str = ""


class RepositoryDetach(Request, frozen=True, kw_only=True):
    """Forget one; nothing in it is removed."""

    PATH: ClassVar[str] = "repositories/detach"
    name: str


class RepositoryList(Request, frozen=True, kw_only=True):
    """The repositories; `contents`: and what is in them."""

    PATH: ClassVar[str] = "repositories/list"
    name: str = ""
    contents: bool = False


class CollectionRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A backup or an export."""

    name: str
    kind: str
    database: str
    grid: str
    started_us: int
    complete: bool
    size: int  # bytes


class RepositoryRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A repository."""

    name: str
    method: str
    path: str  # its own folder
    address: str
    collections: tuple[CollectionRow, ...] = ()


class RepositoryListReply(Reply, frozen=True, kw_only=True):
    """Answer of RepositoryList."""

    repositories: tuple[RepositoryRow, ...]


class GridLogCollect(Request, frozen=True, kw_only=True):
    """Copy the logs of all instances into a collection; "": L and the time."""

    PATH: ClassVar[str] = "repositories/collectLogs"
    STREAM: ClassVar[bool] = True
    repository: str
    collection: str = ""


# -- backup, restore, export, import --------------------------------------------------------------
class DbTransfer(Request, frozen=True, kw_only=True):
    """What the four have in common."""

    STREAM: ClassVar[bool] = True
    name: str
    repository: str
    wait_s: int | None = None


class DbWriting(DbTransfer, frozen=True, kw_only=True):
    """And the two that write."""

    bwlimit_mb: int = 0  # MB per second and element; 0: none
    compress: bool = False


class DbBackup(DbWriting, frozen=True, kw_only=True):
    """Back a database up while clients work."""

    PATH: ClassVar[str] = "databases/backup"
    backup: str = ""  # "": Byyyymmddhhmmss
    kind: str = "normal"  # normal | staged


class DbRestore(DbTransfer, frozen=True, kw_only=True):
    """Make a database from a backup."""

    PATH: ClassVar[str] = "databases/restore"
    backup: str


class DbExport(DbWriting, frozen=True, kw_only=True):
    """Write a database's schema and rows, for any topology."""

    PATH: ClassVar[str] = "databases/export"
    export: str = ""  # "": Myyyymmddhhmmss


class DbImport(DbTransfer, frozen=True, kw_only=True):
    """Make a database from an export; an empty one that exists is replaced."""

    PATH: ClassVar[str] = "databases/import"
    export: str
    threads: int = 0  # elements filled at once; 0: all
    batch_size: int = 256  # rows inserted at once
    error_tolerance: int = 0


class DbCollectionDelete(Request, frozen=True, kw_only=True):
    """Remove a backup or an export; `force`: also an incomplete one."""

    PATH: ClassVar[str] = "databases/collectionDelete"
    kind: str  # backup | export
    repository: str
    collection: str
    force: bool = False
    database: str = ""  # of which it must be, where that is known; "": of any


class DbTransferStatus(Request, frozen=True, kw_only=True):
    """How backups, restores, exports or imports are; no name: of all databases."""

    PATH: ClassVar[str] = "databases/transferStatus"
    kind: str  # backup | restore | export | import
    name: str = ""


class TransferPart(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One element's share."""

    host: str
    instance: str
    element: int
    replica_set: int
    state: str
    started_us: int
    finished_us: int = 0
    done_bytes: int = 0
    total_bytes: int = 0


class TransferRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One backup, restore, export or import."""

    database: str
    name: str
    repository: str
    state: str  # InProgress | Completed | Failed | Cancelled
    started_us: int
    finished_us: int = 0
    message: str = ""
    parts: tuple[TransferPart, ...] = ()


class DbTransferStatusReply(Reply, frozen=True, kw_only=True):
    """Answer of DbTransferStatus, oldest first."""

    transfers: tuple[TransferRow, ...]
