"""Management → data instance: images of elements, their files, and elements made from files.

Long work is a job: the message that starts it is answered at once with a JobReport, `AskJob` tells
how it gets on, `StopJobs` ends it. The name of a job is given by management; starting a job of a
name that is known already answers how that one is. A data instance that was restarted knows no
job of before: the state is then "unknown", and what management does begins anew.
"""

from __future__ import annotations

import msgspec

from protocol.ids import TxnId
from protocol.messages import registry
from protocol.messages.admin import ElementSpec

RUNNING, DONE, FAILED, UNKNOWN = "running", "done", "failed", "unknown"

Prepared = tuple[TxnId, tuple[int, ...]]  # a transaction, its replica sets, the anchor first


class FileFacts(msgspec.Struct, frozen=True, array_like=True):
    """One file of a collection. `checksum`: XXH3-128 of the bytes as they are stored."""

    path: str  # below the collection
    size: int  # bytes as stored
    raw_size: int  # bytes of the content, before compression
    checksum: str
    packed: bool  # zlib
    table: str = ""  # of an export: SCHEMA.NAME as stored in the element
    rows: int = 0
    columns: tuple[str, ...] = ()


class SetFacts(msgspec.Struct, frozen=True, array_like=True):
    """What an image says about its replica set."""

    rs: int
    element: int
    instance: str
    term: int  # of the newest entry of its log
    lsn: int
    schema: int  # version of the catalog
    size: int  # bytes of the image
    prepared: tuple[Prepared, ...] = ()  # transactions whose outcome was not known there
    own_version: int = -1  # of the ownership of buckets; -1: not noted yet, the map says it
    owned: tuple[tuple[int, int], ...] = ()  # buckets first..last, if it is noted


class MakeEpoch(msgspec.Struct, frozen=True, array_like=True, tag="backup.make_epoch"):
    """To any loaded element: make an epoch that begins now. Reply: EpochMade."""

    db: str
    database_id: str


class EpochMade(msgspec.Struct, frozen=True, array_like=True, tag="backup.epoch_made"):
    """It is in the log of every in-sync copy of every replica set."""

    number: int


class TakeImage(msgspec.Struct, frozen=True, array_like=True, tag="backup.take_image"):
    """Job: copy the element as it was at an epoch into a file beside it. Result: SetFacts."""

    job: str
    db: str
    database_id: str
    epoch: int


class PackImage(msgspec.Struct, frozen=True, array_like=True, tag="backup.pack_image"):
    """Job: write the image of job `image` to a folder. Result: its file. The image is removed.

    `folder` is absolute; the file's path below it begins with `prefix`.
    """

    job: str
    image: str
    folder: str
    prefix: str
    packed: bool
    bytes_per_s: int  # 0: as fast as it goes


class AskCommitted(msgspec.Struct, frozen=True, array_like=True, tag="backup.ask_committed"):
    """Which of these transactions are committed in the image of a job? Reply: AreCommitted."""

    image: str
    txns: tuple[TxnId, ...]


class AreCommitted(msgspec.Struct, frozen=True, array_like=True, tag="backup.are_committed"):
    """Those."""

    txns: tuple[TxnId, ...]


class ExportImage(msgspec.Struct, frozen=True, array_like=True, tag="backup.export_image"):
    """Job: write the rows of an image, table by table, and its catalog. Result: the files.

    `committed`: transactions that are prepared in it and take effect first. `whole`: this replica
    set writes the catalog and the rows of duplicate tables, which are the same everywhere.
    """

    job: str
    image: str
    folder: str
    prefix: str
    packed: bool
    bytes_per_s: int
    committed: tuple[TxnId, ...]
    whole: bool


class RestoreElement(msgspec.Struct, frozen=True, array_like=True, tag="backup.restore_element"):
    """Job: make a created, unloaded element from the file of a backup. Result: SetFacts."""

    job: str
    spec: ElementSpec
    rs: int
    database_id: str  # of the database that was backed up
    folder: str
    file: FileFacts


class ImportElement(msgspec.Struct, frozen=True, array_like=True, tag="backup.import_element"):
    """Job: make a created, unloaded element from the files of an export. Result: SetFacts.

    `buckets`: those of its replica set; rows of others are passed over.
    """

    job: str
    spec: ElementSpec
    rs: int
    folder: str
    catalog: FileFacts
    files: tuple[FileFacts, ...]
    buckets: tuple[tuple[int, int], ...]  # first..last
    epoch: int  # its log begins with it
    batch_rows: int = 256  # inserted at once


class Stage(msgspec.Struct, frozen=True, array_like=True, tag="backup.stage"):
    """Make a folder beside an element, for files on their way to or from a repository that the
    instance does not see. Reply: Staged. `StopJobs` removes it."""

    job: str
    data_store: str  # the element's folder


class Staged(msgspec.Struct, frozen=True, array_like=True, tag="backup.staged"):
    """Where it is."""

    folder: str


class ReadStaged(msgspec.Struct, frozen=True, array_like=True, tag="backup.read_staged"):
    """A piece of a file in the folder of a `Stage`. Reply: Piece; b"" at the end."""

    job: str
    path: str
    offset: int
    size: int


class Piece(msgspec.Struct, frozen=True, array_like=True, tag="backup.piece"):
    """Those bytes."""

    data: bytes


class WriteStaged(msgspec.Struct, frozen=True, array_like=True, tag="backup.write_staged"):
    """Write a piece there; what the file had behind the offset is gone. Reply: PieceWritten."""

    job: str
    path: str
    offset: int
    data: bytes


class PieceWritten(msgspec.Struct, frozen=True, array_like=True, tag="backup.piece_written"):
    """The file has so many bytes now."""

    size: int


class AskJob(msgspec.Struct, frozen=True, array_like=True, tag="backup.ask_job"):
    """How does a job get on? Reply: JobReport."""

    job: str


class JobReport(msgspec.Struct, frozen=True, array_like=True, tag="backup.job"):
    """A job as it is now."""

    job: str
    state: str  # running | done | failed | unknown
    done_bytes: int = 0
    total_bytes: int = 0
    facts: SetFacts | None = None
    files: tuple[FileFacts, ...] = ()
    error: tuple[str, str, str, str, int] | None = None  # GridError.to_wire()


class StopJobs(msgspec.Struct, frozen=True, array_like=True, tag="backup.stop_jobs"):
    """End all jobs whose names begin so, remove their images, forget them. Reply: JobsStopped."""

    prefix: str


class JobsStopped(msgspec.Struct, frozen=True, array_like=True, tag="backup.jobs_stopped"):
    """They have ended."""

    count: int


class AskContent(msgspec.Struct, frozen=True, array_like=True, tag="backup.ask_content"):
    """What did users make in the database? Reply: Content."""

    db: str
    database_id: str


class Content(msgspec.Struct, frozen=True, array_like=True, tag="backup.content"):
    """Names of relations of users, at most a few of them, and of users."""

    relations: tuple[str, ...]
    users: tuple[str, ...]


registry.declare_module(__name__)
