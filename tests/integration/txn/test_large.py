"""Transactions with very many rows: written in slices, all or nothing."""

from __future__ import annotations

import asyncio

import pytest

from protocol.errors import GridError, NotLeadError
from protocol.messages.txn import Decide, Prepare
from tests.support.lead import DB, Lead, insert, txn

ROWS = [(n, n) for n in range(12_000)]


async def test_a_large_commit_gives_others_their_turn_and_keeps_order(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert(*ROWS))
    await lead.run(txn(2), 1, insert((-1, 1)))  # parks it: its rows have to be brought in again
    commit = lead.commit(txn(1), 1)
    turns = 0
    late = lead.run(txn(3), 1, insert((-2, 2)), commit=True)
    while not commit.done():
        await asyncio.sleep(0)
        turns += 1
        assert len(lead.rows()) in (0, len(ROWS), len(ROWS) + 1)
    await late
    assert turns > 10
    assert len(lead.rows()) == len(ROWS) + 1


async def test_a_large_commit_that_loses_its_term_leaves_nothing(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert(*ROWS))
    await lead.run(txn(2), 1, insert((-1, 1)))
    commit = lead.commit(txn(1), 1)
    for _ in range(16):
        await asyncio.sleep(0)
    assert not commit.done()
    lead.writer.lost_lead()
    lead.writer.became_lead(2)
    await lead.run(txn(3), 1, insert((5, 5)), commit=True)
    assert lead.rows() == [(5, 5)]
    with pytest.raises(NotLeadError):  # it was never sent: the next lead may be asked
        await commit


async def test_a_large_prepared_transaction_is_decided_in_slices(lead: Lead) -> None:
    await lead.run(txn(1), 1, insert(*ROWS))
    await lead.call(lead.writer.prepare, Prepare(DB, 1, 1, txn(1), 1, (1, 2)))
    await lead.call(lead.writer.decide, Decide(DB, 1, txn(1), True, (1, 2)))
    with pytest.raises(GridError):
        await lead.run(txn(2), 1, insert((7, 7)), commit=True)
    assert len(lead.rows()) == len(ROWS)
