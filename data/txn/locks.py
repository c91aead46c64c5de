"""Row, key and table locks of one lead, with fair queues and the edges of waits. Pure: no I/O.

A *resource* is a hashable name: (table, index, key) for rows and unique keys, (table,) for whole
tables. Whoever cannot have a lock waits in the resource's queue. Queues are fair: a lock is refused
also to who would get past somebody waiting for a lock that does not go together with it. A lock
that becomes free is *granted* to the first in the queue before anybody else is asked, and the
waiter tries its statement again holding it. Who holds a weaker lock and wants a stronger one waits
before all who hold nothing: they can only wait for him.

Autocommit statements hold nothing when they are done (nobody runs between them and their commit),
but while they wait they queue up, and are granted, like everybody else.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple

from data.txn.bulk_locks import BulkLocks, KeyBlock
from protocol.ids import TxnId

Resource = Hashable
Lock = tuple[Resource, "Mode"]


class Mode(IntEnum):
    """Lock modes of rows and keys, and (the names with INTENTION) of tables.

    PostgreSQL's FOR KEY SHARE, FOR SHARE, FOR NO KEY UPDATE and FOR UPDATE are KEY_SHARED, SHARED,
    UPDATE and EXCLUSIVE. Gray's IS, IX, S, SIX and X for tables are INTENTION_SHARED, INTENTION,
    SHARED, SHARED_INTENTION and EXCLUSIVE; IS and SIX go together with what KEY_SHARED and UPDATE
    go together with. The numbers are in PREPARE records.
    """

    INTENTION = 0
    SHARED = 1
    EXCLUSIVE = 2
    KEY_SHARED = 3
    UPDATE = 4


INTENTION_SHARED = Mode.KEY_SHARED
_SHARING = (Mode.SHARED, Mode.KEY_SHARED)
SHARED_INTENTION = Mode.UPDATE

_TOGETHER = (
    (Mode.KEY_SHARED, Mode.KEY_SHARED),
    (Mode.KEY_SHARED, Mode.SHARED),
    (Mode.KEY_SHARED, Mode.UPDATE),
    (Mode.KEY_SHARED, Mode.INTENTION),
    (Mode.SHARED, Mode.SHARED),
    (Mode.INTENTION, Mode.INTENTION),
)


def intention_of(mode: Mode) -> Mode:
    """The lock on a table that goes with locks in this mode on some of its rows."""
    return INTENTION_SHARED if mode in (Mode.SHARED, Mode.KEY_SHARED) else Mode.INTENTION


def _conflicts(mode: Mode) -> int:
    return sum(
        1 << other
        for other in Mode
        if (mode, other) not in _TOGETHER and (other, mode) not in _TOGETHER
    )


_CONFLICTS = tuple(_conflicts(mode) for mode in Mode)  # bit n: does not go together with mode n


def _joined(one: Mode, other: Mode) -> Mode:
    """The weakest mode that is at least as strong as both."""
    both = _CONFLICTS[one] | _CONFLICTS[other]
    fitting = [mode for mode in Mode if _CONFLICTS[mode] & both == both]
    return min(fitting, key=lambda mode: _CONFLICTS[mode].bit_count())


_JOINED = tuple(tuple(_joined(one, other) for other in Mode) for one in Mode)


def younger(txn: TxnId) -> tuple[int, int, str]:
    """Sort key: of two transactions the greater one is the younger; all instances agree.

    The running number of an id begins with the time it was given (data/txn/manager.py).
    """
    return txn.counter, txn.element, txn.incarnation


class Conflict(NamedTuple):
    """A lock that is not to be had now; `mode` is what the transaction would hold then."""

    resource: Resource
    mode: Mode


class Waiter:
    """Somebody who waits. `wake` is called once, with the lock granted."""

    __slots__ = ("ahead", "behind", "gives_way", "mode", "number", "resource", "txn", "wake")

    def __init__(
        self, txn: TxnId, conflict: Conflict, wake: Callable[[], None], *, gives_way: bool = False
    ) -> None:
        self.txn = txn
        self.resource, self.mode = conflict
        self.wake = wake
        self.gives_way = gives_way  # an autocommit statement: it can begin anew at any time
        self.number = 0  # names this wait; another one, even of the same transaction, has another
        self.ahead: Waiter | None = None
        self.behind: Waiter | None = None


class _Queue:
    """Who waits for one resource, first come first."""

    __slots__ = ("first", "last")

    def __init__(self) -> None:
        self.first: Waiter | None = None
        self.last: Waiter | None = None

    def __iter__(self) -> Iterator[Waiter]:
        waiter = self.first
        while waiter is not None:
            following = waiter.behind  # the present one may be taken out
            yield waiter
            waiter = following

    def insert(self, waiter: Waiter, after: Waiter | None) -> None:
        """Put somebody behind `after`; None: before all."""
        before = self.first if after is None else after.behind
        waiter.ahead, waiter.behind = after, before
        if after is None:
            self.first = waiter
        else:
            after.behind = waiter
        if before is None:
            self.last = waiter
        else:
            before.ahead = waiter

    def remove(self, waiter: Waiter) -> None:
        """Take somebody out."""
        if waiter.ahead is None:
            self.first = waiter.behind
        else:
            waiter.ahead.behind = waiter.behind
        if waiter.behind is None:
            self.last = waiter.ahead
        else:
            waiter.behind.ahead = waiter.ahead
        waiter.ahead = waiter.behind = None


def _is_bulk(resource: Resource, mode: Mode) -> bool:
    """A row or a key, exclusively."""
    return (
        mode in (Mode.EXCLUSIVE, Mode.UPDATE) and isinstance(resource, tuple) and len(resource) > 1
    )


class LockTable:
    """Who holds what, who waits for whom."""

    def __init__(self) -> None:
        self._holders: dict[Resource, dict[TxnId, Mode]] = {}
        self._held: dict[TxnId, dict[Resource, None]] = {}
        self._bulk: dict[TxnId, BulkLocks] = {}  # exclusive, of large transactions
        self._queues: dict[Resource, _Queue] = {}
        self._waiting: dict[TxnId, Waiter] = {}
        # granted to somebody who has not tried again yet, and what he held before
        self._granted: dict[TxnId, dict[Resource, Mode | None]] = {}
        self._numbers = itertools.count(1)

    def __bool__(self) -> bool:
        """True while any lock is held (nobody waits where none is)."""
        return bool(self._holders) or bool(self._bulk)

    @property
    def held(self) -> int:
        """How many locks are held; those of large transactions are not counted."""
        return sum(map(len, self._held.values()))

    # -- asking and taking -------------------------------------------------------------------------
    def first_conflict(
        self, txn: TxnId, wanted: Iterable[tuple[Resource, Mode]]
    ) -> Conflict | None:
        """The first wanted lock that is not to be had now."""
        every = self._holders
        bulk = self._bulk
        if not every and not bulk:
            return None
        for resource, mode in wanted:
            large = self._bulk_holder(resource) if bulk else None
            if large is not None and large != txn:
                return Conflict(resource, mode)
            holders = every.get(resource)
            if holders is None:
                continue
            before = holders.get(txn)
            if before is not None:
                mode = _JOINED[before][mode]
                if mode is before:
                    continue
            conflicts = _CONFLICTS[mode]
            for other, held in holders.items():
                if conflicts >> held & 1 and other != txn:
                    return Conflict(resource, mode)
            if before is None and large is None and resource in self._queues:
                for waiter in self._queues[resource]:
                    if conflicts >> waiter.mode & 1:
                        return Conflict(resource, mode)
        return None

    def take(self, txn: TxnId, wanted: Iterable[Lock], large: Iterable[Lock] = ()) -> list[Waiter]:
        """Take locks that `first_conflict` allowed, joined with what is held already.

        Locks that were granted and are not wanted after all go back: returns who gets them, to be
        woken. `large`: more of them, very many perhaps, that follow from row changes: rows and keys
        among them are kept in few bytes, and `held_by` does not name them.
        """
        held = self._held.setdefault(txn, {})
        self._put(txn, held, wanted)
        self._put(txn, held, self._take_large(txn, large, held))
        return self.give_back(txn) if txn in self._granted else []

    def take_some(self, txn: TxnId, large: Iterable[Lock]) -> None:
        """The same with some of the locks of a statement; `take` follows with the last ones."""
        held = self._held.setdefault(txn, {})
        self._put(txn, held, self._take_large(txn, large, held))

    # -- the keys of very many new rows at once ----------------------------------------------------
    def block_conflict(self, txn: TxnId, block: KeyBlock) -> Conflict | None:
        """`first_conflict` of wanting all of them exclusively."""
        free = not block.is_among(self._holders.keys())
        others = [locks for other, locks in self._bulk.items() if other != txn]
        if free and not any(locks.meets(block) for locks in others):
            return None
        return self.first_conflict(txn, [(r, Mode.EXCLUSIVE) for r in block.resources])

    def block_touched(self, txn: TxnId, block: KeyBlock) -> bool:
        """`touched` of any of them, wanted exclusively."""
        bulk = self._bulk.get(txn)
        if bulk is not None and bulk.meets(block):
            return True
        if not block.is_among(self._held.get(txn, {}).keys()):
            return False
        return any(self.touched(txn, resource, Mode.EXCLUSIVE) for resource in block.resources)

    def take_block(self, txn: TxnId, block: KeyBlock) -> None:
        """Take all of them exclusively, as `take_some` does; `take` follows."""
        held = self._held.setdefault(txn, {})
        if not block.is_among(held.keys()):
            bulk = self._bulk.get(txn)
            if bulk is None:
                bulk = self._bulk[txn] = BulkLocks()
            bulk.add_all(block)
        else:
            self.take_some(txn, [(resource, Mode.EXCLUSIVE) for resource in block.resources])

    def _put(self, txn: TxnId, held: dict[Resource, None], wanted: Iterable[Lock]) -> None:
        granted = self._granted.get(txn)
        for resource, mode in wanted:
            holders = self._holders.setdefault(resource, {})
            before = holders.get(txn)
            if before is None:
                holders[txn] = mode
                held[resource] = None
            else:
                holders[txn] = _JOINED[before][mode]
                if granted is not None:
                    granted.pop(resource, None)

    def _bulk_holder(self, resource: Resource) -> TxnId | None:
        for txn, locks in self._bulk.items():
            if resource in locks:
                return txn
        return None

    def _take_large(
        self, txn: TxnId, large: Iterable[Lock], held: dict[Resource, None]
    ) -> Iterator[Lock]:
        """Take what fits into few bytes; gives the rest."""
        for resource, mode in large:
            if _is_bulk(resource, mode) and resource not in held:
                bulk = self._bulk.get(txn)
                if bulk is None:
                    bulk = self._bulk[txn] = BulkLocks()
                bulk.add(resource)
            else:
                yield resource, mode

    def give_back(self, txn: TxnId) -> list[Waiter]:
        """Its statement failed: what was granted for it goes; returns who gets it, to be woken."""
        granted = self._granted.pop(txn, None)
        woken: list[Waiter] = []
        for resource, before in (granted or {}).items():
            if before is None:
                del self._held[txn][resource]
                self._drop(txn, resource)
            else:
                self._holders[resource][txn] = before
            woken += self._grant(resource)
        if granted and not self._held[txn]:
            del self._held[txn]
        return woken

    def release(self, txn: TxnId) -> list[Waiter]:
        """Drop a transaction's locks; returns who has got them, to be woken."""
        self._granted.pop(txn, None)
        held = self._held.pop(txn, None)
        bulk = self._bulk.pop(txn, None)
        woken: list[Waiter] = []
        for resource in held or ():
            self._drop(txn, resource)
            if resource in self._queues:
                woken += self._grant(resource)
        if bulk is not None:
            for resource in [r for r in self._queues if r in bulk]:
                woken += self._grant(resource)
        return woken

    def _drop(self, txn: TxnId, resource: Resource) -> None:
        holders = self._holders[resource]
        del holders[txn]
        if not holders:
            del self._holders[resource]

    # -- waiting -----------------------------------------------------------------------------------
    def wait(self, waiter: Waiter) -> None:
        """Queue up for what `first_conflict` gave."""
        waiter.number = next(self._numbers)
        queue = self._queues.setdefault(waiter.resource, _Queue())
        holders = self._holders.get(waiter.resource, {})
        after = queue.last
        if waiter.txn in holders:
            after = None
            for other in queue:
                if other.txn not in holders:
                    break
                after = other
        queue.insert(waiter, after)
        self._waiting[waiter.txn] = waiter

    def stop_waiting(self, waiter: Waiter) -> list[Waiter]:
        """Leave the queue (timeout, cancel); returns who need not wait any more, to be woken."""
        if self._waiting.get(waiter.txn) is not waiter:
            return []
        self._leave(waiter)
        return self._grant(waiter.resource)

    def give_way(self, waiter: Waiter) -> list[Waiter]:
        """Let everybody pass: drop what was granted, queue up anew as the last.

        For an autocommit statement in a cycle. Returns who is to be woken, perhaps itself.
        """
        self._leave(waiter)
        woken = self.release(waiter.txn)
        conflict = self.first_conflict(waiter.txn, [(waiter.resource, waiter.mode)])
        if conflict is None:
            self._hold(waiter)
            return [*woken, waiter]
        self.wait(waiter)
        return woken + self._grant(waiter.resource)

    def _leave(self, waiter: Waiter) -> None:
        del self._waiting[waiter.txn]
        queue = self._queues[waiter.resource]
        queue.remove(waiter)
        if queue.first is None:
            del self._queues[waiter.resource]

    def _grant(self, resource: Resource) -> list[Waiter]:
        """Give a resource to who can have it now, in the order of the queue."""
        queue = self._queues.get(resource)
        if queue is None:
            return []
        woken: list[Waiter] = []
        passed = 0  # modes of those who have to go on waiting
        for waiter in queue:
            conflicts = _CONFLICTS[waiter.mode]
            if not conflicts & passed and not self._in_the_way(waiter):
                self._leave(waiter)
                self._hold(waiter)
                woken.append(waiter)
            elif waiter.mode is Mode.EXCLUSIVE:
                break  # nobody gets past it
            else:
                passed |= 1 << waiter.mode
        return woken

    def _in_the_way(self, waiter: Waiter) -> bool:
        if self._bulk and self._bulk_holder(waiter.resource) not in (None, waiter.txn):
            return True
        conflicts = _CONFLICTS[waiter.mode]
        return any(
            conflicts >> held & 1 and other != waiter.txn
            for other, held in self._holders.get(waiter.resource, {}).items()
        )

    def _hold(self, waiter: Waiter) -> None:
        holders = self._holders.setdefault(waiter.resource, {})
        before = holders.get(waiter.txn)
        self._granted.setdefault(waiter.txn, {}).setdefault(waiter.resource, before)
        holders[waiter.txn] = waiter.mode if before is None else _JOINED[before][waiter.mode]
        self._held.setdefault(waiter.txn, {})[waiter.resource] = None

    # -- who waits for whom ------------------------------------------------------------------------
    def blockers(self, waiter: Waiter) -> set[TxnId]:
        """Whom a waiter waits for. Who is reached through one of them may be left out."""
        conflicts = _CONFLICTS[waiter.mode]
        found: set[TxnId] = set()
        other = waiter.ahead
        while other is not None:
            if conflicts >> other.mode & 1:
                found.add(other.txn)
                if other.mode is Mode.EXCLUSIVE:
                    return found  # it waits for all that are before it
            other = other.ahead
        for holder, held in self._holders.get(waiter.resource, {}).items():
            if conflicts >> held & 1 and holder != waiter.txn:
                found.add(holder)
        if self._bulk:
            large = self._bulk_holder(waiter.resource)
            if large is not None and large != waiter.txn:
                found.add(large)
        return found

    def cycle(self, start: TxnId) -> list[TxnId]:
        """The transactions of a cycle of waits here through `start`, [] if there is none.

        Depth-first search over "waits for" edges.
        """
        waiter = self._waiting.get(start)
        if waiter is None or (
            start not in self._held and start not in self._bulk and waiter.behind is None
        ):
            return []  # nobody waits for it
        path = [start]
        seen = {start}
        left = [iter(self.blockers(waiter))]  # where the search stands at each step of the path
        while path:
            for other in left[-1]:
                if other == start:
                    return path
                if other not in seen:
                    seen.add(other)
                    following = self._waiting.get(other)
                    if following is not None:
                        path.append(other)
                        left.append(iter(self.blockers(following)))
                        break
            else:
                path.pop()
                left.pop()
        return []

    def waiter_of(self, txn: TxnId) -> Waiter | None:
        """The wait of a transaction, None if it does not wait here."""
        return self._waiting.get(txn)

    def waiters(self) -> Iterable[Waiter]:
        """All who wait."""
        return self._waiting.values()

    def touched(self, txn: TxnId, resource: Resource, mode: Mode) -> bool:
        """A statement of the transaction that has ended locked it, and not only shared as now."""
        granted = self._granted.get(txn)
        held = self._holders.get(resource, {}).get(txn)
        if granted is not None and resource in granted:
            held = granted[resource]  # before it was granted for the statement that runs now
        if held is not None and not (mode in _SHARING and held in _SHARING):
            return True
        bulk = self._bulk.get(txn)
        return bulk is not None and resource in bulk

    def mode_of(self, txn: TxnId, resource: Resource) -> Mode | None:
        """How a transaction has locked something; very many locks of rows are not told."""
        return self._holders.get(resource, {}).get(txn)

    # -- taking over -------------------------------------------------------------------------------
    def held_by(self, txn: TxnId) -> list[tuple[Resource, Mode]]:
        """Every lock of a transaction; goes into its PREPARE so that a new lead can rebuild it."""
        return [(r, self._holders[r][txn]) for r in self._held.get(txn, ())]

    def clear(self) -> None:
        """Forget everything (the lead lost its term); who waits has to be told by the caller."""
        self._holders.clear()
        self._held.clear()
        self._bulk.clear()
        self._queues.clear()
        self._waiting.clear()
        self._granted.clear()
