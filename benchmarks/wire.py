"""What the wire protocol and the client session cost, above the engine.

    python benchmarks/wire.py                 CPU per prepared statement and per row, no sockets
    python benchmarks/wire.py --pgbench       also pgbench over TCP against the fake SQLite engine

The first figures drive a Session with recorded client messages and an engine that answers at once;
the price of that engine's own calls is measured too and subtracted. Compare runs only on a quiet
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.session.engine import AuthInfo, ResultColumn, ResultSink, RowEncoder
from data.session.frontend import Frontend
from data.session.session import Session
from protocol.errors import GridError
from protocol.pgwire.scram import Verifier, make_verifier
from protocol.pgwire.values import row_encoder
from protocol.sqltypes import Kind, SqlType, StorageValue

INTEGER = SqlType(Kind.INTEGER)
ROUNDS = 7
CALLS = 20_000


class InstantPrepared:
    """SELECT of one integer by one integer, a parameter or a literal."""

    columns = (ResultColumn("abalance", INTEGER),)
    tag_kind = "SELECT"
    copy = None

    def __init__(self, *param_types: SqlType) -> None:
        self.param_types = param_types


class InstantSession:
    """Answers every statement with one row, inside the call."""

    transaction_status = b"I"
    user = "TERRY"
    login_warning = ""
    statement_timeout_s = idle_in_transaction_timeout_s = idle_session_timeout_s = 0.0
    outcome_is_open = False
    parameters: dict[str, str] = {}

    def __init__(self) -> None:
        self.prepared, self.plain = InstantPrepared(INTEGER), InstantPrepared()
        self.row = [(4711,)]

    def split(self, sql: str) -> list[str]:
        return [sql]

    def prepare(self, sql: str, types: tuple[SqlType | None, ...]) -> InstantPrepared:
        return self.prepared if "$1" in sql else self.plain

    def prepare_later(self, *args: object) -> None: ...

    def split_later(self, *args: object) -> None: ...

    def execute(
        self,
        prepared: InstantPrepared,
        values: tuple[StorageValue, ...],
        encoder: RowEncoder,
        max_rows: int,
        sink: ResultSink,
    ) -> None:
        sink.rows(encoder(self.row), 1)
        sink.done("SELECT 1")

    def succeeded(self, tag: str) -> None: ...

    def fail_transaction(self, error: GridError) -> None:
        raise error

    def begin_implicit(self) -> None: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class InstantEngine:
    """Trusts everybody."""

    def authenticate_info(self, database: str, user: str) -> AuthInfo:
        return AuthInfo(None, trust=True)

    def check_login(self, database: str, user: str) -> None: ...

    def login_failed(self, database: str, user: str) -> None: ...

    def open_session(self, *args: object) -> InstantSession:
        return InstantSession()


class NoHost:
    """A session's host without a listener."""

    engine = InstantEngine()

    def verifier(self, user: str, text: str | None) -> Verifier:
        raise AssertionError

    def is_administrator(self, peer_uid: int | None, user: str) -> bool:
        return False

    def admit(self, session: Session) -> tuple[int, int]:
        return 1, 1

    def cancel(self, pid: int, secret: int) -> None: ...

    def fault(self, session: Session, error: Exception) -> GridError:
        raise error


