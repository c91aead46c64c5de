"""Looks for deadlocks over several leads, from each lead where somebody waits for long.

Nothing happens while no wait is older than PATIENCE_S. A cycle is complete when its last wait
begins, so one look when that wait is PATIENCE_S old finds it; the look is repeated every AGAIN_S as
long as the wait lasts, for a lead that did not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import structlog

from data.txn.deadlocks import Edge, standing, victims
from data.txn.lead import LeadWriter
from data.txn.ports import Reply
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import GridError
from protocol.messages.txn import AskWaits, EndWait, WaitEdge, Waits

log = structlog.get_logger()

PATIENCE_S = 0.2
AGAIN_S = 1.0
ANSWER_S = 0.5  # a lead that does not say in time whom it has waiting is left out of this look


class Leads(Protocol):
    """How the leads are reached (data/exec/router.py)."""

    @property
    def replica_sets(self) -> tuple[int, ...]: ...
    def call(self, rs: int, message: Any, timeout_s: float) -> asyncio.Future[Any]: ...
    def tell(self, rs: int, message: Any) -> None: ...


class DeadlockWatch:
    """One lead's watch. Everything runs on the event loop."""

    def __init__(
        self,
        db: str,
        writer: LeadWriter,
        leads: Leads,
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._db = db
        self._writer = writer
        self._leads = leads
        self._spawn = spawn
        self._timer: asyncio.TimerHandle | None = None
        self._looking = False
        self._looked_s: dict[int, float] = {}  # when we last looked because of which wait
        self._loop = asyncio.get_running_loop()
        writer.waits.on_wait = self._wait_begins

    def close(self) -> None:
        """Stop looking."""
        self._writer.waits.on_wait = None
        if self._timer is not None:
            self._timer.cancel()

    def _wait_begins(self) -> None:
        if self._timer is None and not self._looking and len(self._leads.replica_sets) > 1:
            self._timer = self._loop.call_later(PATIENCE_S, self._look)

    def _look(self) -> None:
        """See whether somebody has waited for too long, and when to look again."""
        self._timer = None
        now_s = boottime_s()
        looked: dict[int, float] = {}
        next_s = 0.0
        due = False
        for waiter, since_s in self._writer.waits.waiting_since():
            before_s = self._looked_s.get(waiter.number)
            due_s = since_s + PATIENCE_S if before_s is None else before_s + AGAIN_S
            if due_s <= now_s + 0.001:
                due = True
                before_s = now_s
                due_s = now_s + AGAIN_S
            if before_s is not None:
                looked[waiter.number] = before_s
            next_s = min(next_s or due_s, due_s)
        self._looked_s = looked
        if due:
            self._looking = True
            self._spawn(self._search(), "deadlock-search")
        elif next_s:
            self._timer = self._loop.call_later(next_s - now_s, self._look)

    async def _search(self) -> None:
        try:
            await self._end_cycles()
        finally:
            self._looking = False
            if self._writer.waits.waiting_since():
                self._timer = self._loop.call_later(PATIENCE_S / 4, self._look)

    async def _end_cycles(self) -> None:
        if trace.steps.listener is not None:
            trace.step("data/txn/deadlock_watch.py")
        before = await self._collect()
        if not victims(before):
            return
        for edge in victims(standing(before, await self._collect())):
            log.info("deadlock.found", db=self._db, victim=edge.waiter, rs=edge.rs)
            self._leads.tell(
                edge.rs, EndWait(self._db, edge.rs, edge.term, edge.waiter, edge.number)
            )

    async def _collect(self) -> list[Edge]:
        """The wait edges of all leads; of those that answer."""
        calls = [
            self._leads.call(rs, AskWaits(self._db, rs), ANSWER_S)
            for rs in self._leads.replica_sets
        ]
        edges: list[Edge] = []
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(answer, Waits):
                edges += [_edge(answer, wait) for wait in answer.waits]
            elif not isinstance(answer, GridError):
                raise answer
        return edges


def _edge(answer: Waits, wait: WaitEdge) -> Edge:
    return Edge(
        answer.rs,
        answer.term,
        wait.number,
        wait.txn,
        wait.gives_way,
        frozenset(wait.blockers),
    )


def answer_waits(writer: LeadWriter, reply: Reply) -> None:
    """Who waits at this lead: its answer to AskWaits (none, if it does not lead)."""
    edges = writer.waits.edges() if writer.leading else ()
    reply.reply(Waits(writer.rs, writer.term, edges))


def end_wait(writer: LeadWriter, message: EndWait) -> None:
    """A wait here was chosen to end a deadlock."""
    if writer.leading and message.term == writer.term:
        writer.waits.break_wait(message.txn, message.number)
