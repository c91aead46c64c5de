"""An image: an element's file as it was at an epoch. And elements made from files.

An epoch is a consistent cut through the logs of all replica sets (data/txn/epochs.py). The image
is a copy of the newest committed state, taken while clients write, in which everything that the
log has behind the epoch is undone, as after a loss of power (data/exec/recovery.py). All of it
blocks: for threads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from data.replication import copier
from data.storage import files
from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, TxnPayload, encode_epoch, encode_payload
from data.storage.settings import ElementIdentity, StorageSettings
from data.storage.writer import DISK_ROOM_BYTES
from data.txn.ownership import OWN_TABLE, Ownership
from protocol.errors import DiskFullError, LogGapError, OutOfPermSizeError
from protocol.ids import LogPosition, TxnId
from protocol.limits import MIB
from protocol.messages.admin import ElementSpec
from protocol.messages.backup import SetFacts

FOLDER = "images"  # in the folder of the element
UNDO_ENTRIES = 500  # in one commit
IMPORT_TERM = 1  # of the log of an imported element


def folder_of(element: Element, name: str) -> Path:
    """Where the image of that name is."""
    assert name
    assert "/" not in name
    assert not name.startswith(".")
    return element.path / FOLDER / name


def take(element: Element, folder: Path, epoch: int) -> SetFacts:
    """Make the image; its folder must be new.

    Raises LogGapError if the log has the epoch not or no more (make another one), DiskFullError.
    """
    file = element.path / files.FILE
    _check_room(element.path, file.stat().st_size + element.wal_bytes)
    folder.mkdir(parents=True, mode=0o700)
    copy = folder / "copy.db"
    element.snapshot_to(copy)
    image = Element.install_snapshot(copy, folder, element.identity, _quiet(element.settings))
    try:
        _go_back(image, epoch)
        image.begin()  # what a large COMMIT has left to do; its APPLIED entry is for the next lead
        for _ in image.later_slices():
            pass
        image.forget_before()
        image.commit()
        if image.bucket_indexes():  # of a lead that moves buckets
            image.begin()
            image.drop_bucket_indexes()
            image.commit()
        return facts_of(image)
    finally:
        image.close(clean=True)


def _quiet(settings: StorageSettings) -> StorageSettings:
    """Settings for an element that nobody else uses."""
    return StorageSettings(
        perm_size_mb=settings.perm_size_mb,
        log_bytes_max=settings.log_bytes_max,
        scan_threads=1,
        scan_connections=1,
        check_on_open=False,
    )


def _check_room(path: Path, size: int) -> None:
    room = os.statvfs(path)
    free = room.f_bavail * room.f_frsize
    if free < size + 2 * DISK_ROOM_BYTES:
        raise DiskFullError(
            f"{path} has room for {free // MIB} MiB; a copy of the element needs"
            f" {(size + 2 * DISK_ROOM_BYTES) // MIB} MiB",
            hint="Make room there and try again.",
        )


def _go_back(image: Element, epoch: int) -> None:
    at = next((position for number, position in image.epochs() if number == epoch), None)
    if at is None:
        raise LogGapError(f"epoch {epoch} is not in the log of element {image.identity.element}")
    while image.committed_tail.lsn > at.lsn:
        copier.undo(image, max(at.lsn, image.committed_tail.lsn - UNDO_ENTRIES))
    image.note_return(at.lsn)


def facts_of(element: Element) -> SetFacts:
    """What management must know of an image or of a new element."""
    identity, tail = element.identity, element.committed_tail
    own = Ownership()
    rows = element.read(f"SELECT bucket, owner FROM {OWN_TABLE}")
    own.load(((int(b or 0), int(o or 0)) for b, o in rows), identity.replica_set)
    return SetFacts(
        rs=identity.replica_set,
        element=identity.element,
        instance=identity.instance,
        term=tail.term,
        lsn=tail.lsn,
        schema=element.schema_version,
        size=(element.path / files.FILE).stat().st_size,
        prepared=tuple((p.txn, p.payload.participants) for p in element.prepared()),
        own_version=own.version if own.known else -1,
        owned=_spans(own.buckets()) if own.known else (),
    )


def _spans(buckets: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Ascending numbers as first..last."""
    found: list[tuple[int, int]] = []
    for bucket in buckets:
        if found and found[-1][1] == bucket - 1:
            found[-1] = (found[-1][0], bucket)
        else:
            found.append((bucket, bucket))
    return tuple(found)


def committed(folder: Path, txns: Sequence[TxnId]) -> tuple[TxnId, ...]:
    """Which of these transactions are committed in an image."""
    image = Element.open(folder, _quiet(StorageSettings()))
    try:
        return tuple(txn for txn in txns if image.outcome(txn) == "committed")
    finally:
        image.close(clean=True)


def resolve(folder: Path, txns: Sequence[TxnId]) -> None:
    """Let prepared transactions of an image take effect; the others have none."""
    image = Element.open(folder, _quiet(StorageSettings()))
    try:
        wanted = set(txns)
        for prepared in image.prepared():
            if prepared.txn in wanted:
                tail = image.committed_tail
                payload = encode_payload(TxnPayload(participants=prepared.payload.participants))
                entry = LogEntry(tail.term, tail.lsn + 1, EntryKind.COMMIT, prepared.txn, payload)
                image.begin()
                image.apply_entry(entry)
                image.commit()
    finally:
        image.close(clean=True)


def remove(folder: Path) -> None:
    """Remove an image; nothing happens if there is none."""
    shutil.rmtree(folder, ignore_errors=True)


# -- elements from files ---------------------------------------------------------------------------
def identity_of(spec: ElementSpec, instance: str, rs: int) -> ElementIdentity:
    """Of an element that has its place in the map before it is loaded."""
    return ElementIdentity(
        database=spec.database,
        database_id=spec.database_id,
        element=spec.element,
        instance=instance,
        replica_set=rs,
        data_space=spec.data_space,
    )


def install(
    file: Path, identity: ElementIdentity, path: Path, settings: StorageSettings, database_id: str
) -> SetFacts:
    """Make the element in folder `path` from the file of a backup (used up), in sync and closed.

    Raises CorruptElementError, OutOfPermSizeError.
    """
    size, room = file.stat().st_size, (settings.perm_size_mb * MIB) + settings.log_bytes_max
    if size > room:
        raise OutOfPermSizeError(
            f"the element needs {size // MIB} MiB, PermSize {settings.perm_size_mb} allows"
            f" {room // MIB} MiB with its log",
            hint="Give the database definition a larger PermSize (dbdefModify, modelApply).",
        )
    element = Element.install_snapshot(file, path, identity, settings, database_id)
    try:
        element.mark_in_sync()
        return facts_of(element)
    finally:
        element.close(clean=True)


def install_built(
    file: Path, identity: ElementIdentity, path: Path, settings: StorageSettings, epoch: int
) -> SetFacts:
    """The same with a file that was built from rows.

    Its log begins behind a position that no empty element has: so a copy that was not there fetches
    a snapshot, instead of taking an empty log for the beginning of this one.
    """
    facts = install(file, identity, path, settings, "")
    element = Element.open(path, settings)
    try:
        for lsn, number in ((1, epoch), (2, epoch + 1)):
            element.begin()
            element.append(LogEntry(IMPORT_TERM, lsn, EntryKind.EPOCH, None, encode_epoch(number)))
            element.commit()
        element.cut_log(2)
        assert element.log_start == LogPosition(IMPORT_TERM, 1), element.log_start
        facts = facts_of(element)
    finally:
        element.close(clean=True)
    return facts