class NoLink:
    """A transport that swallows."""

    def __init__(self) -> None:
        self.last: bytes | bytearray = b""

    def write(self, data: bytes | bytearray) -> None:
        self.last = data

    def close(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def call_soon(self, callback: Callable[[], None]) -> None: ...


def message(kind: bytes, payload: bytes) -> bytes:
    """A client message."""
    return kind + struct.pack("!i", len(payload) + 4) + payload


def best_us(call: Callable[[], object], calls: int = CALLS) -> float:
    """Microseconds per call: the best of several rounds."""
    best = float("inf")
    gc.disable()
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(calls):
            call()
        best = min(best, time.thread_time() - started)
    gc.enable()
    return best / calls * 1e6


def open_session() -> tuple[Session, NoLink]:
    """A session after its start, with statement s1 prepared."""
    link = NoLink()
    session = Session(NoHost(), link, offers_tls=False, peer_uid=None)  # type: ignore[arg-type]
    parameters = b"user\0terry\0database\0database1\0\0"
    session.received(struct.pack("!ii", len(parameters) + 8, 3 << 16) + parameters)
    session.received(message(b"P", b"s1\0SELECT $1\0\0\0") + message(b"S", b""))
    return session, link


def statement_costs() -> None:
    """CPU of one warm statement from its bytes to the reply's bytes."""
    session, link = open_session()
    execute, sync = message(b"E", b"\0\0\0\0\0"), message(b"S", b"")
    describe = message(b"D", b"P\0")
    text = struct.pack("!hhi", 0, 1, 5) + b"12345" + struct.pack("!h", 0)
    binary = struct.pack("!hhhi", 1, 1, 1, 4) + struct.pack("!ihh", 12345, 1, 1)
    bind = {
        "text": message(b"B", b"\0s1\0" + text),
        "binary": message(b"B", b"\0s1\0" + binary),
        "named": message(b"B", b"p1\0s1\0" + text),
    }
    inner = InstantSession()
    encoders = {f: row_encoder((INTEGER,), (f,)) for f in (0, 1)}
    floor = {f: best_us(lambda f=f: encoders[f](inner.row)) for f in (0, 1)}  # type: ignore[misc]
    print(f"encoding that row, in the engine's part: {floor[0]:.2f} text, {floor[1]:.2f} binary")
    cases = {
        "Bind Describe Execute Sync, text (libpq)": (bind["text"] + describe + execute + sync, 0),
        "Bind Execute Sync, text": (bind["text"] + execute + sync, 0),
        "Bind Execute Sync, binary (asyncpg, JDBC)": (bind["binary"] + execute + sync, 1),
        "Bind Execute Sync, named portal": (
            bind["named"] + message(b"E", b"p1\0\0\0\0\0") + sync,
            0,
        ),
        "simple query": (message(b"Q", b"SELECT abalance FROM accounts WHERE aid = 5\0"), 0),
    }
    for name, (data, format) in cases.items():
        cost = best_us(lambda data=data: session.received(data))  # type: ignore[misc]
        assert link.last.endswith(b"Z\0\0\0\x05I"), link.last
        print(f"{name:45} {cost:6.2f} µs, {cost - floor[format]:5.2f} above the encoding")
    pipeline = (bind["text"] + execute + sync) * 20
    cost = best_us(lambda: session.received(pipeline), CALLS // 20) / 20
    print(f"{'Bind Execute Sync, text, 20 in one chunk':45} {cost:6.2f} µs each")


def row_costs() -> None:
    """Nanoseconds per value of the row encoders."""
    samples: dict[str, tuple[SqlType, StorageValue]] = {
        "TT_INTEGER": (INTEGER, 123456),
        "NUMBER(10,2)": (SqlType(Kind.NUMBER, 10, 2), 1234567),
        "NUMBER": (SqlType(Kind.NUMBER), "1234567.89"),
        "BINARY_DOUBLE": (SqlType(Kind.BINARY_DOUBLE), 1234.5),
        "VARCHAR2(30)": (SqlType(Kind.VARCHAR, length=30), "Margaret Hamilton"),
        "CHAR(10)": (SqlType(Kind.CHAR, length=10), "abc"),
        "DATE": (SqlType(Kind.DATE), 1_700_000_000_000_000),
        "TIMESTAMP(6)": (SqlType(Kind.TIMESTAMP, 6), 1_700_000_000_123_456),
        "VARBINARY(16)": (SqlType(Kind.VARBINARY, length=16), b"\0" * 16),
    }
    print(f"\n{'10 columns × 1000 rows, ns per value':45}   text  binary")
    for name, (kind, value) in samples.items():
        rows = [(value,) * 10] * 1000
        encoders = [row_encoder((kind,) * 10, (format,)) for format in (0, 1)]
        costs = [best_us(partial(encode, rows), 5) for encode in encoders]
        print(f"{name:45} {costs[0] / 10:6.0f}  {costs[1] / 10:6.0f}")


async def serve_until(stop: asyncio.Event, started: Callable[[int], None]) -> None:
    """A frontend over the fake engine with pgbench's biggest table."""
    from tests.support.fake_engine import FakeEngine

    engine: Any = FakeEngine({"terry": make_verifier("secret")})
    engine.run("CREATE TABLE pgbench_accounts (aid tt_integer PRIMARY KEY, abalance tt_integer)")
    engine.run(
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 100000) "
        "INSERT INTO pgbench_accounts SELECT n, n FROM r"
    )
    frontend = Frontend(engine)
    started(await frontend.listen("127.0.0.1", 0))
    await stop.wait()
    await frontend.stop()


def pgbench_costs(seconds: int) -> None:
    """Transactions per second of pgbench -S against one process."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

            def report(port: int) -> None:
                os.write(write_end, port.to_bytes(4, "big"))

            runner.run(serve_until(asyncio.Event(), report))
    port = int.from_bytes(os.read(read_end, 4), "big")
    environment = dict(os.environ, PGPASSWORD="secret")
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write("\\set aid random(1, 100000)\n")
            script.write("SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n")
            script.flush()
            print()
            for mode in ("prepared", "extended", "simple"):
                for clients in (1, 4, 16):
                    command = f"pgbench -h 127.0.0.1 -p {port} -U terry -n -M {mode} -T {seconds}"
                    command += f" -c {clients} -f {script.name} database1"
                    done = subprocess.run(
                        command.split(), env=environment, capture_output=True, text=True, check=True
                    )
                    tps = next(line for line in done.stdout.splitlines() if "tps" in line)
                    print(f"pgbench -S -M {mode:9} -c {clients:3}: {tps}")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pgbench", action="store_true")
    parser.add_argument("--seconds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"Python {sys.version.split()[0]}; µs of CPU, best of {ROUNDS} rounds")
    statement_costs()
    row_costs()
    if arguments.pgbench:
        pgbench_costs(arguments.seconds)


if __name__ == "__main__":
    main()
