"""Row, key and table locks of one lead, with fair queues and a wait graph. Pure: no I/O, no clock.

A *resource* is a hashable name: (table, key) for rows, (table, index, key) for unique keys,
(table,) for whole tables. Modes: shared, exclusive, and for tables intention exclusive. Autocommit
statements never take locks (they are done before anybody else runs); they only ask `blockers`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from enum import IntEnum

from protocol.ids import TxnId

Resource = Hashable


class Mode(IntEnum):
    """Lock modes; `_COMPATIBLE` says which go together."""

    INTENTION = 0  # on a table: row locks below it
    SHARED = 1
    EXCLUSIVE = 2


_COMPATIBLE = {
    (Mode.INTENTION, Mode.INTENTION),
    (Mode.SHARED, Mode.SHARED),
}


class Waiter:
    """Somebody who waits for a resource. `wake` is called once, when it is worth trying again."""

    __slots__ = ("blockers", "resource", "txn", "wake")

    def __init__(
        self, txn: TxnId | None, resource: Resource, blockers: set[TxnId], wake: Callable[[], None]
    ) -> None:
        self.txn = txn
        self.resource = resource
        self.blockers = blockers
        self.wake = wake


class LockTable:
    """Who holds what, who waits for whom."""

    def __init__(self) -> None:
        self._holders: dict[Resource, dict[TxnId, Mode]] = {}
        self._held: dict[TxnId, dict[Resource, None]] = {}
        self._waiting: dict[Resource, deque[Waiter]] = {}

    def __bool__(self) -> bool:
        """True while any lock is held."""
        return bool(self._holders)

    def blockers(self, txn: TxnId | None, resource: Resource, mode: Mode) -> set[TxnId]:
        """The transactions whose locks forbid this one; empty: it may be taken."""
        holders = self._holders.get(resource)
        if not holders:
            return set()
        return {
            other
            for other, held in holders.items()
            if other != txn and (mode, held) not in _COMPATIBLE
        }

    def first_conflict(
        self, txn: TxnId | None, wanted: Iterable[tuple[Resource, Mode]]
    ) -> tuple[Resource, set[TxnId]] | None:
        """The first wanted lock that others forbid, with those who hold it."""
        if not self._holders:
            return None
        for resource, mode in wanted:
            if resource in self._holders:
                found = self.blockers(txn, resource, mode)
                if found:
                    return resource, found
        return None

    def take(self, txn: TxnId, wanted: Iterable[tuple[Resource, Mode]]) -> None:
        """Take locks that `first_conflict` allowed; a stronger mode replaces a weaker one.

        Intention and shared together are as good as exclusive: others must neither write nor rely
        on the table.
        """
        held = self._held.setdefault(txn, {})
        for resource, mode in wanted:
            holders = self._holders.setdefault(resource, {})
            before = holders.get(txn)
            if before is None:
                holders[txn] = mode
                held[resource] = None
            elif before is not mode and before is not Mode.EXCLUSIVE:
                holders[txn] = Mode.EXCLUSIVE

    def release(self, txn: TxnId, only: Iterable[Resource] | None = None) -> list[Waiter]:
        """Drop a transaction's locks (all, or some after a rollback to a savepoint).

        Returns the waiters worth waking, first come first. The caller calls their `wake`.
        """
        held = self._held.get(txn)
        if held is None:
            return []
        resources = list(held) if only is None else [r for r in only if r in held]
        woken: list[Waiter] = []
        for resource in resources:
            del held[resource]
            holders = self._holders[resource]
            del holders[txn]
            if not holders:
                del self._holders[resource]
            woken += self._waiting.pop(resource, ())
        if not held:
            del self._held[txn]
        return woken

    def wait(self, waiter: Waiter) -> None:
        """Queue up behind a resource."""
        self._waiting.setdefault(waiter.resource, deque()).append(waiter)

    def stop_waiting(self, waiter: Waiter) -> None:
        """Leave the queue (timeout, cancel). Harmless if already woken."""
        queue = self._waiting.get(waiter.resource)
        if queue is not None and waiter in queue:
            queue.remove(waiter)
            if not queue:
                del self._waiting[waiter.resource]

    def cycle(self, start: TxnId) -> list[TxnId]:
        """The transactions of a wait cycle through `start`, [] if there is none.

        Depth-first search over "waits for" edges of this element: whoever waits for a resource
        waits for all who hold it now.
        """
        edges: dict[TxnId, set[TxnId]] = {}
        for waiter in self._waiters():
            if waiter.txn is not None:
                found = edges.setdefault(waiter.txn, set(waiter.blockers))
                found.update(self._holders.get(waiter.resource, ()))
        path = [start]
        seen = {start}
        left = [iter(edges.get(start, ()))]  # where the search stands at each step of the path
        while path:
            for other in left[-1]:
                if other == start and len(path) > 1:
                    return path
                if other not in seen:
                    seen.add(other)
                    path.append(other)
                    left.append(iter(edges.get(other, ())))
                    break
            else:
                path.pop()
                left.pop()
        return []

    def held_by(self, txn: TxnId) -> list[tuple[Resource, Mode]]:
        """Every lock of a transaction; goes into its PREPARE so that a new lead can rebuild it."""
        return [(r, self._holders[r][txn]) for r in self._held.get(txn, ())]

    def waiters_of(self, txn: TxnId) -> Waiter | None:
        """The waiter of a transaction that waits, None if it does not."""
        return next((w for w in self._waiters() if w.txn == txn), None)

    def clear(self) -> list[Waiter]:
        """Forget everything (the lead lost its term); returns all waiters, to be failed."""
        waiters = list(self._waiters())
        self._holders.clear()
        self._held.clear()
        self._waiting.clear()
        return waiters

    def _waiters(self) -> Iterator[Waiter]:
        for queue in self._waiting.values():
            yield from queue
