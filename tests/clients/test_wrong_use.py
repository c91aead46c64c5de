"""What clients do wrong: a clear SQLSTATE each, and others go on."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

import psycopg
import pytest

from tests.clients.conftest import Rows
from tests.support.real_grid import RealGrid

WRONG = [
    ("selec 1", "42601"), ("SELECT * FROM nosuch", "42P01"), ("SELECT x FROM t", "42703"),
    ("SELECT nofunc(1)", "42883"), ("CREATE TABLE t (a int)", "42P07"),
    ("INSERT INTO t VALUES (12345678901, 'x')", "22003"),
    ("INSERT INTO t VALUES ('x', 'x')", "22P02"),
    (f"INSERT INTO t VALUES (1, '{'x' * 21}')", "22001"),
    ("INSERT INTO t VALUES (7, 'again')", "23505"), ("INSERT INTO t VALUES (NULL, 'x')", "23502"),
    ("INSERT INTO child VALUES (1, 99)", "23503"), ("DELETE FROM t", "23503"),
    ("SELECT 1/0", "22012"), ("SELECT id/0 FROM t", "22012"),
    ("SELECT 1 FROM dual" + " " * 500_000, "54000"), ("SELECT 1;" * 300_000, "54000"),
    ("SELECT " + "(" * 5000 + "1", "54001"), ("SELECT " + "1," * 2000 + "1", "54000"),
    ("EXECUTE nosuch", "26000"), ("FETCH 1 FROM nosuch", "34000"), ("LISTEN x", "0A000"),
    ("SELECT pg_advisory_lock(1)", "42883"),
]  # fmt: skip


def test_wrong_statements(client: psycopg.Connection[Rows]) -> None:
    client.execute("INSERT INTO t VALUES (7, 'seven')")
    client.execute("CREATE TABLE child (id NUMBER(5) PRIMARY KEY, t_id NUMBER(10) REFERENCES t)")
    client.execute("INSERT INTO child VALUES (0, 7)")
    got = []
    for sql, _ in WRONG:
        with pytest.raises(psycopg.Error) as caught:
            client.execute(sql.encode())
        got.append((sql[:40], caught.value.sqlstate))
    assert got == [(sql[:40], state) for sql, state in WRONG]
    assert client.execute("SELECT name FROM t WHERE id = 7").fetchone() == ("seven",)


@pytest.mark.parametrize(
    ("words", "state"),
    [({"password": "x"}, "28P01"), ({"user": "nosuch"}, "28P01"), ({"dbname": "nosuch"}, "3D000")],
)
def test_logins_that_are_refused(grid: RealGrid, words: dict[str, str], state: str) -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(**{**grid.words(grid.addresses()[0]), **words})
    assert caught.value.sqlstate in (state, None)
    assert "authentication failed" in str(caught.value) or "does not exist" in str(caught.value)


def test_a_key_that_came_later_is_found_by_foreign_keys(client: psycopg.Connection[Rows]) -> None:
    """Rows are placed by a hidden key then, as in pgbench's tables."""
    client.execute("DROP TABLE IF EXISTS p")
    client.execute("CREATE TABLE p (id TT_INTEGER NOT NULL)")
    client.cursor().executemany("INSERT INTO p VALUES (%s)", [(n,) for n in range(20)])
    client.execute("ALTER TABLE p ADD PRIMARY KEY (id)")
    client.execute("CREATE TABLE child (id TT_INTEGER, p_id TT_INTEGER REFERENCES p (id))")
    client.cursor().executemany("INSERT INTO child VALUES (%s, %s)", [(n, n) for n in range(20)])
    assert client.execute("SELECT count(*) FROM child").fetchone() == (20,)


def test_a_client_that_vanishes_leaves_no_locks(
    grid: RealGrid, client: psycopg.Connection[Rows]
) -> None:
    client.execute("INSERT INTO t VALUES (1, 'one')")
    for sql in ("UPDATE t SET name = 'gone'", "COPY t FROM STDIN"):
        other = psycopg.connect(**grid.words(grid.addresses()[1]))
        other.execute("BEGIN")
        other.execute("UPDATE t SET name = 'gone' WHERE id = 1")
        other.pgconn.send_query(sql.encode())
        other.pgconn.flush()
        with socket.socket(fileno=other.fileno()) as line:  # reset, not closed
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.shutdown(socket.SHUT_RDWR)
            line.detach()
        other.close()
        client.execute("UPDATE t SET name = 'mine' WHERE id = 1")
    assert client.execute("SELECT name FROM t").fetchall() == [("mine",)]


def test_a_wait_for_a_lock_can_be_cancelled(
    grid: RealGrid, client: psycopg.Connection[Rows]
) -> None:
    client.execute("INSERT INTO t VALUES (1, 'one')")
    with psycopg.connect(**grid.words(grid.addresses()[1])) as holder:
        holder.execute("BEGIN")
        holder.execute("UPDATE t SET name = 'held' WHERE id = 1")
        timer = threading.Timer(0.3, client.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("UPDATE t SET name = 'mine' WHERE id = 1")
        timer.join()
        holder.execute("ROLLBACK")
    assert client.execute("SELECT name FROM t").fetchall() == [("one",)]


@pytest.mark.parametrize("port", ["external", "internal"])
def test_garbage_on_either_port(
    grid: RealGrid, client: psycopg.Connection[Rows], port: str
) -> None:
    address = grid.addresses()[0]
    place = (
        (address, grid.plan.cs_port)
        if port == "external"
        else (address.replace("127.0.1.", "127.0.0."), grid.plan.daemon_port)
    )
    before = grid.daemon_pid(grid.hosts[0])
    with contextlib.ExitStack() as half_open:
        for data in (b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", bytes(5000), b"\xff" * 5000):
            line = half_open.enter_context(socket.create_connection(place, timeout=5))
            with contextlib.suppress(ConnectionError):
                line.sendall(data)
        assert client.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert grid.daemon_pid(grid.hosts[0]) == before


def test_many_idle_connections(grid: RealGrid, client: psycopg.Connection[Rows]) -> None:
    words = grid.words(grid.addresses()[0])
    with contextlib.ExitStack() as idle:
        for _ in range(100):
            idle.enter_context(psycopg.connect(**words))
        assert client.execute("SELECT count(*) FROM t").fetchone() == (0,)
