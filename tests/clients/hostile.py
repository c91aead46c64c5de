"""Clients that want to do harm, and one that just works beside them.

`python -m tests.clients.hostile` runs all attacks, longer, against a grid of its own and prints
what they did to the other client and to the instance's memory: --idle 10000, --seconds 5.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import random
import resource
import shutil
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.support.real_grid import RealGrid
from tests.support.wire import query, startup

MIB = 1024 * 1024
LIMITS = ("54000", "54001", "22003", "57014", "0A000", "53000", "22023")
BOMBS = (
    "SELECT rpad('x', 2000000000)",
    "SELECT length(repeat('x', 2000000000))",
    "SELECT replace(rpad('x', 4000000, 'x'), 'x', rpad('y', 4000000, 'y'))",
    "SELECT power(10, 1e9)",
    "SELECT exp(1000000)",
    "SELECT 1 FROM dual WHERE regexp_like(rpad('a', 40, 'a') || '!', '^(a|aa)+$')",
    "SELECT regexp_count(rpad('a', 4000000, 'a'), '(a+)+b')",
    "SELECT count(*) FROM pg_class a, pg_class b, pg_class c, pg_class d, pg_class e",
    "SELECT count(*) FROM victim a, victim b, victim c, victim d, victim e, victim f",
    "SELECT sum(length(rpad(a.name, 1000000))) FROM victim a, victim b, victim c",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "SELECT " + "array[" * 100 + "1" + "]" * 100,
    "SELECT 1" + " + 1" * 100_000,
    "WITH a0 AS (SELECT 1 x FROM dual)"
    + "".join(f", a{n} AS (SELECT p.x FROM a{n - 1} p, a{n - 1} q)" for n in range(1, 30))
    + " SELECT count(*) FROM a29",
    "SELECT 'x' LIKE rpad('%a', 100000, '%a')",
    "EXECUTE p (" + "1, " * 200_000 + "1)",
    "SELECT 1; " * 250_000,
)


@dataclass
class Victim:
    """A client that reads one row again and again; `worst_s` is its slowest answer."""

    grid: RealGrid
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def _run(self, begun: threading.Event, stop: threading.Event) -> None:
        with psycopg.connect(**self.grid.words(self.grid.addresses()[0])) as connection:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    connection.execute("SELECT name FROM victim WHERE id = 5", prepare=True)
                except psycopg.Error as error:
                    self.errors.append(str(error))
                self.latencies.append(time.monotonic() - began)
                begun.set()
                stop.wait(0.005)

    @contextlib.contextmanager
    def beside(self) -> Iterator[Victim]:
        """It works while the block runs."""
        begun, stop = threading.Event(), threading.Event()
        thread = threading.Thread(target=self._run, args=(begun, stop))
        thread.start()
        try:
            assert begun.wait(10)
            self.latencies.clear()
            yield self
            seen = len(self.latencies)
            while thread.is_alive() and len(self.latencies) < seen + 2:
                time.sleep(0.005)  # polls: it has to be served behind the attack as well
        finally:
            stop.set()
            thread.join()

    @property
    def worst_s(self) -> float:
        """Its slowest answer."""
        return max(self.latencies, default=0.0)


def prepare(grid: RealGrid) -> None:
    """The table that attacks and the victim use."""
    with psycopg.connect(**grid.words(grid.addresses()[0])) as connection:
        connection.execute("DROP TABLE IF EXISTS victim")
        connection.execute("CREATE TABLE victim (id NUMBER(10) PRIMARY KEY, name VARCHAR2(20))")
        rows = [(n, f"name {n}") for n in range(1000)]
        connection.cursor().executemany("INSERT INTO victim VALUES (%s, %s)", rows)
    local = str(grid.home(grid.hosts[0]) / "info")  # its socket: the instance administrator's
    admin = {"host": local, "port": grid.plan.cs_port, "user": getpass.getuser(), "password": ""}
    with psycopg.connect(**{**grid.words(local), **admin}) as connection:
        connection.execute("CREATE USER IF NOT EXISTS guessed IDENTIFIED BY 'secret'")
        connection.execute("GRANT CREATE SESSION TO guessed")


def memory_mib(grid: RealGrid) -> float:
    """What the attacked data instance holds in memory."""
    pid = grid.daemon_pid(grid.hosts[0])
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def place(grid: RealGrid, *, internal: bool = False) -> tuple[str, int]:
    """The attacked listener."""
    address = grid.addresses()[0]
    if internal:
        return address.replace("127.0.1.", "127.0.0."), grid.plan.daemon_port
    return address, grid.plan.cs_port


# -- attacks: each returns when it is over ---------------------------------------------------------
def bombs(grid: RealGrid, timeout_ms: int = 1000) -> list[tuple[str, str]]:
    """Statements that would never end or never fit: (text, SQLSTATE of the refusal or "")."""
    outcomes = []
    for text in BOMBS:
        words = {**grid.words(grid.addresses()[0]), "connect_timeout": 10}
        with psycopg.connect(**words) as connection:
            connection.execute(f"SET statement_timeout = {timeout_ms}")
            try:
                connection.execute(text.encode())
            except psycopg.Error as error:
                outcomes.append((text[:60], error.sqlstate or "lost"))
            else:
                outcomes.append((text[:60], ""))
    return outcomes


def slow_reader(grid: RealGrid, seconds: float) -> None:
    """Asks for gigabytes and reads nothing."""
    words = grid.words(grid.addresses()[0])
    with contextlib.closing(psycopg.connect(**words)) as connection:
        connection.pgconn.send_query(b"SELECT rpad(a.name, 1000000) FROM victim a, victim b")
        connection.pgconn.flush()
        time.sleep(seconds)  # doing nothing is the attack


def slow_writers(grid: RealGrid, count: int, seconds: float) -> None:
    """Byte by byte, and half messages that never end."""
    with contextlib.ExitStack() as lines:
        opened = [
            lines.enter_context(socket.create_connection(place(grid), timeout=5))
            for _ in range(count)
        ]
        data = startup("terry") + query("SELECT 1")
        end = time.monotonic() + seconds
        at = 0
        while time.monotonic() < end:
            for line in opened:
                with contextlib.suppress(OSError):
                    line.sendall(data[at % len(data) : at % len(data) + 1])
            at += 1
            time.sleep(0.02)  # the pace of the attack


def garbage(grid: RealGrid, seed: int, count: int, *, internal: bool) -> None:
    """Random bytes, frames of lies, and resets."""
    choose = random.Random(seed)
    for _ in range(count):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(place(grid, internal=internal), timeout=5) as line,
        ):
            body = choose.randbytes(choose.choice((1, 7, 100, 5000)))
            length = choose.choice((len(body), 0, 2**31 - 1, 2**32 - 1, 4, 9000))
            head = choose.choice((b"", b"Q", startup("terry"), b"\0\0\0\x08\x04\xd2\x16\x2f"))
            line.sendall(head + struct.pack("!I", length) + body)
            if choose.random() < 0.5:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def wrong_passwords(grid: RealGrid, count: int) -> None:
    """One after the other, from two threads; its profile locks the user who is guessed."""

    def some() -> None:
        words = {**grid.words(grid.addresses()[0]), "user": "guessed", "password": "guess"}
        for _ in range(count // 2):
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(**words)

    threads = [threading.Thread(target=some) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cancel_storm(grid: RealGrid, count: int) -> None:
    """Cancel requests for any process id, with any secret."""
    choose = random.Random(1)
    for _ in range(count):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(place(grid), timeout=5) as line,
        ):
            pid, secret = choose.randrange(2**31), choose.randrange(2**32)
            line.sendall(struct.pack("!iiII", 16, 80877102, pid, secret))


def idle_connections(grid: RealGrid, count: int) -> tuple[int, int]:
    """(admitted, refused with 53300)."""
    words = {**grid.words(grid.addresses()[0]), "connect_timeout": 10}
    refused = 0
    with contextlib.ExitStack() as open_ones:
        admitted = 0
        for _ in range(count):
            try:
                open_ones.enter_context(psycopg.connect(**words))
                admitted += 1
            except psycopg.OperationalError as error:
                assert "too many clients" in str(error), error
                refused += 1
    return admitted, refused


def idle_sockets(grid: RealGrid, count: int) -> tuple[int, float]:
    """Sockets that say nothing at all: (how many stayed open, MiB they cost the instance)."""
    before = memory_mib(grid)
    with contextlib.ExitStack() as open_ones:
        lines = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                lines.append(
                    open_ones.enter_context(socket.create_connection(place(grid), timeout=5))
                )
        time.sleep(1.0)  # the server may refuse some of them meanwhile
        open_still = 0
        for line in lines:
            line.setblocking(False)
            try:
                open_still += line.recv(1) != b""
            except BlockingIOError:
                open_still += 1
            except OSError:
                continue
        return open_still, memory_mib(grid) - before


# -- the long form ---------------------------------------------------------------------------------
def main() -> None:
    """All attacks on a grid of their own."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--idle", type=int, default=10_000, help="sockets that say nothing")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each slow attack")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = Path(tempfile.mkdtemp(prefix="tgh"))
    grid = RealGrid.make(folder / "g")
    try:
        prepare(grid)
        _report(grid, arguments)
    finally:
        grid.destroy()
        shutil.rmtree(folder)


