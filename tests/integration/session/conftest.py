"""A frontend on the fake engine, per test, on uvloop as in the daemons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg
import pytest
import uvloop

from data.session.frontend import Frontend
from protocol.pgwire.scram import make_verifier
from tests.support.fake_engine import FakeEngine

PASSWORD = "sècret with spaces"
VERIFIER = make_verifier(PASSWORD)
# blob_ in a name keeps SQLite from converting the values of the column
TYPED = """CREATE TABLE typed (
    id tt_integer PRIMARY KEY, ti tt_tinyint, si tt_smallint, bi tt_bigint, n blob_number,
    n2 blob_number(10,2), n30 blob_number(30,5), f binary_float, d binary_double, c char(5),
    v varchar2(20), nv nvarchar2(20), dt date, ts timestamp, td tt_date, tt tt_time, vb varbinary,
    b boolean, cl clob)"""


async def eventually(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait until something in this process, which announces it to nobody, is so."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)  # polls: see above


@dataclass
class Server:
    """What tests need to connect."""

    frontend: Frontend
    engine: FakeEngine
    port: int
    folder: Path

    async def psycopg(self, **options: object) -> psycopg.AsyncConnection:
        """A psycopg connection; autocommit."""
        given = {"user": "terry", "password": PASSWORD, "dbname": "database1", **options}
        return await psycopg.AsyncConnection.connect(
            host="127.0.0.1", port=self.port, autocommit=True, **given
        )

    async def asyncpg(self, **options: object) -> asyncpg.Connection:
        """An asyncpg connection."""
        given = {"user": "terry", "password": PASSWORD, "database": "database1", **options}
        return await asyncpg.connect(host="127.0.0.1", port=self.port, ssl=False, **given)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as in the daemons, and asyncio's own, which behaves a little differently."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A listening frontend with users terry (password), boss (an administrator) and nobody."""
    engine = FakeEngine(
        {"terry": VERIFIER, "boss": VERIFIER, "trusted": None}, admins=frozenset({"boss"})
    )
    engine.run(TYPED)
    engine.run("CREATE TABLE t (id tt_integer PRIMARY KEY, name varchar2(100))")
    frontend = Frontend(engine, connections_max=8, connections_reserved=2)
    port = await frontend.listen("127.0.0.1", 0)
    await frontend.listen_local(tmp_path, port)
    yield Server(frontend, engine, port, tmp_path)
    await frontend.stop()
    assert engine.open_sessions == 0, "every engine session was closed"
