"""Carries out what data/txn/read_atomic.py wants, until the states of a statement agree."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Hashable

import structlog

from data.exec.router import Router
from data.txn.read_atomic import ReadPoint
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import GridError, PeerUnreachableError, TransientError
from protocol.ids import TxnId
from protocol.messages.txn import Committed, Decide, HoldPrepares, PeekOutcomes

log = structlog.get_logger()

BACK_MS = 50  # how far back leads are asked to list their commits, when nothing calls for more
ROUNDS = 3  # then the leads are asked to hold new PREPAREs meanwhile
ROUNDS_MAX = 40
HOLD_MS = 50
PEEK_S = 2.0
TELL_S = 10.0


class Agreement:
    """The rounds of one statement."""

    def __init__(self, db: str, router: Router) -> None:
        self._db = db
        self._router = router
        self.rounds = 0

    def back_ms(self, point: ReadPoint) -> int:
        """How far back a lead that is asked now should list its commits."""
        if not point.opened:
            return BACK_MS << min(self.rounds, 6)
        return BACK_MS * 2 + int((boottime_s() - point.first_s) * 1500)

    async def missing(self, point: ReadPoint) -> set[Hashable]:
        """The states that have to be opened anew; none: they agree.

        Raises TransientError when it takes too many rounds, what keeps a lead from answering.
        """
        verdict = point.verdict()
        while verdict.ask:
            if trace.steps.listener is not None:
                trace.step("data/exec/agreement.py")
            await self._ask(point, verdict.ask)
            verdict = point.verdict()
        if not verdict.again:
            return verdict.again
        self.rounds += 1
        if self.rounds > ROUNDS_MAX:
            raise TransientError(
                "no moment was found at which all replica sets show whole transactions only",
                hint="Run the transaction again.",
            )
        await asyncio.gather(
            *(self._tell(rs, txn, point.participants[txn]) for rs, txn in verdict.tell)
        )
        if self.rounds >= ROUNDS:
            sets = {opened.rs for opened in point.opened.values()}
            await asyncio.gather(*(self._hold(rs) for rs in sets))
        return verdict.again

    async def _tell(self, rs: int, txn: TxnId, participants: tuple[int, ...]) -> None:
        """Its decision is in another log already: the reader need not wait for the coordinator."""
        message = Decide(self._db, rs, txn, True, participants)
        await self._router.call_until(rs, message, boottime_s() + TELL_S)

    async def _hold(self, rs: int) -> None:
        try:
            await self._router.call(rs, HoldPrepares(self._db, rs, HOLD_MS), HOLD_MS / 1000)
        except GridError as error:  # it only makes it likelier that this round is the last
            log.info("read.not_held", rs=rs, error=error.message)

    async def _ask(self, point: ReadPoint, txns: set[TxnId]) -> None:
        """Ask the anchor, which knows for certain; without it, those whose states are compared."""
        by_anchor: dict[int, list[TxnId]] = defaultdict(list)
        for txn in txns:
            by_anchor[point.participants[txn][0]].append(txn)
        await asyncio.gather(*(self._ask_anchor(point, rs, t) for rs, t in by_anchor.items()))

    async def _ask_anchor(self, point: ReadPoint, anchor: int, txns: list[TxnId]) -> None:
        sent_s = boottime_s()
        try:
            if anchor in self._router.down():
                raise PeerUnreachableError(f"replica set {anchor} is down")
            committed = await self._peek(anchor, txns)
        except GridError as error:
            log.info("read.anchor_silent", rs=anchor, error=error.message)
            here = {opened.rs for opened in point.opened.values()}
            found = await asyncio.gather(
                *(
                    self._peek(rs, [t for t in txns if rs in point.participants[t]])
                    for rs in here - {anchor}
                )
            )
            committed = {txn for some in found for txn in some}
        came_s = boottime_s()
        for txn in txns:
            point.answered(txn, txn in committed, sent_s, came_s)

    async def _peek(self, rs: int, txns: list[TxnId]) -> set[TxnId]:
        if not txns:
            return set()
        message = PeekOutcomes(self._db, rs, tuple(txns))
        answer: Committed = await self._router.call_until(rs, message, boottime_s() + PEEK_S)
        return set(answer.txns)
