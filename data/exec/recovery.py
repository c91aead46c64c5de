"""Brings a database back after a loss of power: asks the elements, decides, undoes, trusts.

Runs at the lowest in-sync element of the lowest lost replica set; nothing is lost if two instances
do it at once, or if one dies half-way: it is done in two steps. First every lost set's chosen
element undoes what came after the epoch, and stays damaged. Only when all have done that are they
trusted. Whoever begins anew finds the same epoch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from data.exec.router import Router
from data.replication import copier
from data.replication.member import ReplicaSetMember
from data.storage.element import Element
from data.txn import recovery
from data.txn.epochs import EpochClock
from data.txn.lead import LeadWriter
from data.txn.ports import Reply
from data.txn.recovery import Nothing, Return, SetFacts, Wait
from membership.port import Membership
from protocol import trace
from protocol.errors import GridError, NotServingError
from protocol.messages import recovery as m

log = structlog.get_logger(__name__)

ANSWER_S = 2.0
UNDO_S = 120.0  # for a whole log
UNDO_ENTRIES = 200  # undone in one commit; other work of the process goes on in between
EPOCHS_TOLD = 500


class Recovery:
    """One element's part in it, and the whole of it where that is this instance's turn."""

    def __init__(
        self,
        router: Router,
        membership: Membership,
        element: Element,
        writer: LeadWriter,
        member: ReplicaSetMember,
        clock: EpochClock,
    ) -> None:
        self.message = ""  # why the element waits, for dbStatus
        self.was_open = False
        self._db = element.identity.database
        self._router = router
        self._membership = membership
        self._element = element
        self._writer = writer
        self._member = member
        self._clock = clock
        self._undoing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop; what was begun is done by whoever comes next."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what others ask ---------------------------------------------------------------------------
    def ask(self, _message: m.AskElement, reply: Reply) -> None:
        """How this element is."""
        element = self._element
        numbers = [number for number, _ in element.epochs()]
        tail = element.committed_tail
        reply.reply(
            m.ElementTold(
                element.identity.element,
                element.identity.replica_set,
                element.needs_recovery,
                self._writer.leading,
                self._clock.seen,
                (tail.term, tail.lsn),
                tuple(reversed(numbers[-EPOCHS_TOLD:])),
                self.was_open,
            )
        )

    def crossing(self, message: m.AskCrossing, reply: Reply) -> None:
        """Transactions committed here after an epoch together with lost replica sets."""
        if not self._writer.leading:
            raise NotServingError("this element does not lead")
        lost = set(message.lost)
        self._writer.ask_anchor_about(lost)
        lsn = self._lsn_of(message.epoch)
        decided = self._element.committed_together(lsn)
        txns = tuple((txn, with_) for txn, with_ in decided if lost & set(with_))
        reply.reply(m.Crossing(lsn > 0, txns))

    def prepared(self, message: m.AskPrepared, reply: Reply) -> None:
        """Which transactions were prepared and committed here before an epoch."""
        lsn = self._lsn_of(message.epoch)
        prepared, committed = [], []
        for txn in message.txns:
            was_prepared, was_committed = self._element.was_there(txn, lsn)
            if was_prepared:
                prepared.append(txn)
            if was_committed:
                committed.append(txn)
        reply.reply(m.PreparedBefore(tuple(prepared), tuple(committed)))

    def _lsn_of(self, epoch: int) -> int:
        return next((at.lsn for number, at in self._element.epochs() if number == epoch), 0)

    def go_back(self, message: m.GoBack, reply: Reply) -> None:
        """Undo everything after an epoch."""
        if trace.steps.listener is not None:
            trace.step("data/exec/recovery.py", message)
        lsn = self._lsn_of(message.epoch)
        if self._writer.leading or not self._element.needs_recovery:
            raise NotServingError("this element lost nothing")
        if not lsn or self._undoing:
            raise NotServingError(f"this element does not have epoch {message.epoch} now")
        self._clock.saw(message.floor)
        self._spawn(self._undo(lsn, message.epoch, reply))

    async def _undo(self, lsn: int, epoch: int, reply: Reply) -> None:
        element = self._element
        self._undoing = True
        begin = element.committed_tail.lsn
        try:
            while element.committed_tail.lsn > lsn:
                copier.undo(element, max(lsn, element.committed_tail.lsn - UNDO_ENTRIES))
                await asyncio.sleep(0)
            element.note_return(lsn)
            self._member.log_rewritten()
        except GridError as error:
            log.error("recovery.undo_failed", db=self._db, error=error.message)
            reply.fail(error)
        else:
            log.warning("recovery.went_back", db=self._db, rs=self._writer.rs, epoch=epoch,
                        undone=begin - lsn)  # fmt: skip
            reply.reply(m.WentBack(lsn))
        finally:
            self._undoing = False

    def trust(self, message: m.Trust, reply: Reply) -> None:
        """The log as it is now is the truth."""
        number, lsn = self._element.newest_epoch()
        tail = self._element.committed_tail.lsn
        if self._undoing or self._writer.leading or (number, lsn) != (message.epoch, tail):
            raise NotServingError(f"this element did not go back to epoch {message.epoch}")
        self._member.trust()
        self.message = ""
        reply.reply(m.Trusted())

    def distrust(self, _message: m.Distrust, reply: Reply) -> None:
        """What this element has is not the truth any more."""
        self._member.distrust()
        reply.reply(m.Trusted())

    # -- doing it ----------------------------------------------------------------------------------
    def look(self) -> None:
        """Called about once a second: begin if this element may be the one to do it."""
        role = self._member.role
        if role not in ("waiting-for-seed", "catching-up") or not self._element.needs_recovery:
            self.message = ""
            return
        state = self._membership.view().sets.get((self._db, self._writer.rs))
        if state is None or not state.in_sync or self._undoing:
            return
        me = self._element.identity.element
        if me not in state.in_sync and role == "catching-up":
            self.message = ""  # its lead serves
        elif me not in state.in_sync:
            self.message = (
                f"TT3733: this is not a seed element and replica set {self._writer.rs} is down: "
                f"waiting for element {', '.join(map(str, state.in_sync))}"
            )
        elif self._running is None or self._running.done():
            self._running = self._spawn(self._turn(me == min(state.in_sync)))

    async def _turn(self, may_act: bool) -> None:
        try:
            self.message = await self._recover(may_act)
        except GridError as error:
            self.message = f"going back to an epoch: {error.message}"
            log.info("recovery.not_done", db=self._db, error=error.message)

    async def _recover(self, may_act: bool) -> str:
        """One try; returns what the operator should know."""
        sets = await self._facts()
        plan = recovery.decide(sets)
        if isinstance(plan, Nothing):
            return "waiting for the other in-sync elements of its replica set"
        if isinstance(plan, Wait):
            return plan.why
        if not may_act or self._writer.rs != min(plan.seeds):
            return f"going back to epoch {plan.epoch}"
        if plan.compare:
            half = await self._half_there(plan)
            if half:
                return await self._give_up_newer(sets, plan, len(half))
        places = {place.element: place.instance for place in self._router.map.elements}
        seeds = [places[element] for element in plan.seeds.values()]
        log.warning("recovery.begins", db=self._db, epoch=plan.epoch, seeds=dict(plan.seeds))
        await self._all(seeds, lambda: m.GoBack(self._db, plan.epoch, plan.floor), UNDO_S)
        await self._all(seeds, lambda: m.Trust(self._db, plan.epoch), ANSWER_S)
        log.warning("recovery.done", db=self._db, epoch=plan.epoch)
        return ""

    async def _facts(self) -> list[SetFacts]:
        view = self._membership.view()
        running = {str(info.name) for info in view.instances.values()}
        places = [p for p in self._router.map.elements if p.replica_set and p.instance in running]
        answers = await asyncio.gather(
            *(
                self._router.call_instance(p.instance, m.AskElement(self._db), ANSWER_S)
                for p in places
            ),
            return_exceptions=True,
        )
        told = [a for a in answers if isinstance(a, m.ElementTold)]
        sets = []
        for rs in self._router.all_sets:
            state = await self._membership.read_set(self._db, rs)
            of_set = {t.element: t for t in told if t.rs == rs}
            if state is None and rs not in self._router.replica_sets:
                continue  # idle, and never came up
            if state is None:
                sets.append(SetFacts(rs, (), of_set))
            else:
                sets.append(SetFacts(rs, state.in_sync, of_set, state.lead))
        return sets

    async def _half_there(self, plan: Return) -> list[Any]:
        lost = tuple(plan.seeds)
        crossing = await asyncio.gather(
            *(
                self._router.call(rs, m.AskCrossing(self._db, rs, plan.epoch, lost), ANSWER_S)
                for rs in plan.compare
            )
        )
        if not all(answer.known for answer in crossing):
            raise NotServingError(f"a replica set does not have epoch {plan.epoch} any more")
        txns = tuple({txn for answer in crossing for txn, _ in answer.txns})
        places = {place.element: place.instance for place in self._router.map.elements}
        before = {}
        for rs, element in plan.seeds.items():
            ask = m.AskPrepared(self._db, plan.epoch, txns)
            before[rs] = await self._router.call_instance(places[element], ask, ANSWER_S)
        return list(recovery.half_there(recovery.Answers(crossing, before)))

    async def _give_up_newer(self, sets: Sequence[SetFacts], plan: Return, half: int) -> str:
        """Serving sets have to go back too. Only if the database was unloaded and loaded for it."""
        serving = [s for s in sets if s.rs in plan.compare]
        if any(t.was_open for s in serving for t in s.told.values()):
            return (
                f"{half} transactions after epoch {plan.epoch} are on other replica sets only; to "
                "go back to it with all of them: dbClose, dbUnload, dbLoad and, when all elements "
                "are loaded, dbOpen"
            )
        places = {place.element: place.instance for place in self._router.map.elements}
        names = [places[e] for s in serving for e in s.told]
        log.warning("recovery.all_go_back", db=self._db, epoch=plan.epoch, sets=plan.compare)
        await self._all(names, lambda: m.Distrust(self._db), ANSWER_S)
        return f"all replica sets go back to epoch {plan.epoch}"

    async def _all(self, instances: list[str], message: Callable[[], Any], time_s: float) -> None:
        answers = await asyncio.gather(
            *(self._router.call_instance(name, message(), time_s) for name in instances),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
