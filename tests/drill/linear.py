"""Is the history of a register linearizable? The search of Wing and Gong with Lowe's memo.

J. M. Wing, C. Gong: Testing and Verifying Concurrent Objects (JPDC 17, 1993).
G. Lowe: Testing for Linearizability (Concurrency and Computation 29, 2017): a configuration, which
is the set of operations that have taken effect and the state they left, is never searched twice.

Each key is judged alone: linearizability is local (Herlihy and Wing, TOPLAS 12, 1990).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.drill.history import Operation, Outcome

CONFIGURATIONS_MAX = 1_000_000  # beyond that a history is left undecided


class Undecided(Exception):
    """The search is too large."""


@dataclass(frozen=True)
class Stuck:
    """The longest explanation found, and what cannot come next."""

    explained: int
    state: Any
    pending: tuple[Operation, ...]

    def __str__(self) -> str:
        lines = [f"after {self.explained} operations the value is {self.state!r}; none may follow:"]
        return "\n    ".join([*lines, *map(str, self.pending)])


def step(state: Any, operation: Operation) -> tuple[bool, Any]:
    """May a register in this state have answered so; the state afterwards.

    `read`: the result is the value. `write`: the value is set. `cas`: value is (expected, new),
    the result True or False. An unknown result excludes nothing.
    """
    match operation.action:
        case "read":
            return operation.result == state, state
        case "write":
            return True, operation.value
        case "cas":
            expected, new = operation.value
            matches = state == expected
            is_legal = operation.outcome is Outcome.UNKNOWN or matches == operation.result
            return is_legal, new if matches else state
    raise ValueError(f"no such action of a register: {operation.action}")


def check_register(history: Sequence[Operation], initial: Any) -> Stuck | None:
    """None if the operations on one key are linearizable.

    Refused operations and reads without an answer have no effect and are left out. An operation of
    unknown outcome may take effect at any time after its start, or never. Raises Undecided.
    """
    by_start = sorted(history, key=lambda operation: operation.start_s)
    known = [o for o in by_start if o.outcome is Outcome.OK]
    maybe = [o for o in by_start if o.outcome is Outcome.UNKNOWN and o.action != "read"]
    return _Search(known, _observable(known, maybe)).run(initial)


def _observable(known: list[Operation], maybe: list[Operation]) -> list[Operation]:
    """Without the unknown writes that nobody can have noticed: they only make the search long.

    A refused `cas` notices every write, in a way, so that all of them stay if there is one.
    """
    if any(o.action == "cas" and not o.result for o in known):
        return maybe
    seen = [o.result for o in known if o.action == "read"]
    seen += [o.value[0] for o in [*known, *maybe] if o.action == "cas"]
    return [o for o in maybe if (o.value[1] if o.action == "cas" else o.value) in seen]


class _Search:
    """Depth first over what may take effect next. Sets of operations are bits of an integer."""

    def __init__(self, known: list[Operation], maybe: list[Operation]) -> None:
        self._known = known
        self._maybe = maybe
        self._all = (1 << len(known)) - 1
        self._shift = len(known)  # the bits of `maybe` come after those of `known`

    def run(self, initial: Any) -> Stuck | None:
        seen: set[tuple[int, Any]] = {(0, initial)}
        stack = [(0, initial, self._next(0))]
        deepest = (-1, 0, initial)
        while stack:
            done, state, candidates = stack[-1]
            if done & self._all == self._all:
                return None
            found = next(candidates, None)
            if found is None:
                depth = (done & self._all).bit_count()
                deepest = max(deepest, (depth, done, state), key=lambda item: item[0])
                stack.pop()
                continue
            bit, operation = found
            is_legal, after = step(state, operation)
            configuration = (done | 1 << bit, after)
            if is_legal and configuration not in seen:
                if len(seen) >= CONFIGURATIONS_MAX:
                    raise Undecided(f"{len(self._known)} operations, {len(self._maybe)} unknown")
                seen.add(configuration)
                stack.append((*configuration, self._next(configuration[0])))
        explained, done, state = deepest
        return Stuck(explained, state, tuple(operation for _, operation in self._next(done)))

    def _next(self, done: int) -> Iterator[tuple[int, Operation]]:
        """What may take effect now: it began before anything that is not done had ended."""
        todo = ~done & self._all
        bit = (todo & -todo).bit_length() - 1
        first_end_s = self._known[bit].end_s if todo else 0.0
        open_now = []
        while todo:
            bit = (todo & -todo).bit_length() - 1
            operation = self._known[bit]
            if operation.start_s > first_end_s:
                break  # the others began even later
            first_end_s = min(first_end_s, operation.end_s)
            open_now.append((bit, operation))
            todo &= todo - 1
        # Before the earliest end everything that has begun by then may happen.
        yield from (found for found in open_now if found[1].start_s <= first_end_s)
        for number, operation in enumerate(self._maybe):
            bit = self._shift + number
            if operation.start_s <= first_end_s and not done >> bit & 1:
                yield bit, operation
