"""What system views tell of an element beyond its sessions: settings, log, locks, backups."""

from __future__ import annotations

from collections.abc import Callable

from data.exec.epochs import EpochKeeper
from data.replication.member import ReplicaSetMember
from data.storage.element import Element
from data.txn.lead import LeadWriter

BackupRow = tuple[int, str, int, str]  # V$BACKUP_STATUS: status, destination, percent, error


class Observed:
    """The Instance port of data/exec/instance_views.py."""

    def __init__(
        self,
        configuration: Callable[[], list[tuple[str, str]]],
        element: Element,
        writer: LeadWriter,
        member: ReplicaSetMember,
        epochs: EpochKeeper,
    ) -> None:
        self._configuration = configuration
        self._element = element
        self._writer = writer
        self._member = member
        self._epochs = epochs
        self.backups_of: Callable[[], list[BackupRow]] = list

    def configuration(self) -> list[tuple[str, str]]:
        """The attributes of the definition, those left out with what they come to."""
        return self._configuration()

    def log_holds(self) -> list[tuple[int, str, str]]:
        """For whom the log is kept, and from where."""
        holds = [(self._element.log_start.lsn, "Log", "oldest entry that is kept")]
        for_epochs = self._epochs.cut_limit()
        if for_epochs is not None:
            holds.append((for_epochs, "Epoch", f"epoch {self._epochs.clock.done}"))
        return holds

    def stats(self) -> dict[str, int]:
        """Counters that move."""
        waits, status = self._writer.waits, self._member.status()
        return {
            "epoch.done": self._epochs.clock.done,
            "epoch.newest": self._element.newest_epoch()[0],
            "lock.deadlocks": waits.deadlocks,
            "lock.granted_after_wait": waits.granted,
            "lock.timeouts": waits.timeouts,
            "replication.in_sync": len(status.in_sync),
            "replication.lsn": self._element.tail.lsn,
            "replication.term": status.term,
        }

    def backups(self) -> list[BackupRow]:
        """Of this element, since the instance began."""
        return self.backups_of()
