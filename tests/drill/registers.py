"""What a client does with one register: the same in the drill and in the simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.drill.history import Outcome


async def use_one(client: Any, key: int, read: Any, token: Callable[[], int]) -> None:
    """Read it, write it, or compare and set it.

    `client`: has `chance`, `operate` and `change`. `read`: the operation that reads it. `token`:
    gives values that are never given again.
    """
    kind = client.chance.random()
    if kind < 0.4:
        await client.operate("registers", "read", key, None, read)
        return
    new = token()
    if kind < 0.7:
        sql = "UPDATE registers SET v = $1 WHERE id = $2"
        await client.operate(
            "registers", "write", key, new, lambda one, _: one.change(sql, new, key)
        )
        return
    before = await client.operate("registers", "read", key, None, read)
    if before is None or before.outcome is not Outcome.OK:
        return
    expected = before.result
    sql = "UPDATE registers SET v = $1 WHERE id = $2 AND v = $3"

    async def swap(one: Any, _: object) -> bool:
        changed: int = await one.change(sql, new, key, expected)
        return changed == 1

    await client.operate("registers", "cas", key, (expected, new), swap)
