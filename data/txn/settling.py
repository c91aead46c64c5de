"""Recorded decisions end: the lead forgets what nobody can ask about any more (design §6).

The coordinator itself says when all participants have acknowledged a COMMIT. What it did not say,
because it is gone, its message was lost or the decision is an ABORT, is found here: after
`KEEP_S`, in which every message of the transaction has arrived or is lost, a lead looks whether
the coordinator still knows the transaction. If not, an ABORT is forgotten, and the anchor tells a
COMMIT to every other participant once more and forgets it when all of them have answered. Other
participants need their COMMIT only as long as it is in the log, and forget nothing here. See
docs/decisions/0025-decisions-are-forgotten-by-the-lead.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from data.storage.element import Element
from data.storage.entry import Decision
from data.txn.lead import LeadWriter
from data.txn.ports import Nobody
from protocol import trace
from protocol.clock import boottime_s
from protocol.errors import GridError, WorkspaceLostError
from protocol.ids import TxnId
from protocol.messages.txn import AskOpen, Decide, Forget, StillOpen

log = structlog.get_logger()

KEEP_S = 60.0  # no message of a transaction arrives later than this after its decision
CALL_TIMEOUT_S = 5.0
FORGET_MAX = 1000  # transactions in one log record


class Calls(Protocol):
    """How others are asked (data/exec/router.py)."""

    async def call_until(self, rs: int, message: Any, deadline_s: float) -> Any: ...
    def call_instance(
        self, instance: str, message: Any, timeout_s: float
    ) -> asyncio.Future[Any]: ...


class Settling:
    """The old decisions of one element while it leads. `sweep` now and then; one at a time."""

    def __init__(self, db: str, element: Element, writer: LeadWriter, calls: Calls) -> None:
        # the replica set is not in the map any more; set by data/database.py
        self.is_gone: Callable[[int], bool] = lambda rs: False
        self._db = db
        self._element = element
        self._writer = writer
        self._calls = calls
        self._seen: dict[TxnId, float] = {}  # since when this lead has known the decision
        self._term = 0

    async def sweep(self, names: Mapping[str, str]) -> None:
        """Forget what is over. `names`: incarnation -> instance, of those that live."""
        if trace.steps.listener is not None:
            trace.step("data/txn/settling.py")
        writer = self._writer
        if not writer.leading or writer.term != self._term:  # what an older lead kept starts anew
            self._term = writer.term
            self._seen = {}
        if not writer.leading:
            return
        over = await self._unknown_to_coordinators(self._due(boottime_s()), names)
        aborted = [decision.txn for decision in over if not decision.committed]
        committed = [decision for decision in over if decision.committed]
        told = await asyncio.gather(*(self._tell(decision) for decision in committed))
        forgotten = aborted + [d.txn for d, done in zip(committed, told, strict=True) if done]
        for at in range(0, len(forgotten), FORGET_MAX):
            txns = tuple(forgotten[at : at + FORGET_MAX])
            writer.forget(Forget(self._db, writer.rs, txns), Nobody())
        if forgotten:
            log.info("txn.decisions_forgotten", db=self._db, rs=writer.rs, count=len(forgotten))

    def _due(self, now_s: float) -> list[Decision]:
        """Decisions that have been here for long enough."""
        seen = self._seen
        known = {decision.txn: decision for decision in self._element.decisions()}
        self._seen = {txn: seen.get(txn, now_s) for txn in known}
        return [known[txn] for txn, since_s in self._seen.items() if now_s - since_s >= KEEP_S]

    async def _unknown_to_coordinators(
        self, due: list[Decision], names: Mapping[str, str]
    ) -> list[Decision]:
        """Those whose coordinator is gone, or says that the transaction is over."""
        asked: dict[str, list[TxnId]] = {}
        for decision in due:
            name = names.get(decision.txn.incarnation)
            if name is not None:
                asked.setdefault(name, []).append(decision.txn)
        answers = await asyncio.gather(*(self._ask(name, txns) for name, txns in asked.items()))
        alive = set().union(*answers)
        return [decision for decision in due if decision.txn not in alive]

    async def _ask(self, name: str, txns: list[TxnId]) -> set[TxnId]:
        """Which of its transactions still go on; all, if it does not answer."""
        message = AskOpen(self._db, tuple(txns))
        try:
            answer: StillOpen = await self._calls.call_instance(name, message, CALL_TIMEOUT_S)
        except GridError:
            return set(txns)
        return set(answer.txns)

    async def _tell(self, decision: Decision) -> bool:
        """Make sure that every participant has a COMMIT; False: one did not answer."""
        deadline_s = boottime_s() + CALL_TIMEOUT_S
        return all(
            await asyncio.gather(
                *(
                    self._tell_one(rs, decision, deadline_s)
                    for rs in decision.participants[1:]
                    if not self.is_gone(rs)
                )
            )
        )

    async def _tell_one(self, rs: int, decision: Decision, deadline_s: float) -> bool:
        message = Decide(self._db, rs, decision.txn, True, decision.participants)
        try:
            await self._calls.call_until(rs, message, deadline_s)
        except WorkspaceLostError:  # a PREPARE stays until its decision: it had it, and cut its log
            return True
        except GridError as error:
            log.info("txn.decision_not_heard", rs=rs, txn=decision.txn, error=error.message)
            return False
        return True
