"""Makes epochs: one data instance at a time, the one that leads the lowest replica set.

An epoch is done when its EPOCH entry is flushed on every in-sync copy of every replica set. Who
leads the lowest set gives the number, has it logged at all leads, and tells everybody when it is
done. When it dies, whoever leads next goes on with a larger number: an epoch that was begun and
not finished does no harm. Nothing is written while nothing changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from data.exec.router import Router
from data.replication.member import ReplicaSetMember
from data.storage.element import Element
from data.txn.epochs import EpochClock
from data.txn.lead import LeadWriter
from data.txn.ports import Reply
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import GridError, NotServingError, PeerUnreachableError, ReplicaSetDownError
from protocol.messages.epochs import (
    AskEpoch,
    CreateEpoch,
    EpochDone,
    EpochIs,
    EpochLogged,
    FlushLog,
    LogEpoch,
    LogFlushed,
)

log = structlog.get_logger(__name__)

ANSWER_S = 5.0  # a copy flushes and a lead logs within this, or the epoch is not done
CREATE_S = 15.0  # so long somebody waits for an epoch of their own
AGAIN_S = 0.05  # who could not have one tries again so much later, or when leads have changed
LAST_S = 0.5  # so long an orderly stop waits for one
CUT_SHARE = 0.8  # of the log's room: above it the log is cut beyond the newest epoch


class EpochKeeper:
    """The epochs of one database, as one element's instance sees them."""

    def __init__(
        self,
        router: Router,
        writer: LeadWriter,
        member: ReplicaSetMember,
        element: Element,
        clock: EpochClock,
        interval_s: float,
    ) -> None:
        """interval_s 0: only when somebody asks for one."""
        self.clock = clock
        self.interval_s = interval_s
        self._router = router
        self._writer = writer
        self._member = member
        self._element = element
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[int]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop_task: asyncio.Task[None] | None = None
        self._made_once = False
        self._told = ""  # why the last one was not done: said once

    def start(self) -> None:
        """Make epochs whenever it is this instance's part."""
        self._loop_task = asyncio.create_task(self._run(), name="epochs")

    async def close(self) -> None:
        """Stop; who waits for an epoch is told."""
        tasks = [*self._tasks, *([self._loop_task] if self._loop_task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail_waiting(NotServingError("the database is being unloaded"))

    # -- what others ask ---------------------------------------------------------------------------
    async def create(self) -> int:
        """Make an epoch that begins now; returns its number when it is done.

        Everything committed before is then on disk on every copy. Raises ReplicaSetDownError when
        that cannot be had in time, or a replica set is down.
        """
        deadline_s = boottime_s() + CREATE_S
        while True:
            try:
                return await self._create(deadline_s)
            except ReplicaSetDownError:  # perhaps a lead was just handed over
                if self._router.down() or boottime_s() + AGAIN_S > deadline_s:
                    raise
            await self._router.wait_for_change(AGAIN_S)

    async def _create(self, deadline_s: float) -> int:
        lowest = self._lowest()
        message = CreateEpoch(self._element.identity.database, lowest)
        answer = await self._router.call_until(lowest, message, deadline_s)
        assert isinstance(answer, EpochLogged)
        return answer.number

    async def last(self) -> None:
        """Make an epoch before this element leaves in order, if it leads and anything is new.

        Else power that fails after the next start, before its first epoch, would take commits from
        before the stop, however long ago that was. Given up where it cannot be had at once.
        """
        element = self._element
        is_new = element.committed_tail.lsn > element.newest_epoch()[1]
        if not (self.interval_s and self._writer.leading and is_new):
            return
        try:
            async with asyncio.timeout(LAST_S):
                await self._create(boottime_s() + LAST_S)
        except (GridError, TimeoutError) as error:
            log.info("epoch.none_before_the_end", rs=self._writer.rs, error=str(error))

    def create_here(self, message: CreateEpoch, reply: Reply) -> None:
        """The same at the instance that makes them."""
        if not self._is_maker():
            raise PeerUnreachableError("another instance makes the epochs")  # the asker goes on
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wanted.set()

        def done(ended: asyncio.Future[int]) -> None:
            error = ended.exception()
            if error is None:
                reply.reply(EpochLogged(ended.result()))
            else:
                assert isinstance(error, GridError)
                reply.fail(error)

        future.add_done_callback(done)

    def ask(self, _message: AskEpoch, reply: Reply) -> None:
        """How the log here is."""
        if not self._writer.leading:
            raise NotServingError("this element does not lead")
        number, lsn = self._element.newest_epoch()
        reply.reply(EpochIs(number, self._element.committed_tail.lsn > lsn))

    def log_epoch(self, message: LogEpoch, reply: Reply) -> None:
        """Log an epoch here and flush it on every in-sync copy."""
        if trace.steps.listener is not None:
            trace.step("data/exec/epochs.py", message)
        self.clock.saw(message.number)

        def logged(error: GridError | None) -> None:
            if error is not None:
                reply.fail(error)
            else:
                self._spawn(self._flush_copies(reply))

        self._writer.log_epoch(logged)

    def flush(self, message: FlushLog, reply: Reply) -> None:
        """A copy's part of it."""
        held = self._element.committed_tail.lsn
        if held < message.lsn or self._element.needs_recovery:
            raise NotServingError(f"this copy holds entries up to {held} only")
        self._spawn(self._flush_here(held, reply))

    async def _flush_here(self, lsn: int, reply: Reply) -> None:
        try:
            await self._element.flush()
        except OSError as error:
            reply.fail(NotServingError(f"the element cannot be flushed: {error}"))
        else:
            reply.reply(LogFlushed(lsn))

    async def _flush_copies(self, reply: Reply) -> None:
        """Own element and all in-sync copies, at once."""
        number, lsn = self._element.newest_epoch()
        places = {p.element: p.instance for p in self._router.map.elements}
        message = FlushLog(self._element.identity.database, lsn)
        copies = self._member.status().in_sync
        try:
            await asyncio.gather(
                *(self._router.call_instance(places[e], message, ANSWER_S) for e in copies)
            )
            if self._member.status().in_sync != copies:
                raise NotServingError("the in-sync copies changed meanwhile")
        except GridError as error:
            reply.fail(error)
        else:
            reply.reply(EpochLogged(number))

    def cut_limit(self) -> int | None:
        """From this LSN on the log is needed to go back to the newest epoch that is done.

        None: from nowhere. That is also so when the log has hardly any room left, because no epoch
        was done for long (a replica set is down): going on matters more (docs/decisions/0021).
        """
        room = self._element.settings.log_bytes_max
        if not self.interval_s or self._element.log_bytes > CUT_SHARE * room:
            return None
        return self._element.newest_epoch(self.clock.done)[1]

    # -- making them -------------------------------------------------------------------------------
    def _lowest(self) -> int:
        self._router.need_map()
        return self._router.live_sets()[0]

    def _is_maker(self) -> bool:
        sets = self._router.live_sets()
        return bool(sets) and self._writer.leading and self._writer.rs == sets[0]

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self.interval_s or None):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            if not self._is_maker():
                self._fail_waiting(PeerUnreachableError("another instance makes the epochs"))
                continue
            try:
                await self._turn()
            except Exception:
                log.exception("epoch.turn_failed")

    async def _turn(self) -> None:
        """One epoch, if somebody waits for it or anything changed."""
        waiting, self._waiting = self._waiting, []
        try:
            if waiting or await self._anything_new():
                number = await self._make()
                self._made_once, self._told = True, ""
                _settle(waiting, lambda future: future.set_result(number))
        except GridError as error:
            if error.message != self._told:
                log.info("epoch.not_done", rs=self._writer.rs, error=error.message)
            self._told = error.message
            down = ReplicaSetDownError(
                "no epoch can be made now: not every replica set answers",
                detail=error.message,
                hint="Look at ttGridAdmin dbStatus; what was committed stays committed.",
            )
            _settle(waiting, lambda future: future.set_exception(down))
        except asyncio.CancelledError:
            _settle(waiting, lambda future: future.set_exception(NotServingError("unloaded")))
            raise

    async def _anything_new(self) -> bool:
        database = self._element.identity.database
        states = await self._all(lambda rs: AskEpoch(database, rs))
        assert all(isinstance(state, EpochIs) for state in states)
        self.clock.saw(max(state.number for state in states))
        numbers = {state.number for state in states}
        return not self._made_once or len(numbers) > 1 or any(state.changed for state in states)

    async def _make(self) -> int:
        database = self._element.identity.database
        if self.clock.seen == 0 or not self._made_once:
            await self._anything_new()  # which numbers there are
        number = self.clock.seen + 1
        self.clock.saw(number)
        await self._all(lambda rs: LogEpoch(database, rs, number))
        others = {place.instance for place in self._router.map.elements} - {self._router.instance}
        for name in sorted(others):
            self._router.tell_instance(name, EpochDone(database, number))
        self.clock.finished(number)
        return number

    async def _all(self, message: Callable[[int], AskEpoch | LogEpoch]) -> list[EpochIs]:
        """Ask the leads of all replica sets at once. Raises GridError if one does not answer."""
        sets = self._router.live_sets()
        answers = await asyncio.gather(
            *(self._router.call(rs, message(rs), ANSWER_S) for rs in sets), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers  # type: ignore[return-value]

    def _fail_waiting(self, error: GridError) -> None:
        waiting, self._waiting = self._waiting, []
        _settle(waiting, lambda future: future.set_exception(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _settle(waiting: list[asyncio.Future[int]], end: Callable[[asyncio.Future[int]], None]) -> None:
    for future in waiting:
        if not future.done():
            end(future)
