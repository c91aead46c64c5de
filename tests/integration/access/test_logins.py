"""Logins as profiles allow them, over the elements of a grid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from data.access.profiles import DAY_US
from data.exec import logins
from tests.support.memory_grid import DATABASE, MemoryGrid, running_grid

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOCKED = asyncpg.InvalidAuthorizationSpecificationError
WRONG = asyncpg.InvalidPasswordError
Login = Callable[..., Awaitable[asyncpg.Connection]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def grid(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[MemoryGrid]:
    async with running_grid(Path(tmp_path_factory.mktemp("grid")), session_timeout_s=5.0) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def admin(grid: MemoryGrid) -> AsyncIterator[asyncpg.Connection]:
    connection = await grid.connect_admin(0)
    await connection.execute("CREATE USER bob IDENTIFIED BY 'bob'")
    await connection.execute("GRANT CREATE SESSION TO bob")
    yield connection
    await connection.execute("DROP USER bob")
    await connection.execute("DROP PROFILE p CASCADE")
    await connection.close()


async def log_in(
    grid: MemoryGrid, at: int, password: str = "bob", user: str = "bob"
) -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1",
        port=grid.nodes[at].settings.cs_port,
        user=user,
        password=password,
        database=DATABASE,
        ssl=False,  # with it asyncpg tries each password twice
        timeout=10,
    )


async def fits(grid: MemoryGrid, at: int) -> None:
    await (await log_in(grid, at)).close()


async def heard(grid: MemoryGrid, at: int, name: str, count: int) -> None:
    """Wait until an instance knows of so many failures."""
    node = grid.nodes[at]
    assert node.instance is not None
    known = node.instance.database(DATABASE).space.logins
    async with asyncio.timeout(10):
        while known.failures(name) != count:
            await asyncio.sleep(0.01)  # news come one way: nobody can be asked


async def test_an_account_locks_on_all_elements_and_is_unlocked(
    grid: MemoryGrid, admin: asyncpg.Connection
) -> None:
    await admin.execute("CREATE PROFILE p LIMIT FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME 1")
    await admin.execute("ALTER USER bob PROFILE p")
    for at in (0, 1):
        with pytest.raises(WRONG):
            await log_in(grid, at, "guess")
    await heard(grid, 0, "BOB", 2)
    await heard(grid, 1, "BOB", 2)
    await fits(grid, 0)  # in a row: a success begins anew
    await heard(grid, 1, "BOB", 0)
    for at in (0, 1, 1):
        with pytest.raises(WRONG):
            await log_in(grid, at, "guess")
    for at in (0, 1):
        await heard(grid, at, "BOB", 3)
        with pytest.raises(LOCKED, match="account of user BOB is locked"):
            await log_in(grid, at)
    before = grid.nodes[0].instance.database(DATABASE).space.schema_version  # type: ignore[union-attr]
    with pytest.raises(LOCKED, match="locked"):
        await log_in(grid, 0, "guess")
    status = "SELECT account_status FROM sys.dba_users WHERE username = 'BOB'"
    assert await admin.fetchval(status) == "LOCKED(TIMED)"
    after = grid.nodes[0].instance.database(DATABASE).space.schema_version  # type: ignore[union-attr]
    assert after == before, "attempts change nothing that is stored"
    await admin.execute("ALTER USER bob ACCOUNT UNLOCK")
    assert await admin.fetchval(status) == "OPEN"
    for at in (0, 1):
        await fits(grid, at)


async def test_many_at_once_get_no_more_guesses(
    grid: MemoryGrid, admin: asyncpg.Connection
) -> None:
    await admin.execute("CREATE PROFILE p LIMIT FAILED_LOGIN_ATTEMPTS 5 PASSWORD_LOCK_TIME 1")
    await admin.execute("ALTER USER bob PROFILE p")
    tries = [log_in(grid, 0, f"guess{n}") for n in range(30)]
    errors = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(error, WRONG) for error in errors) == 5
    assert sum(type(error) is LOCKED for error in errors) == 25
    for at in (1, 2, 3):  # the news is of this test's user, not of the next one's
        await heard(grid, at, "BOB", 5)


async def test_a_lock_without_an_end_is_kept(grid: MemoryGrid, admin: asyncpg.Connection) -> None:
    await admin.execute(
        "CREATE PROFILE p LIMIT FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNLIMITED"
    )
    await admin.execute("ALTER USER bob PROFILE p")
    with pytest.raises(WRONG):
        await log_in(grid, 1, "guess")
    async with asyncio.timeout(10):
        status = "SELECT account_status FROM sys.dba_users WHERE username = 'BOB'"
        while await admin.fetchval(status) != "LOCKED":
            await asyncio.sleep(0.01)  # it is stored in its own time
    for at in (0, 1):
        with pytest.raises(LOCKED, match="locked"):
            await log_in(grid, at)


async def test_names_of_nobody_look_like_users(grid: MemoryGrid, admin: asyncpg.Connection) -> None:
    await admin.execute("CREATE PROFILE p LIMIT")
    for _ in range(10):
        with pytest.raises(WRONG):
            await log_in(grid, 0, user="nobody")
    with pytest.raises(LOCKED, match="locked"):
        await log_in(grid, 0, user="nobody")


async def test_accounts_and_passwords_are_locked_and_expire(
    grid: MemoryGrid, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await admin.execute("CREATE PROFILE p LIMIT PASSWORD_LIFE_TIME 10 PASSWORD_GRACE_TIME 2")
    await admin.execute("ALTER USER bob PROFILE p ACCOUNT LOCK")
    with pytest.raises(LOCKED, match="locked"):
        await log_in(grid, 1)
    await admin.execute("ALTER USER bob ACCOUNT UNLOCK PASSWORD EXPIRE")
    with pytest.raises(WRONG):
        await log_in(grid, 1, "guess")
    with pytest.raises(LOCKED, match="expired"):
        await log_in(grid, 1)
    await admin.execute("ALTER USER bob IDENTIFIED BY 'bob'")
    await fits(grid, 1)
    now_us = logins.wall_us()
    monkeypatch.setattr(logins, "wall_us", lambda: now_us + 11 * DAY_US)
    seen: list[str] = []
    warned = await log_in(grid, 1)
    warned.add_log_listener(lambda _connection, message: seen.append(message.message))
    assert await warned.fetchval("SELECT USER FROM dual") == "BOB"
    await warned.close()
    monkeypatch.setattr(logins, "wall_us", lambda: now_us + 12 * DAY_US)
    with pytest.raises(LOCKED, match="expired"):
        await log_in(grid, 1)


@pytest.mark.asyncio(loop_scope="function")
async def test_users_locks_and_profiles_outlive_a_restart(tmp_path: Path) -> None:
    async with running_grid(tmp_path, k=2, sets=1, session_timeout_s=5.0) as grid:
        admin = await grid.connect_admin(0)
        for text in (
            "CREATE USER bob IDENTIFIED BY 'bob' ACCOUNT LOCK",
            "GRANT CREATE SESSION TO bob, PUBLIC",
            "CREATE PROFILE p LIMIT FAILED_LOGIN_ATTEMPTS 3",
            "ALTER USER bob PROFILE p",
        ):
            await admin.execute(text)
        await grid.stop_node(grid.nodes[1])
        await grid.start_node(grid.nodes[1])
        await grid.ready(grid.nodes[1])
        with pytest.raises(LOCKED, match="locked"):
            await log_in(grid, 1)
        await admin.execute("ALTER USER bob ACCOUNT UNLOCK")
        await admin.execute("REVOKE CREATE SESSION FROM bob")
        await fits(grid, 1)
        there = await grid.connect_admin(1)
        row = await there.fetchrow("SELECT * FROM dba_users WHERE username = 'BOB'")
        assert (row["profile"], row["account_status"]) == ("P", "OPEN")
        await there.close()
        await admin.close()
