"""Which isolation level a transaction has, and how a client says so."""

from __future__ import annotations

import pytest

from data.txn.isolation import Isolation, isolation_of, isolation_of_attribute
from protocol.errors import ParameterError
from tests.support.memory_grid import MemoryGrid


def test_levels_have_the_names_of_the_standard() -> None:
    assert isolation_of("read  committed") is Isolation.READ_COMMITTED
    assert isolation_of("READ UNCOMMITTED") is Isolation.READ_COMMITTED
    assert isolation_of("REPEATABLE READ") is Isolation.REPEATABLE_READ
    assert isolation_of("serializable") is Isolation.SERIALIZABLE
    with pytest.raises(ParameterError):
        isolation_of("chaos")


def test_the_database_attribute_counts_as_timesten_does() -> None:
    assert isolation_of_attribute(0) is Isolation.SERIALIZABLE
    assert isolation_of_attribute(1) is Isolation.READ_COMMITTED


async def test_show_gives_the_level_in_force(grid: MemoryGrid) -> None:
    client = await grid.connect()
    assert await client.fetchval("SHOW transaction_isolation") == "read committed"
    await client.execute("BEGIN ISOLATION LEVEL READ UNCOMMITTED")
    assert await client.fetchval("SHOW transaction_isolation") == "read uncommitted"
    await client.execute("COMMIT")
    await client.execute("SET default_transaction_isolation = 'Read  Uncommitted'")
    assert await client.fetchval("SHOW default_transaction_isolation") == "read uncommitted"
    assert await client.fetchval("SHOW transaction_isolation") == "read uncommitted"
    await client.execute("SET default_transaction_isolation = 'READ COMMITTED'")
    assert await client.fetchval("SHOW default_transaction_isolation") == "read committed"
    assert (
        await client.fetchval("SELECT current_setting('transaction_isolation')") == "read committed"
    )
    for level in Isolation:
        await client.execute(f"BEGIN ISOLATION LEVEL {level.sql_name}")
        assert await client.fetchval("SHOW transaction_isolation") == level.sql_name
        await client.execute("COMMIT")
    await client.close()
