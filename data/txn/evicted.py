"""Prepared transactions whose anchor went with an evicted replica set: who can still know?

The anchor's log had the decision. It is lost with the set, but a COMMIT may have reached another
participant before: then it holds for all that are left. If none has it, nobody can have been told
by a participant that it is committed, and once the coordinator has given up, too, and its last
messages have arrived or are lost, the transaction is aborted everywhere. All that are left come to
the same answer, whenever they ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Protocol

from data.txn.settling import KEEP_S
from protocol.clock import boottime_s
from protocol.ids import TxnId
from protocol.messages.txn import AskOpen, Committed, PeekOutcomes, StillOpen

ASK_S = 2.0


class Calls(Protocol):
    """How others are asked (data/exec/router.py)."""

    async def call_until(self, rs: int, message: Any, deadline_s: float) -> Any: ...
    def call_instance(
        self, instance: str, message: Any, timeout_s: float
    ) -> asyncio.Future[Any]: ...


async def outcome_without_anchor(
    db: str,
    txn: TxnId,
    others: Collection[int],
    coordinator: str,
    prepared_s: float,
    calls: Calls,
) -> bool | None:
    """Committed or not; None: nobody can know yet. Raises GridError when one does not answer.

    others: the other participants that are still in the map. coordinator: the instance whose
    process began the transaction, "" when that process is gone. prepared_s: boottime.
    """
    deadline_s = boottime_s() + ASK_S
    for rs in others:
        answer: Committed = await calls.call_until(rs, PeekOutcomes(db, rs, (txn,)), deadline_s)
        if txn in answer.txns:
            return True
    if boottime_s() - prepared_s < KEEP_S:
        return None  # its decision may be on its way to one of them
    if coordinator:
        open_there: StillOpen = await calls.call_instance(coordinator, AskOpen(db, (txn,)), ASK_S)
        if txn in open_there.txns:
            return None
    return False