def _report(grid: RealGrid, arguments: Any) -> None:
    seconds: float = arguments.seconds
    attacks: dict[str, Callable[[], object]] = {
        "nothing": lambda: time.sleep(seconds),  # the measure of the others
        "bombs": lambda: bombs(grid, 3000),
        "slow reader": lambda: slow_reader(grid, seconds),
        "slow writers": lambda: slow_writers(grid, 50, seconds),
        "garbage, SQL": lambda: garbage(grid, 1, 2000, internal=False),
        "garbage, RPC": lambda: garbage(grid, 2, 2000, internal=True),
        "wrong passwords": lambda: wrong_passwords(grid, 300),
        "cancel storm": lambda: cancel_storm(grid, 3000),
        "idle sessions": lambda: idle_connections(grid, 1100),
        "idle sockets": lambda: idle_sockets(grid, arguments.idle),
    }
    print(f"{'attack':16} {'s':>6} {'median ms':>10} {'worst ms':>9} {'errors':>6} {'MiB':>7}")
    for name, attack in attacks.items():
        began, before = time.monotonic(), memory_mib(grid)
        with Victim(grid).beside() as victim:
            result = attack()
        took = time.monotonic() - began
        ordered = sorted(victim.latencies)
        median_ms = ordered[len(ordered) // 2] * 1000
        print(
            f"{name:16} {took:6.1f} {median_ms:10.1f} {victim.worst_s * 1000:9.1f} "
            f"{len(victim.errors):6} {memory_mib(grid) - before:+7.1f}  {result or ''}",
            flush=True,
        )
    print(f"processors: {os.cpu_count()}, load now: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
