"""Backups, restores, exports and imports as management remembers them, for their status."""

from __future__ import annotations

import msgspec

from mgmt.api import schema_backups as requests
from mgmt.model.store import Delete, Put
from mgmt.ops.operation import State
from mgmt.service.context import Management
from protocol.errors import ParameterError
from protocol.messages.backup import DONE, JobReport

KIND = "transfer"  # of the store; the key is Transfer.key
KINDS = ("backup", "restore", "export", "import")
KEPT_MAX = 50  # ended ones per kind and database
IN_PROGRESS, COMPLETED, FAILED, CANCELLED = "InProgress", "Completed", "Failed", "Cancelled"
_encode = msgspec.json.Encoder().encode


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One element's share."""

    instance: str  # host3.instance1
    element: int
    rs: int
    state: str = IN_PROGRESS
    started_us: int
    finished_us: int = 0
    done_bytes: int = 0
    total_bytes: int = 0

    def told(self, report: JobReport, now_us: int) -> Part:
        """The part as its job says."""
        done = report.state == DONE
        return msgspec.structs.replace(
            self,
            done_bytes=report.done_bytes,
            total_bytes=report.total_bytes,
            state=COMPLETED if done else self.state,
            finished_us=(self.finished_us or now_us) if done else 0,
        )


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """One backup, restore, export or import."""

    kind: str  # backup | restore | export | import
    database: str
    name: str  # of the backup or export
    repository: str
    started_us: int
    state: str = IN_PROGRESS
    finished_us: int = 0
    message: str = ""
    parts: tuple[Part, ...] = ()

    @property
    def key(self) -> str:
        """Under which the store has it."""
        return f"{self.kind} {self.database.lower()} {self.repository.lower()} {self.name}"


class Transfers:
    """Those in the store."""

    def __init__(self, management: Management) -> None:
        self._management = management

    def all(self, kind: str, database: str = "") -> list[Transfer]:
        """Oldest first."""
        found = [
            msgspec.json.decode(body, type=Transfer)
            for _, body in self._management.store.items(KIND)
        ]
        return sorted(
            (t for t in found if t.kind == kind and database.lower() in ("", t.database.lower())),
            key=lambda t: t.started_us,
        )

    def put(self, transfer: Transfer) -> None:
        """Remember it; the oldest ended ones are forgotten."""
        ended = [
            t for t in self.all(transfer.kind, transfer.database)
            if t.state != IN_PROGRESS and t.key != transfer.key
        ]  # fmt: skip
        gone = ended[: max(0, len(ended) - KEPT_MAX)]
        self._management.store.write(
            *(Delete(KIND, t.key) for t in gone), Put(KIND, transfer.key, _encode(transfer))
        )

    def ended(self, transfer: Transfer, state: str, message: str = "") -> None:
        """It is over."""
        now_us = self._management.clock.wall_us()
        parts = tuple(
            p if p.state == COMPLETED else msgspec.structs.replace(p, state=state)
            for p in transfer.parts
        )
        self.put(
            msgspec.structs.replace(
                transfer, state=state, message=message, finished_us=now_us, parts=parts
            )
        )

    def status(self, request: requests.DbTransferStatus) -> requests.DbTransferStatusReply:
        """dbBackupStatus, dbRestoreStatus, dbExportStatus, dbImportStatus."""
        if request.kind not in KINDS:
            raise ParameterError(f"kind '{request.kind}': use {', '.join(KINDS)}")
        found = {transfer.key: transfer for transfer in self.all(request.kind, request.name)}
        for begun in self._begun(request.kind, request.name):
            known = found.get(begun.key)
            if known is None or known.started_us < begun.started_us:
                found[begun.key] = begun
        return requests.DbTransferStatusReply(transfers=tuple(map(_row, found.values())))

    def _begun(self, kind: str, database: str) -> list[Transfer]:
        """Those whose operation runs; perhaps it has not come to them yet."""
        return [
            Transfer(
                kind=kind,
                database=str(body["database"]),
                name=str(body["name"]),
                repository=str(body["repository"]),
                started_us=record.started_us,
            )
            for record in self._management.runner.list()
            if record.state is State.RUNNING
            for body in [record.steps[0].body]
            if body.get("kind") == kind and database.lower() in ("", str(body["database"]).lower())
        ]


def _row(transfer: Transfer) -> requests.TransferRow:
    parts = tuple(
        requests.TransferPart(
            host=p.instance.partition(".")[0],
            instance=p.instance.partition(".")[2],
            element=p.element,
            replica_set=p.rs,
            state=p.state,
            started_us=p.started_us,
            finished_us=p.finished_us,
            done_bytes=p.done_bytes,
            total_bytes=p.total_bytes,
        )
        for p in transfer.parts
    )
    return requests.TransferRow(
        database=transfer.database,
        name=transfer.name,
        repository=transfer.repository,
        state=transfer.state,
        started_us=transfer.started_us,
        finished_us=transfer.finished_us,
        message=transfer.message,
        parts=parts,
    )
