"""dbTransactions: asks every data instance for the transactions it knows."""

from __future__ import annotations

import asyncio

from mgmt.api import schema_databases as schema
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from protocol.clock import wall_us
from protocol.errors import GridError
from protocol.messages.txn import ListTransactions, TransactionList, parts_of
from protocol.transactions import IN_DOUBT, GridTransaction, put_together, shown, shown_all

CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 3.0


async def transactions(
    management: Management, reach: Reach, request: schema.DbTransactions
) -> schema.DbTransactionsReply:
    """All of them, the oldest first. Instances that do not answer are named in the reply."""
    record = reach.databases.get(request.name)
    names = sorted({e.instance for e in record.elements})
    answers = await asyncio.gather(
        *(_ask(management, name, record.name) for name in names), return_exceptions=True
    )
    parts, silent = [], []
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, TransactionList):
            parts += parts_of(answer)
        elif isinstance(answer, GridError):
            silent.append(name)
        else:
            assert isinstance(answer, BaseException)
            raise answer
    found = put_together(parts)
    if request.in_doubt:
        found = [one for one in found if one.state == IN_DOUBT]
    return schema.DbTransactionsReply(
        name=record.name,
        as_of=wall_us(),
        transactions=tuple(_shown(one) for one in found),
        silent=tuple(silent),
    )


async def _ask(management: Management, name: str, database: str) -> TransactionList:
    rpc = management.rpc
    assert rpc is not None
    peer = await rpc.wait_connected(name, CONNECT_TIMEOUT_S)
    answer: TransactionList = await peer.call(ListTransactions(database), ANSWER_TIMEOUT_S)
    return answer


def _shown(one: GridTransaction) -> schema.TransactionRow:
    return schema.TransactionRow(
        transaction=shown(one.id),
        incarnation=one.id.incarnation,
        coordinator=one.coordinator,
        state=one.state,
        age_ms=one.age_ms,
        prepared_ms=one.prepared_ms,
        participants=tuple(sorted(one.participants)),
        prepared_at=tuple(sorted(one.prepared_at)),
        rows=one.rows,
        locks=one.locks,
        waits_for=shown_all(one.waits_for),
        waits_on=one.waits_on,
    )
