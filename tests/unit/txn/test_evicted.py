"""Transactions in doubt whose anchor went with an evicted replica set."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from data.txn.evicted import outcome_without_anchor
from data.txn.settling import KEEP_S
from protocol.clock import boottime_s
from protocol.errors import ReplicaSetDownError
from protocol.ids import TxnId
from protocol.messages.txn import AskOpen, Committed, PeekOutcomes, StillOpen

TXN = TxnId(1, "host3-1", 7)


class Others:
    """Replica sets that know a COMMIT, one that is down, a coordinator that goes on."""

    def __init__(self, committed: frozenset[int], down: int = 0, *, goes_on: bool = False) -> None:
        self.committed = committed
        self.down = down
        self.goes_on = goes_on
        self.asked: list[str] = []

    async def call_until(self, rs: int, message: Any, deadline_s: float) -> Any:
        assert isinstance(message, PeekOutcomes)
        if rs == self.down:
            raise ReplicaSetDownError(f"replica set {rs} is down")
        return Committed((TXN,) if rs in self.committed else ())

    def call_instance(self, instance: str, message: Any, timeout_s: float) -> asyncio.Future[Any]:
        assert isinstance(message, AskOpen)
        self.asked.append(instance)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_result(StillOpen((TXN,) if self.goes_on else ()))
        return future


async def outcome(others: Others, age_s: float, coordinator: str = "") -> bool | None:
    began_s = boottime_s() - age_s
    return await outcome_without_anchor("d", TXN, (2, 3), coordinator, began_s, others)


async def test_a_commit_that_reached_one_holds_for_all() -> None:
    assert await outcome(Others(frozenset({3})), 0.0) is True


async def test_without_a_commit_it_is_aborted_when_no_message_can_come_any_more() -> None:
    nobody = Others(frozenset())
    assert await outcome(nobody, KEEP_S / 2) is None
    assert await outcome(nobody, KEEP_S + 1) is False
    assert nobody.asked == []


async def test_a_coordinator_that_goes_on_is_waited_for() -> None:
    goes_on = Others(frozenset(), goes_on=True)
    assert await outcome(goes_on, KEEP_S + 1, "host3.instance1") is None
    assert goes_on.asked == ["host3.instance1"]
    assert await outcome(Others(frozenset()), KEEP_S + 1, "host3.instance1") is False


async def test_who_does_not_answer_may_know_it() -> None:
    with pytest.raises(ReplicaSetDownError):
        await outcome(Others(frozenset(), down=3), KEEP_S + 1)
