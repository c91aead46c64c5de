"""psycopg, asyncpg and psql against the frontend on the fake engine."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from decimal import Decimal

import asyncpg
import psycopg
import pytest
from psycopg import pq
from psycopg.rows import tuple_row

from tests.integration.session.conftest import PASSWORD, Server, eventually

ROW = {
    "id": 1,
    "ti": 255,
    "si": -32768,
    "bi": 2**63 - 1,
    "n": Decimal("12345678901234567890.0001"),
    "n2": Decimal("-99999999.99"),
    "n30": Decimal("1234567890123456789012345.67891"),
    "f": 1.5,
    "d": 0.1,
    "c": "ab   ",
    "v": "żółw 🐢",
    "nv": "",
    "dt": dt.datetime(2024, 2, 29, 23, 59, 58),
    "ts": dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
    "td": dt.date(1901, 1, 1),
    "tt": dt.time(12, 34, 56, 789),
    "vb": b"\x00\xff\\x",
    "b": True,
    "cl": "line\nline\t" * 100,
}
INSERT_TYPES = [
    "tt_integer", "tt_tinyint", "tt_smallint", "tt_bigint", "number", "number(10,2)",
    "number(30,5)", "binary_float", "binary_double", "char(5)", "varchar2", "nvarchar2", "date",
    "timestamp", "tt_date", "tt_time", "varbinary", "boolean", "clob",
]  # fmt: skip


@pytest.mark.parametrize("binary", [False, True])
async def test_psycopg_gets_back_every_type_it_wrote(server: Server, binary: bool) -> None:
    marks = ", ".join(f"%s::{name}" for name in INSERT_TYPES)
    async with await server.psycopg() as connection:
        cursor = connection.cursor(binary=binary)
        await cursor.execute(f"INSERT INTO typed VALUES ({marks})", list(ROW.values()))
        assert cursor.statusmessage == "INSERT 0 1"
        await cursor.execute("SELECT * FROM typed WHERE id = %s::int", [1])
        row = await cursor.fetchone()
    assert row is not None
    assert dict(zip(ROW, row, strict=True)) == ROW
    assert isinstance(row[4], Decimal)


async def test_psycopg_nulls(server: Server) -> None:
    marks = ", ".join(f"%s::{name}" for name in INSERT_TYPES)
    async with await server.psycopg() as connection:
        await connection.execute(f"INSERT INTO typed VALUES ({marks})", [7] + [None] * 18)
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            await cursor.execute("SELECT * FROM typed")
            assert await cursor.fetchall() == [(7,) + (None,) * 18]


async def test_asyncpg_gets_back_every_type_it_wrote(server: Server) -> None:
    connection = await server.asyncpg()
    marks = ", ".join(f"${n}::{name}" for n, name in enumerate(INSERT_TYPES, 1))
    await connection.execute(f"INSERT INTO typed VALUES ({marks})", *ROW.values())
    row = await connection.fetchrow("SELECT * FROM typed WHERE id = $1::int", 1)
    assert dict(row) == ROW
    many = [(n, f"name {n}") for n in range(500)]
    await connection.executemany("INSERT INTO t VALUES ($1::int, $2::text)", many)
    assert await connection.fetchval("SELECT count(*) FROM t") == 500
    await connection.close()


async def test_asyncpg_transactions_cursors_and_reset(server: Server) -> None:
    connection = await server.asyncpg()
    async with connection.transaction():
        await connection.executemany(
            "INSERT INTO t VALUES ($1::int, $2::text)", [(n, "x") for n in range(120)]
        )
        seen = []
        async for row in connection.cursor("SELECT id FROM t ORDER BY id", prefetch=50):
            seen.append(row["id"])
        assert seen == list(range(120))
    with pytest.raises(asyncpg.UniqueViolationError):
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (500, 'y')")
            await connection.execute("INSERT INTO t VALUES (1, 'y')")
    assert await connection.fetchval("SELECT count(*) FROM t") == 120
    await connection.close()


async def test_errors_carry_sqlstate_number_position_and_code(server: Server) -> None:
    async with await server.psycopg() as connection:
        with pytest.raises(psycopg.errors.UndefinedTable) as caught:
            await connection.execute("SELECT * FROM nosuch")
        assert caught.value.diag.message_primary == "TT2206: table nosuch not found"
        assert caught.value.diag.statement_position == "15"
        assert caught.value.diag.source_function == "UNKNOWN_TABLE"
        with pytest.raises(psycopg.errors.UndefinedTable) as caught:
            await connection.execute("SELECT 1; SELECT * FROM nosuch", prepare=False)
        assert caught.value.diag.statement_position == "25"
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            await connection.execute("SELECT %s::int", ["abc"])
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_transaction_status_follows(server: Server) -> None:
    async with await server.psycopg() as connection:
        status = connection.info
        assert status.transaction_status == pq.TransactionStatus.IDLE
        await connection.execute("BEGIN")
        assert status.transaction_status == pq.TransactionStatus.INTRANS
        with pytest.raises(psycopg.errors.UndefinedTable):
            await connection.execute("SELECT * FROM nosuch")
        assert status.transaction_status == pq.TransactionStatus.INERROR
        with pytest.raises(psycopg.Error):
            await connection.execute("SELECT 1")
        await connection.execute("ROLLBACK")
        assert status.transaction_status == pq.TransactionStatus.IDLE


async def test_a_bad_parameter_fails_the_transaction(server: Server) -> None:
    async with await server.psycopg() as connection:
        await connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            await connection.execute("SELECT %s::int", ["abc"])
        assert connection.info.transaction_status == pq.TransactionStatus.INERROR
        await connection.execute("ROLLBACK")


async def test_statements_of_one_simple_query_are_one_transaction(server: Server) -> None:
    async with await server.psycopg() as connection:

        async def run(sql: bytes) -> pq.abc.PGresult:
            return await asyncio.to_thread(connection.pgconn.exec_, sql)  # it blocks

        await run(b"INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b')")
        result = await run(
            b"INSERT INTO t VALUES (3, 'c'); INSERT INTO t VALUES (1, 'x'); SELECT 1"
        )
        assert result.status == pq.ExecStatus.FATAL_ERROR
        assert server.engine.run("SELECT id FROM t ORDER BY id") == [(1,), (2,)]
        result = await run(
            b"BEGIN; INSERT INTO t VALUES (3, 'c'); COMMIT; INSERT INTO t VALUES (1, '')"
        )
        assert result.status == pq.ExecStatus.FATAL_ERROR
        assert server.engine.run("SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,)]
        assert (await run(b"")).status == pq.ExecStatus.EMPTY_QUERY
        assert (await run(b" ; ")).status == pq.ExecStatus.EMPTY_QUERY
        assert (await run(b"SELECT 1; SELECT 2")).get_value(0, 0) == b"2"


async def test_psycopg_pipeline_is_atomic_to_its_sync(server: Server) -> None:
    async with await server.psycopg() as connection:
        async with connection.pipeline():
            for n in range(50):
                await connection.execute("INSERT INTO t VALUES (%s::int, %s::text)", [n, "p"])
        assert server.engine.run("SELECT count(*) FROM t") == [(50,)]
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with connection.pipeline():
                await connection.execute("INSERT INTO t VALUES (%s::int, 'q')", [100])
                await connection.execute("INSERT INTO t VALUES (%s::int, 'q')", [1])
                await connection.execute("INSERT INTO t VALUES (%s::int, 'q')", [101])
        assert server.engine.run("SELECT count(*) FROM t") == [(50,)]
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_prepared_statements_and_deallocate(server: Server) -> None:
    async with await server.psycopg(prepare_threshold=0) as connection:
        for n in range(5):
            cursor = await connection.execute("SELECT %s::int", [n], prepare=True)
            assert await cursor.fetchone() == (n,)
        await connection.execute("DEALLOCATE ALL")
        await connection.execute("PREPARE two AS SELECT $1::int, $2::text")
        cursor = connection.cursor(row_factory=tuple_row)
        await cursor.execute("EXECUTE two(7, 'it''s')", prepare=False)
        assert await cursor.fetchone() == (7, "it's")
        await connection.execute("DEALLOCATE two", prepare=False)
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            await connection.execute("EXECUTE two(1, 'a')", prepare=False)


async def test_server_side_cursors(server: Server) -> None:
    async with await server.psycopg() as connection:
        await connection.cursor().executemany(
            "INSERT INTO t VALUES (%s::int, 'x')", [(n,) for n in range(25)]
        )
        async with connection.transaction(), connection.cursor("c1") as cursor:
            await cursor.execute("SELECT id FROM t ORDER BY id")
            assert await cursor.fetchmany(10) == [(n,) for n in range(10)]
            await cursor.scroll(5)
            assert await cursor.fetchone() == (15,)
            assert await cursor.fetchall() == [(n,) for n in range(16, 25)]
        with pytest.raises(psycopg.Error, match="transaction block"):
            await connection.execute("DECLARE c2 CURSOR FOR SELECT 1")
        async with connection.cursor("held", withhold=True) as cursor:
            await cursor.execute("SELECT id FROM t ORDER BY id")
            assert await cursor.fetchmany(3) == [(0,), (1,), (2,)]


@pytest.mark.parametrize("size", [1, 7, 60_000])
async def test_copy_in_and_out(server: Server, size: int) -> None:
    rows = [(n, f'name\t{n}\\ "x",\n') for n in range(2000)]
    async with await server.psycopg() as connection:
        cursor = connection.cursor()
        for options in ("", "(FORMAT csv)", "(FORMAT binary)"):
            await connection.execute("DELETE FROM t")
            async with cursor.copy(f"COPY t FROM STDIN {options}") as copy:
                if options:
                    source = [] if "binary" in options else _csv(rows)
                    if "binary" in options:
                        copy.set_types(["int4", "text"])
                        for row in rows:
                            await copy.write_row(row)
                    data = "".join(source).encode()
                    for at in range(0, len(data), max(size, 50)):
                        await copy.write(data[at : at + max(size, 50)])
                else:
                    for row in rows:
                        await copy.write_row(row)
            assert cursor.statusmessage == "COPY 2000"
            assert server.engine.run("SELECT * FROM t ORDER BY id") == rows
            async with cursor.copy(f"COPY t TO STDOUT {options}") as copy:
                data = b"".join([bytes(chunk) async for chunk in copy])
            assert cursor.rowcount == 2000
            if "csv" in options:
                assert data.decode() == "".join(_csv(rows))
        async with cursor.copy("COPY t TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(["int4", "varchar"])
            assert [row async for row in copy.rows()] == rows


def _csv(rows: list[tuple[int, str]]) -> list[str]:
    return ['{},"{}"\n'.format(n, text.replace('"', '""')) for n, text in rows]


async def test_failing_copy_leaves_a_usable_connection(server: Server) -> None:
    async with await server.psycopg() as connection:
        cursor = connection.cursor()
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with cursor.copy("COPY t FROM STDIN") as copy:
                for _ in range(3000):
                    await copy.write_row((1, "dup"))
        with pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught:
            async with cursor.copy("COPY t FROM STDIN") as copy:
                await copy.write(b"1\tgood\nx\tbad\n")
        assert caught.value.diag.message_detail == "COPY, line 2, column id"
        with pytest.raises(ValueError, match="gives up"):
            async with cursor.copy("COPY t FROM STDIN") as copy:
                await copy.write(b"1\tgood\n")
                raise ValueError("the client gives up")
        assert server.engine.run("SELECT * FROM t") == []
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_asyncpg_copy(server: Server) -> None:
    connection = await server.asyncpg()
    rows = [(n, f"n{n}") for n in range(1000)]
    await connection.copy_to_table("t", source=_chunks(rows), format="csv")
    assert await connection.fetchval("SELECT count(*) FROM t") == 1000
    received = bytearray()

    async def take(data: bytes) -> None:
        received.extend(data)

    await connection.copy_from_query("SELECT id FROM t ORDER BY id", output=take)
    assert received.decode().split() == [str(n) for n in range(1000)]
    await connection.close()


async def _chunks(rows: list[tuple[int, str]]):  # type: ignore[no-untyped-def]
    for n, text in rows:
        yield f"{n},{text}\n".encode()


async def test_cancel_stops_a_running_statement(server: Server) -> None:
    async with await server.psycopg() as connection:
        running = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
        await eventually(lambda: server.engine.started == 1)
        await connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await running
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
    assert server.engine.cancels == 1


async def test_a_client_that_leaves_stops_its_statement(server: Server) -> None:
    connection = await server.psycopg()
    running = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
    await eventually(lambda: server.engine.started == 1)
    closed = server.engine.closed_executions
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await connection.close()
    await eventually(lambda: not server.engine.open_sessions)
    assert server.engine.closed_executions > closed or server.engine.cancels


async def test_parameters_that_drivers_expect(server: Server) -> None:
    async with await server.psycopg(application_name="tests", options="-c search_path=x") as one:
        info = one.info
        assert info.server_version == 150000
        assert info.parameter_status("integer_datetimes") == "on"
        assert info.parameter_status("client_encoding") == "UTF8"
        assert info.parameter_status("DateStyle") == "ISO, MDY"
        assert info.parameter_status("session_authorization") == "TERRY"
        assert info.parameter_status("is_superuser") == "off"
        assert info.parameter_status("application_name") == "tests"
        assert server.engine.parameters["search_path"] == "x"
        await one.execute("SET application_name TO 'other'")
        assert info.parameter_status("application_name") == "other"
    async with await server.psycopg(user="boss") as one:
        assert one.info.parameter_status("is_superuser") == "on"


async def test_wrong_password_unknown_user_and_unknown_database(server: Server) -> None:
    for options in ({"password": "wrong"}, {"user": "mallory"}):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            await server.psycopg(**options)
    with pytest.raises(psycopg.OperationalError, match='database "other" does not exist'):
        await server.psycopg(dbname="other")


async def test_connection_limit_keeps_places_for_administrators(server: Server) -> None:
    connections = [await server.psycopg() for _ in range(6)]
    with pytest.raises(psycopg.OperationalError, match="too many clients"):
        await server.psycopg()
    connections.append(await server.psycopg(user="boss"))
    connections.append(await server.psycopg(user="boss"))
    with pytest.raises(psycopg.OperationalError, match="too many clients"):
        await server.psycopg(user="boss")
    for connection in connections:
        await connection.close()
    await eventually(lambda: not server.frontend.session_count)
    await (await server.psycopg()).close()


async def test_slow_reader_stops_the_engine_and_gets_everything(server: Server) -> None:
    server.engine.run(
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 20000) "
        f"INSERT INTO t SELECT n, '{'x' * 100}' || hex(zeroblob(500)) FROM r"
    )
    async with await server.psycopg() as connection:
        pg = connection.pgconn
        pg.send_query(b"SELECT * FROM t /* later */")
        pg.flush()
        async with asyncio.timeout(20):
            await eventually(lambda: server.engine.stalls > 0)
            while pg.is_busy():
                pg.consume_input()
                await asyncio.sleep(0)
        result = pg.get_result()
        assert result is not None
        assert result.ntuples == 20000
        assert pg.get_result() is None


async def psql(server: Server, *arguments: str, host: str = "127.0.0.1") -> tuple[int, str, str]:
    """Run psql; exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        "psql", "-X", "-h", host, "-p", str(server.port), *arguments,
        env={**os.environ, "PGPASSWORD": PASSWORD, "PSQL_HISTORY": "/dev/null"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def test_psql_over_tcp_and_the_local_socket(server: Server) -> None:
    login = ("-U", "terry", "-d", "database1", "-At")
    code, out, _ = await psql(server, *login, "-c", "INSERT INTO t VALUES (1, 'a')", "-c",
                              "SELECT * FROM t; SELECT count(*) FROM t")  # fmt: skip
    assert (code, out) == (0, "INSERT 0 1\n1|a\n1\n")
    code, _, errors = await psql(server, *login, "-c", "SELECT * FROM nosuch")
    assert code == 1
    assert "TT2206: table nosuch not found\nLINE 1: SELECT * FROM nosuch\n" in errors
    code, out, _ = await psql(
        server, "-d", "database1", "-At", "-c", "SELECT 7", host=str(server.folder)
    )
    assert (code, out) == (0, "7\n"), "the OS user of the daemon needs no password"
    code, out, _ = await psql(server, *login, "-c", "SELECT id FROM t \\gdesc")
    assert out == "", "-c takes no meta-command"


async def test_peer_credentials_only_make_the_administrator(server: Server) -> None:
    code, _, errors = await psql(
        server, "-U", "mallory", "-d", "database1", "-w", "-c", "SELECT 1", host=str(server.folder)
    )
    assert code == 2
    assert "password authentication failed" in errors


async def test_a_busy_client_knows_that_its_last_request_was_not_carried_out(
    server: Server,
) -> None:
    """Not just a lost connection, after which it could not tell."""
    clients = [await server.psycopg() for _ in range(4)]
    asked = [0] * len(clients)

    async def work(number: int) -> str | None:
        try:
            while True:
                asked[number] += 1
                await clients[number].execute("SELECT 1")
        except psycopg.OperationalError as error:
            return error.sqlstate

    working = [asyncio.create_task(work(number)) for number in range(len(clients))]
    await eventually(lambda: min(asked) > 10)
    await server.frontend.drain(10)
    assert await asyncio.gather(*working) == ["57P01"] * len(clients)
    for client in clients:
        await client.close()


async def test_drain_ends_idle_sessions_and_lets_transactions_finish(server: Server) -> None:
    idle, busy = await server.psycopg(), await server.psycopg()
    await busy.execute("BEGIN")
    draining = asyncio.create_task(server.frontend.drain(10))
    await eventually(lambda: server.frontend.session_count <= 1)
    with pytest.raises(psycopg.OperationalError):
        await idle.execute("SELECT 1")
    await busy.execute("INSERT INTO t VALUES (1, 'kept')")
    await busy.execute("COMMIT")
    await draining
    assert server.engine.run("SELECT id FROM t") == [(1,)]
    await idle.close()
    await busy.close()
