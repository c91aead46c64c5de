"""How many messages a transaction costs: one round trip to its lead, one to each copy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from data.replication.copier import decode_entries
from data.storage.entry import EntryKind
from protocol.messages import replication, sql, txn
from protocol.rpc.client import LocalPeer, RpcPeer
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid

WATCHED = (
    sql.RunStatement,
    txn.CommitSingle,
    txn.Prepare,
    txn.Decide,
    txn.AskOutcome,
    txn.Forget,
    replication.Append,
)


def listen(patch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts every request between instances that is about a transaction."""
    seen: Counter[str] = Counter()
    for kind in (RpcPeer, LocalPeer):
        send = kind.send

        def counted(self: Any, message: Any, *rest: Any, _send: Any = send) -> int:
            if isinstance(message, WATCHED) and not _is_epoch(message):
                seen[type(message).__name__] += 1
            return int(_send(self, message, *rest))

        patch.setattr(kind, "send", counted)
    return seen


def _is_epoch(message: object) -> bool:
    """An entry that comes by the clock, not for a transaction."""
    if not isinstance(message, replication.Append):
        return False
    return all(entry.kind == EntryKind.EPOCH for entry in decode_entries(message.body))


def away_from_lead(grid: MemoryGrid) -> int:
    """An instance that does not lead replica set 1 (or the only one there is)."""
    for number, node in enumerate(grid.nodes):
        assert node.instance is not None
        if node.instance.database(DATABASE).member.role != "lead":
            return number
    return 0


@pytest.mark.parametrize("k", [1, 2, 3])
async def test_a_transaction_at_one_replica_set_costs_one_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, k: int
) -> None:
    async with running_grid(tmp_path, k=k, sets=1) as grid:
        client = await grid.connect(away_from_lead(grid))
        await client.execute("CREATE TABLE t (id NUMBER(10) NOT NULL PRIMARY KEY, n NUMBER(10))")
        await client.execute("INSERT INTO t VALUES (1, 0)")
        statement = await client.prepare("UPDATE t SET n = n + 1 WHERE id = $1")
        await statement.fetch(1)
        # where the client is connected to the lead itself, requests are calls in this process
        with monkeypatch.context() as patch:
            seen = listen(patch)
            await statement.fetch(1)
            remote = seen["RunStatement"]
            assert remote <= 1
            assert dict(seen) == _without_zeros({"RunStatement": remote, "Append": k - 1})
        with monkeypatch.context() as patch:
            seen = listen(patch)
            await _transaction(client)
            assert seen["Append"] == k - 1, "one round to each copy, at COMMIT"
            assert seen["RunStatement"] == 3 * remote
            assert seen["CommitSingle"] == remote
            assert not set(seen) - {"RunStatement", "CommitSingle", "Append"}
        assert await client.fetchval("SELECT n FROM t WHERE id = 1") == 5
        with monkeypatch.context() as patch:
            seen = listen(patch)
            await client.execute("BEGIN")
            await client.execute("UPDATE t SET n = n + 1 WHERE id = 1")
            assert client.is_in_transaction()
            hint = "/*+ TT_CommitDMLOnSuccess(1) */"
            assert await client.execute(f"UPDATE {hint} t SET n = n + 1 WHERE id = 1") == "UPDATE 1"
            assert not client.is_in_transaction()
            expected = {"RunStatement": 2 * remote, "Append": k - 1}
            assert dict(seen) == _without_zeros(expected), "the last statement commits"
        other = await grid.connect(0)
        assert await other.fetchval("SELECT n FROM t WHERE id = 1") == 7
        await client.execute("BEGIN")  # a statement that fails commits nothing
        await client.execute("UPDATE t SET n = 100 WHERE id = 1")
        with pytest.raises(asyncpg.UniqueViolationError):
            await client.execute(f"INSERT {hint} INTO t VALUES (1, 1)")
        assert await other.fetchval("SELECT n FROM t WHERE id = 1") == 7
        await client.execute("ROLLBACK")
        await client.execute("BEGIN")  # nor does one that is asked not to; many rows do
        await client.execute("UPDATE /*+ TT_CommitDMLOnSuccess(0) */ t SET n = 8 WHERE id = 1")
        assert client.is_in_transaction()
        await client.execute(f"DELETE {hint} FROM t")
        assert not client.is_in_transaction()
        assert await other.fetchval("SELECT COUNT(*) FROM t") == 0
        await other.close()
        await client.close()


async def _transaction(client: asyncpg.Connection) -> None:
    async with client.transaction():
        for _ in range(3):
            await client.execute("UPDATE t SET n = n + 1 WHERE id = 1")


def _without_zeros(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
