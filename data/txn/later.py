"""Large COMMITs take effect bit by bit: others write, and commit, in between.

The COMMIT goes to the log, here and on all copies, without its effect. Then this lead, and each
copy by itself (data/replication/later.py), puts some thousand changes at a time into effect,
each time in a SQLite transaction of its own. The transaction keeps its locks until all is done
here; readers see the tables as they were before (data/storage/before.py). An APPLIED entry ends it:
what stands behind it in the log may touch the same rows, and its commit shows readers everything.

Statements of others run on tables that have a part of it. One that finds single rows by key, or
adds rows, goes ahead: the locks keep it off the rows that change. It waits for the end if it found
nothing or its key exists, for what it met may be half of the large transaction; so does every other
statement that looks at such a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import msgspec
import structlog

from data.catalog.element_ddl import quoted
from data.storage.entry import EntryKind, LogEntry, TxnPayload, encode_later
from data.txn.batches import Failing, Finish, Slices, Work
from data.txn.facts import TableFacts
from data.txn.locks import Conflict, LockTable, Mode, Resource
from data.txn.move_steps import MustWaitError, StepsResult
from data.txn.ownership import VERSION_LOCK
from data.txn.parts import ROOM_FACTOR, PartWriter
from data.txn.ports import Reply
from data.txn.steps import StepRunner
from data.txn.waiting import LockWaits
from data.txn.workspace import Workspace
from protocol import trace
from protocol.errors import DiskFullError, GridError, OutcomeUnknownError, UniqueViolationError
from protocol.ids import TxnId
from protocol.messages import sql

log = structlog.get_logger()

LATER_PARTS = 10  # with more, a COMMIT takes effect later: 10,000 changes, some 50 ms
UNITS_AT_ONCE = 4  # in one SQLite transaction
ROOM_AGAIN_S = 1.0  # after which a full disk is tried again

_LATER = "_later"  # (_LATER, lsn): the lock that those wait for who need to see all of it
# they ask for locks before they look, or look at nothing
_LOCKED_FIRST = (sql.PutIndexKeys, sql.TakeKeys, sql.LockTable, sql.AddRows)
_encode = msgspec.msgpack.Encoder().encode


@dataclass(eq=False)
class LaterRun:
    """One COMMIT between its entry and the APPLIED entry."""

    workspace: Workspace
    finish: Finish
    lsn: int
    waiting: list[tuple[Work, Reply]] = field(default_factory=list)  # until it is over

    @property
    def lock(self) -> Resource:
        """Held alone until it is over."""
        return (_LATER, self.lsn)


class LaterCommits(PartWriter):
    """The part of LeadWriter that does it. One COMMIT at a time."""

    locks: LockTable
    waits: LockWaits
    _later: LaterRun | None = None

    def _goes_later(self, workspace: Workspace, ddl: bytes) -> bool:
        """This COMMIT takes effect bit by bit, unless the disk might be too full for it."""
        if len(workspace.parts) <= LATER_PARTS or ddl or workspace.ddl or workspace.adds:
            return False
        if self.locks.mode_of(workspace.txn, VERSION_LOCK) is Mode.EXCLUSIVE:
            return False  # buckets move
        entry = LogEntry(self.term, self._next_lsn, int(EntryKind.COMMIT), workspace.txn)
        return self._element.has_room(2 * ROOM_FACTOR * self._element.effect_bytes(entry))

    def _after_later(self, txn: TxnId, work: Work, reply: Reply) -> bool:
        """True: the COMMIT of this transaction takes effect just now; the work is done then."""
        run = self._later
        if run is None or run.workspace.txn != txn:
            return False
        run.waiting.append((work, reply))
        return True

    # -- begin -------------------------------------------------------------------------------------
    def _begin_later(
        self, workspace: Workspace, payload: TxnPayload, finish: Finish, again: Work, reply: Reply
    ) -> None:
        """Log a COMMIT; `finish` when it is in effect. `again`: what to do if another one is on."""
        if trace.steps.listener is not None:
            trace.step("data/txn/later.py")
        if self._later is not None:
            self._later.waiting.append((again, reply))
            return
        self._open_batch()
        kind = EntryKind.COMMIT
        entry = self._append_whole(kind, workspace.txn, _encode(payload), apply=True)
        run = self._later = LaterRun(workspace, finish, entry.lsn)
        workspace.later = True
        self.waits.wake(self.locks.take(workspace.txn, [(run.lock, Mode.EXCLUSIVE)]))
        self._add(entry, partial(self._later_logged, run))

    def _later_logged(self, run: LaterRun, error: GridError | None) -> None:
        if error is None and self.leading:
            self._go_on(run)
        else:
            self._later_over(run, error)

    # -- units -------------------------------------------------------------------------------------
    def _go_on(self, run: LaterRun) -> None:
        self._submit(lambda: self._next_units(run), Failing(partial(self._stuck, run)))

    def _next_units(self, run: LaterRun) -> None:
        if self._later is not run:
            return
        if self._batch:
            stuck = Failing(partial(self._stuck, run))
            self._after_batch(lambda: self._next_units(run), stuck)
            return
        later = self._element.later
        assert later is not None
        assert later.lsn == run.lsn
        if later.at < later.total:
            self._in_slices(self._some_units(run), Failing(partial(self._stuck, run)))
            return
        self._open_batch()
        payload = encode_later(later)
        entry = self._append_whole(EntryKind.APPLIED, None, payload, apply=True)
        self._add(entry, partial(self._applied, run))

    def _some_units(self, run: LaterRun) -> Slices:
        element = self._element
        if self._resident is not None:
            self._park()
        if not element.in_batch:
            element.begin()
        element.keep_before = True
        try:
            for count, _ in enumerate(element.later_slices(), 1):
                if count == UNITS_AT_ONCE:
                    break
                yield None
            element.commit()
        except GeneratorExit:  # the term is over
            raise
        except BaseException:
            element.rollback()
            raise
        yield None  # others come, and go first
        self._go_on(run)

    def _stuck(self, run: LaterRun, error: GridError | None) -> None:
        """It is decided, so it must take effect: here when there is room, or in another term."""
        if self._later is not run or not self.leading:
            return
        assert error is not None
        log.error("lead.later_stuck", db=self._db, rs=self.rs, error=error.message)
        if isinstance(error, DiskFullError):
            self._loop.call_later(ROOM_AGAIN_S, self._go_on, run)
        else:
            self._flush_failed(error)

    # -- end ---------------------------------------------------------------------------------------
    def _applied(self, run: LaterRun, error: GridError | None) -> None:
        if error is not None and self.leading:  # the batch was lost, not the term
            self._go_on(run)
            return
        self._later_over(run, error and _unknown())

    def _later_over(self, run: LaterRun, error: GridError | None) -> None:
        if self._later is not run:
            return
        self._later = None
        self._element.keep_before = False
        run.workspace.later = False
        run.finish(error)
        for work, reply in run.waiting:
            self._submit_between(work, reply)

    def _end_term(self, error: GridError | None = None) -> None:
        run = self._later
        super()._end_term(error)
        if run is not None:
            self._later_over(run, _unknown())

    # -- a new lead --------------------------------------------------------------------------------
    def _catch_up_later(self, generation: int) -> Iterator[None]:
        """What the lead before has left half done, before this one serves."""
        element = self._element
        if element.later is None:
            return
        if element.in_batch:
            element.rollback()
        element.begin()
        element.forget_before()
        for count, _ in enumerate(element.later_slices(), 1):
            if count % UNITS_AT_ONCE == 0:
                element.commit()
                yield
                if generation != self._generation:
                    return
                element.begin()
        element.commit()

    def _log_applied(self) -> None:
        """First of all that this lead writes."""
        later = self._element.later
        if later is None:
            return
        self._open_batch()
        payload = encode_later(later)
        entry = self._append_whole(EntryKind.APPLIED, None, payload, apply=True)
        self._add(entry, lambda error: None)

    # -- statements of others ----------------------------------------------------------------------
    def _meets_later(self, runner: StepRunner, steps: Iterable[sql.Step]) -> Conflict | None:
        """What a statement has to wait for that cannot do with a part of a large COMMIT."""
        run, changing = self._later, self._element.changing
        if run is None or not changing:
            return None
        names = set(changing)
        for step in steps:
            if _sees(runner, step, names) and not self._is_single(runner, step):
                return Conflict(run.lock, Mode.SHARED)
        return None

    def _reads_later(self, text: str, work: Work, reply: Reply) -> bool:
        """True: a read that sees the open batch would see a part of it; it is done at the end."""
        run = self._later
        if run is None or not any(quoted(name) in text for name in self._element.changing):
            return False
        run.waiting.append((work, reply))
        return True

    def _is_single(self, runner: StepRunner, step: sql.Step) -> bool:
        """It adds rows or finds one by its key, and nothing follows from it."""
        if not runner.is_plain((step,)):
            return False
        if isinstance(step, sql.RunSql):
            return self._element.finds_one_row(step.sql, step.params)
        if isinstance(step, sql.InsertBlock):
            return True
        return isinstance(step, sql.InsertRows) and not step.ignore

    def _run_steps(self, runner: StepRunner, steps: tuple[sql.Step, ...]) -> StepsResult:
        """Run a statement. Raises MustWaitError if what it met may be a part of a large COMMIT."""
        run = self._later
        if run is None or not self._element.changing:
            return runner.run(steps)
        conflict = self._meets_later(runner, steps)
        if conflict is not None:
            raise MustWaitError(conflict)
        names = set(self._element.changing)
        seen = any(_sees(runner, step, names) for step in steps)
        wait = MustWaitError(Conflict(run.lock, Mode.SHARED))
        try:
            result = runner.run(steps)
        except UniqueViolationError:
            if seen:
                raise wait from None
            raise
        if seen and not result.changes and result.block is None:
            raise wait
        return result


def _unknown() -> GridError:
    return OutcomeUnknownError("the lead lost its term while the commit took effect")


def _sees(runner: StepRunner, step: sql.Step, names: set[str]) -> bool:
    """Does a step look at one of these tables before it has a lock on what it looks at?"""
    if isinstance(step, _LOCKED_FIRST):
        return False
    text = getattr(step, "sql", "")
    if any(quoted(name) in text for name in names):
        return True
    table_id = getattr(step, "table_id", 0)
    if isinstance(step, sql.SelectRows | sql.TakeSequence):
        return False
    if table_id <= 0:
        return True  # rows of any table
    facts = runner.facts_of(table_id)
    if facts.name in names:
        return True
    return bool(facts.parents or facts.children) and _is_related(runner, facts, names)


def _is_related(runner: StepRunner, facts: TableFacts, names: set[str]) -> bool:
    """Foreign keys lead from a table to one of these."""
    seen: set[int] = set()
    left = [facts]
    while left:
        one = left.pop()
        if one.name in names:
            return True
        if one.table.id not in seen:
            seen.add(one.table.id)
            left += [runner.facts_of(link.parent.id) for link in one.parents]
            left += [runner.facts_of(link.child.id) for link in one.children]
    return False
