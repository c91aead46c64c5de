"""What comes over a socket and is no well-behaved client: at worst that connection alone ends."""

from __future__ import annotations

import asyncio
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from data.session.frontend import Frontend
from protocol.errors import DatabaseClosedError
from protocol.limits import WIRE_MESSAGE_BYTES_MAX
from protocol.tls import ServerTls
from tests.integration.session.conftest import PASSWORD, VERIFIER, Server, eventually
from tests.support.fake_engine import FakeEngine
from tests.support.wire import kinds, message, query, split, startup


@asynccontextmanager
async def raw(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass


async def still_serves(server: Server) -> None:
    """Others do not notice."""
    async with await server.psycopg() as connection:
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),  # a TLS hello, unasked
        bytes(1000),
        b"\xff" * 1000,
        startup("terry") + message("p", b"x" * 100),
        startup("terry") + query("SELECT 1"),
        startup("trusted") + message("Z", b"\0" * 50),
        startup("trusted") + b"Q" + struct.pack("!i", WIRE_MESSAGE_BYTES_MAX + 1),
    ],
)
async def test_garbage_gets_an_error_and_its_connection_closed(
    server: Server, garbage: bytes
) -> None:
    async with raw(server) as (reader, writer):
        writer.write(garbage)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert kinds(split(answer)).endswith("E")
    await still_serves(server)


async def test_half_a_message_waits_and_holds_nobody_up(server: Server) -> None:
    async with raw(server) as (reader, writer), raw(server) as (_, silent):
        writer.write(startup("trusted") + query("SELECT 1")[:7])
        silent.write(b"\0\0")
        await reader.readuntil(b"Z\0\0\0\5I")
        await still_serves(server)
        writer.write(query("SELECT 1")[7:])
        assert kinds(split(await reader.readuntil(b"Z\0\0\0\5I"))) == "TDCZ"


async def test_resets_in_every_state_leave_nothing_behind(server: Server) -> None:
    for data in (
        b"",
        startup("terry"),
        startup("trusted"),
        startup("trusted") + query("BEGIN"),
        startup("trusted") + query("SELECT pg_sleep(30)"),
        startup("trusted") + query("COPY t FROM STDIN") + message("d", b"1\tx\n"),
    ):
        async with raw(server) as (_, writer):
            writer.write(data)
            await asyncio.sleep(0.02)  # the reset must find the server in the midst of it
            writer.transport.abort()
    await eventually(lambda: not server.engine.open_sessions)
    assert server.engine.run("SELECT * FROM t") == []
    await still_serves(server)


async def test_a_large_message_arrives_whole(server: Server) -> None:
    text = "x" * 20_000_000
    async with await server.psycopg() as connection:
        cursor = await connection.execute("SELECT length(%s::text)", [text])
        assert await cursor.fetchone() == (str(len(text)),)  # the fake knows no type


async def test_authentication_has_a_time_limit() -> None:
    frontend = Frontend(FakeEngine({}), authentication_timeout_s=0.1)
    port = await frontend.listen("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = await asyncio.wait_for(reader.read(), 5)
    assert b"authentication took too long" in answer
    writer.close()
    await writer.wait_closed()
    await frontend.stop()


async def test_a_wrong_cancel_secret_cancels_nothing(server: Server) -> None:
    async with await server.psycopg() as connection:
        running = asyncio.create_task(connection.execute("SELECT pg_sleep(0.3)"))
        await eventually(lambda: server.engine.started == 1)
        async with raw(server) as (reader, writer):
            pid = connection.info.backend_pid
            writer.write(struct.pack("!iiII", 16, 80877102, pid, 12345))
            assert await reader.read() == b""
        await running
    assert server.engine.cancels == 0


async def test_closing_a_database_ends_its_sessions(server: Server) -> None:
    connection = await server.psycopg()
    server.frontend.close_database("DATABASE1", DatabaseClosedError("database1 is closed"))
    with pytest.raises(psycopg.OperationalError):
        await connection.execute("SELECT 1")
    await connection.close()
    assert server.frontend.session_count == 0


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem and key.pem of a self-signed certificate."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    both = (folder / "key.pem").read_text() + (folder / "cert.pem").read_text()
    (folder / "server.pem").write_text(both)
    return folder


@asynccontextmanager
async def tls_server(certificate: Path, *, requires_tls: bool = False) -> AsyncIterator[Server]:
    """A frontend that offers TLS."""
    engine = FakeEngine({"terry": VERIFIER})
    frontend = Frontend(
        engine, tls=ServerTls(certificate / "server.pem"), requires_tls=requires_tls
    )
    port = await frontend.listen("127.0.0.1", 0)
    try:
        yield Server(frontend, engine, port, certificate)
    finally:
        await frontend.stop()
        assert engine.open_sessions == 0


async def test_tls_where_it_is_offered(certificate: Path) -> None:
    async with tls_server(certificate) as server:
        for mode in ("require", "verify-ca", "disable"):
            options = {"sslmode": mode, "sslrootcert": str(certificate / "cert.pem")}
            async with await server.psycopg(**options) as connection:
                assert connection.pgconn.ssl_in_use == (mode != "disable")
                numbers = "SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9999"
                cursor = await connection.execute(
                    f"WITH RECURSIVE r(n) AS ({numbers}) SELECT n FROM r"
                )
                rows = await cursor.fetchall()
                assert len(rows) == 9999


async def test_where_tls_is_required_nobody_comes_in_without(
    certificate: Path, tmp_path: Path
) -> None:
    async with tls_server(certificate, requires_tls=True) as server:
        with pytest.raises(psycopg.OperationalError, match="wants encrypted connections"):
            await server.psycopg(sslmode="disable")
        async with await server.psycopg(sslmode="allow") as connection:  # tries both
            assert connection.pgconn.ssl_in_use
            running = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
            await eventually(lambda: server.engine.started == 1)
            (session,) = server.frontend._sessions.values()
            async with raw(server) as (reader, writer):  # older libpq sends it in clear text
                writer.write(struct.pack("!iiII", 16, 80877102, session.pid, session.secret))
                assert await asyncio.wait_for(reader.read(), 5) == b""
            with pytest.raises(psycopg.errors.QueryCanceled):
                await running
        folder = tmp_path / "socket"
        folder.mkdir()
        await server.frontend.listen_local(folder, server.port)
        login = {"user": "terry", "password": PASSWORD, "dbname": "database1"}
        local = await psycopg.AsyncConnection.connect(
            host=str(folder),
            port=server.port,
            **login,  # type: ignore[arg-type]
        )
        assert not local.pgconn.ssl_in_use
        await local.close()


async def test_tls_refused_where_it_is_not_offered(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        await server.psycopg(sslmode="require")
    await (await server.psycopg(sslmode="prefer", password=PASSWORD)).close()


async def test_bytes_smuggled_behind_the_tls_request_are_refused(certificate: Path) -> None:
    async with tls_server(certificate) as server, raw(server) as (reader, writer):
        writer.write(struct.pack("!ii", 8, 80877103) + startup("terry"))
        assert b"unencrypted data after SSL request" in await asyncio.wait_for(reader.read(), 5)
    async with tls_server(certificate) as server, raw(server) as (reader, writer):
        writer.write(struct.pack("!ii", 8, 80877103))
        assert await reader.readexactly(1) == b"S"
        writer.write(b"this is no TLS hello")
        answer = await asyncio.wait_for(reader.read(), 5)
        assert b"S\0\0\0" not in answer, "nothing is said in clear text after that"
