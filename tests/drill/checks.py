"""The checkers: pure functions from a history, and what is there at the end, to verdicts."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.drill.history import Operation, Outcome, Verdict
from tests.drill.linear import Undecided, check_register

SHOWN = 5  # violations of one kind in a report
Accounts = Mapping[int, int]
UNIQUE_VIOLATION = "23505"
UNDEFINED_TABLE = "42P01"


# -- bank -----------------------------------------------------------------------------------------
def check_sums(
    name: str, reads: Iterable[Operation], total: int, *, is_promised: bool = True
) -> Verdict:
    """Every sum that one statement read is the one that was there at the beginning."""
    answered = [o for o in reads if o.outcome is Outcome.OK]
    wrong = [f"not {total}: {o}" for o in answered if o.result != total]
    return Verdict(name, len(answered), _some(wrong), is_promised)


def check_balances(
    name: str,
    transfers: Iterable[Operation],
    opening: Accounts,
    balances: Accounts,
    receipts: Mapping[int, tuple[int, int, int]],
) -> Verdict:
    """At the end, on one copy: the total is the same, and every account holds its opening balance
    and what the receipts (number -> giver, taker, amount) say: a transfer is there as a whole.

    `transfers` have the receipt's number as their key.
    """
    wrong = []
    if sum(balances.values()) != sum(opening.values()):
        wrong.append(f"the total is {sum(balances.values())}, was {sum(opening.values())}")
    wanted = Counter(opening)
    for giver, taker, amount in receipts.values():
        wanted[giver] -= amount
        wanted[taker] += amount
    for account in sorted(wanted.keys() | balances.keys()):
        if wanted[account] != balances.get(account):
            wrong.append(
                f"account {account} has {balances.get(account)}, its receipts say {wanted[account]}"
            )
    asked = list(transfers)
    wrong += _presence(asked, receipts.keys())
    return Verdict(name, len(asked), _some(wrong))


def _presence(asked: Sequence[Operation], there: Iterable[Any]) -> list[str]:
    """By their keys: acknowledged ones are there, refused ones are not, nor what nobody asked."""
    present = set(there)
    wrong = [f"lost: {o}" for o in asked if o.outcome is Outcome.OK and o.key not in present]
    wrong += [
        f"refused, but there: {o}"
        for o in asked
        if o.outcome is Outcome.FAILED and o.key in present
    ]
    unknown = present - {o.key for o in asked}
    return wrong + [f"nobody asked for {key}" for key in sorted(unknown)]


# -- registers ------------------------------------------------------------------------------------
def check_registers(
    name: str, history: Iterable[Operation], initial: Any, final: Mapping[Any, Any]
) -> Verdict:
    """Each key by itself is linearizable, the value at the end included."""
    by_key: dict[Any, list[Operation]] = defaultdict(list)
    for operation in history:
        by_key[operation.key].append(operation)
    wrong, undecided = [], 0
    for key, operations in by_key.items():
        end_s = max(o.end_s for o in operations) + 1.0
        last = Operation(-1, "read", key, None, final.get(key), end_s, end_s, Outcome.OK)
        try:
            stuck = check_register([*operations, last], initial)
        except Undecided:
            undecided += 1
            continue
        if stuck is not None:
            wrong.append(f"register {key} is not linearizable: {stuck}")
    return Verdict(name, len(by_key), _some(wrong), undecided=undecided)


# -- lists ----------------------------------------------------------------------------------------
def check_lists(name: str, history: Sequence[Operation], final: Mapping[Any, str]) -> Verdict:
    """Elements appended to lists (texts of words): none lost, torn, twice or out of order.

    `append` has the keys of all the lists it appends to, in one transaction, as its key, and the
    element as its value; `read` one key, and the text as its result.
    """
    appends = [o for o in history if o.action == "append"]
    reads = [o for o in history if o.action == "read" and o.outcome is Outcome.OK]
    wrong = []
    places: dict[Any, dict[str, int]] = {}
    for key, text in final.items():
        words = text.split()
        places[key] = {word: at for at, word in enumerate(words)}
        ours = {o.value: o for o in appends if key in o.key}
        twice = [word for word, count in Counter(words).items() if count > 1]
        wrong += [f"list {key}: {word} is there more than once" for word in twice]
        wrong += [f"list {key}: nobody appended {word!r}" for word in words if word not in ours]
        wrong += _out_of_order(key, [ours[word] for word in words if word in ours])
    for append in appends:
        there = [append.value in places.get(key, ()) for key in append.key]
        if append.outcome is Outcome.OK and not all(there):
            wrong.append(f"lost: {append}")
        elif append.outcome is Outcome.FAILED and any(there):
            wrong.append(f"refused, but there: {append}")
        elif any(there) and not all(there):
            wrong.append(f"half of it is there: {append}")
    read_by_key: dict[Any, list[Operation]] = defaultdict(list)
    for one in reads:
        read_by_key[one.key].append(one)
    for key, some in read_by_key.items():
        mine = [o for o in appends if key in o.key and o.outcome is Outcome.OK]
        wrong += _wrong_reads(key, some, mine, places.get(key, {}), final.get(key, ""))
    return Verdict(name, len(appends) + len(reads), _some(wrong))


def _out_of_order(key: Any, appends: list[Operation]) -> list[str]:
    """Neighbours in a list whose times say the opposite."""
    wrong = []
    latest: Operation | None = None
    for append in appends:
        if latest is not None and append.effect_until_s < latest.start_s:
            wrong.append(f"list {key}: {append} comes after {latest}")
        if latest is None or append.start_s > latest.start_s:
            latest = append
    return wrong


def _wrong_reads(
    key: Any, reads: list[Operation], acknowledged: list[Operation], at: dict[str, int], final: str
) -> list[str]:
    """Reads are prefixes of the final list, hold what was acknowledged, and do not go back."""
    wrong = []
    counts = []
    must = _Latest((o.end_s, at.get(o.value, 0) + 1) for o in acknowledged)
    for read in reads:
        words = str(read.result).split()
        counts.append(len(words))
        if final.split()[: len(words)] != words:
            wrong.append(f"list {key}: torn or reordered, no prefix of the final list: {read}")
        elif len(words) < must.before(read.start_s):
            wrong.append(
                f"list {key}: stale: {must.before(read.start_s)} elements were acknowledged: {read}"
            )
    shown = _Latest((o.end_s, count) for o, count in zip(reads, counts, strict=True))
    wrong += [
        f"list {key}: {shown.before(read.start_s)} elements were read before, then: {read}"
        for read, count in zip(reads, counts, strict=True)
        if count < shown.before(read.start_s)
    ]
    return wrong


class _Latest:
    """The largest number known before a moment."""

    def __init__(self, known: Iterable[tuple[float, int]]) -> None:
        ordered = sorted(known)
        self._times = [time_s for time_s, _ in ordered]
        self._largest = list(itertools.accumulate((number for _, number in ordered), max))

    def before(self, time_s: float) -> int:
        """0 if nothing was known."""
        at = bisect.bisect_left(self._times, time_s)
        return self._largest[at - 1] if at else 0


# -- unique keys ----------------------------------------------------------------------------------
def check_unique(
    name: str, claims: Sequence[Operation], rows: Sequence[tuple[Any, Any]]
) -> Verdict:
    """At most one claim of a key wins, and an acknowledged winner is there.

    `claim` has the unique key as its key and who claims it, different in every claim, as its value;
    `rows` are the (key, owner) pairs at the end.
    """
    wrong = []
    owners: dict[Any, Any] = dict(rows)
    wrong += [f"{k!r} is there {n} times" for k, n in Counter(k for k, _ in rows).items() if n > 1]
    asked = {(o.key, o.value) for o in claims}
    wrong += [f"nobody claimed {row}" for row in rows if row not in asked]
    by_key: dict[Any, list[Operation]] = defaultdict(list)
    for claim in claims:
        by_key[claim.key].append(claim)
    for key, some in by_key.items():
        won = [o for o in some if o.outcome is Outcome.OK]
        if len(won) > 1:
            wrong.append("two winners: " + "; ".join(map(str, won)))
        wrong += [
            f"lost: {o}; there: {owners.get(key)!r}" for o in won if owners.get(key) != o.value
        ]
        refused = [o for o in some if o.outcome is Outcome.FAILED]
        wrong += [f"refused, but there: {o}" for o in refused if owners.get(key) == o.value]
        if key not in owners:
            told = [o for o in refused if o.error == UNIQUE_VIOLATION]
            wrong += [f"refused for a winner that is not there: {o}" for o in told[:1]]
    return Verdict(name, len(claims), _some(wrong))


# -- counters -------------------------------------------------------------------------------------
def check_counters(name: str, history: Sequence[Operation], final: Mapping[Any, int]) -> Verdict:
    """Acknowledged increments <= value <= acknowledged and unknown ones; reads likewise.

    `add` adds 1; `read` has the value as its result. Counters begin with 0.
    """
    by_key: dict[Any, list[Operation]] = defaultdict(list)
    for operation in history:
        by_key[operation.key].append(operation)
    wrong = []
    for key, operations in by_key.items():
        adds = [o for o in operations if o.action == "add"]
        certain = sum(o.outcome is Outcome.OK for o in adds)
        possible = sum(o.outcome is not Outcome.FAILED for o in adds)
        value = final.get(key)
        if value is None or not certain <= value <= possible:
            wrong.append(f"counter {key} is {value}, not {certain} to {possible}")
        ends = sorted(o.end_s for o in adds if o.outcome is Outcome.OK)
        starts = sorted(o.start_s for o in adds if o.outcome is not Outcome.FAILED)
        for read in operations:
            if read.action != "read" or read.outcome is not Outcome.OK:
                continue
            low = bisect.bisect_left(ends, read.start_s)
            high = bisect.bisect_right(starts, read.end_s)
            if not low <= read.result <= high:
                wrong.append(f"not {low} to {high}: {read}")
    return Verdict(name, sum(map(len, by_key.values())), _some(wrong))


# -- large transactions ----------------------------------------------------------------------------
def check_batches(name: str, history: Sequence[Operation], final: Mapping[Any, int]) -> Verdict:
    """Rows inserted by one transaction are all there or none, and so are rows deleted by one.

    `insert` and `clear` have the batch as their key, `insert` the number of rows as its value;
    final: batch -> number of rows, without those that have none.
    """
    wrong = []
    cleared: dict[Any, list[Operation]] = defaultdict(list)
    for clear in (o for o in history if o.action == "clear"):
        cleared[clear.key].append(clear)
    inserts = [o for o in history if o.action == "insert"]
    for insert in inserts:
        outcomes = [o.outcome for o in cleared[insert.key]]
        allowed = {insert.value, 0} if insert.outcome is Outcome.UNKNOWN else {insert.value}
        if insert.outcome is Outcome.FAILED or Outcome.OK in outcomes:
            allowed = {0}
        elif Outcome.UNKNOWN in outcomes:
            allowed |= {0}
        if final.get(insert.key, 0) not in allowed:
            wrong.append(f"{final.get(insert.key, 0)} rows, not {sorted(allowed)}: {insert}")
    unknown = final.keys() - {o.key for o in inserts}
    wrong += [f"nobody inserted batch {key}" for key in sorted(unknown)]
    return Verdict(name, len(history), _some(wrong))


def check_whole_batches(
    name: str, history: Sequence[Operation], *, is_promised: bool = True
) -> Verdict:
    """A `count` of the rows of each batch (its result: pairs) sees whole batches only."""
    sizes = {o.key: o.value for o in history if o.action == "insert"}
    reads = [o for o in history if o.action == "count" and o.outcome is Outcome.OK]
    wrong = [
        f"{count} of {sizes.get(batch)} rows of batch {batch}: {read}"[:300]
        for read in reads
        for batch, count in read.result
        if count != sizes.get(batch)
    ]
    return Verdict(name, len(reads), _some(wrong), is_promised)


# -- sequences ------------------------------------------------------------------------------------
def check_sequence(name: str, history: Iterable[Operation]) -> Verdict:
    """No number is given twice (`next` has it as its result)."""
    given: dict[Any, list[Operation]] = defaultdict(list)
    for operation in history:
        if operation.action == "next" and operation.outcome is Outcome.OK:
            given[operation.result].append(operation)
    wrong = ["given twice: " + "; ".join(map(str, o)) for o in given.values() if len(o) > 1]
    return Verdict(name, sum(map(len, given.values())), _some(wrong))


# -- tables ---------------------------------------------------------------------------------------
def check_tables(name: str, history: Sequence[Operation]) -> Verdict:
    """A table is there for everybody from its creation's acknowledgement to its dropping's start.

    `create`, `use` and `drop` have the table as their key; `use` succeeds, or fails with 42P01.
    Each name is created once.
    """
    by_key: dict[Any, list[Operation]] = defaultdict(list)
    for operation in history:
        by_key[operation.key].append(operation)
    wrong = []
    for operations in by_key.values():
        creates = [o for o in operations if o.action == "create"]
        drops = [o for o in operations if o.action == "drop" and o.outcome is not Outcome.FAILED]
        there_from_s = min((o.end_s for o in creates if o.outcome is Outcome.OK), default=None)
        maybe = [o.start_s for o in creates if o.outcome is not Outcome.FAILED]
        maybe_from_s = min(maybe, default=None)
        maybe_gone_s = min((o.start_s for o in drops), default=float("inf"))
        gone_s = min((o.end_s for o in drops if o.outcome is Outcome.OK), default=None)
        for use in (o for o in operations if o.action == "use"):
            is_there = use.outcome is Outcome.OK
            is_missing = use.error == UNDEFINED_TABLE
            was_made = there_from_s is not None and there_from_s < use.start_s
            if is_missing and was_made and use.end_s < maybe_gone_s:
                wrong.append(f"created, but not there: {use}")
            if is_there and (maybe_from_s is None or use.end_s < maybe_from_s):
                wrong.append(f"never created, but there: {use}")
            if is_there and gone_s is not None and use.start_s > gone_s:
                wrong.append(f"dropped, but there: {use}")
    return Verdict(name, len(history), _some(wrong))


# -- write skew -----------------------------------------------------------------------------------
def check_shifts(name: str, reads: Iterable[Operation], final: Mapping[Any, int]) -> Verdict:
    """Somebody of each pair is always on duty: `read` has how many are as its result."""
    answered = [o for o in reads if o.outcome is Outcome.OK]
    wrong = [f"nobody on duty: {o}" for o in answered if not o.result]
    wrong += [f"nobody of pair {pair} on duty at the end" for pair, n in final.items() if not n]
    return Verdict(name, len(answered), _some(wrong))


# -- errors ---------------------------------------------------------------------------------------
def check_errors(
    name: str, errors: Mapping[tuple[str, str], int], is_allowed: Callable[[str, str], bool]
) -> Verdict:
    """Clients hear errors only that they know what to do with: (where, SQLSTATE) -> how often."""
    wrong = [
        f"{count} times {state} in {where}"
        for (where, state), count in sorted(errors.items())
        if not is_allowed(where, state)
    ]
    return Verdict(name, sum(errors.values()), _some(wrong))


def _some(wrong: list[str]) -> tuple[str, ...]:
    if len(wrong) <= SHOWN:
        return tuple(wrong)
    return (*wrong[:SHOWN], f"... and {len(wrong) - SHOWN} more")
