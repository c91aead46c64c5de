"""The databases under test: a grid of our own, PostgreSQL alone, PostgreSQL with a standby.

Each target starts its own servers on loopback ports in a temporary folder, and stops them by pid.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import loads, processes
from deploy.grid_plan import GridPlan, from_environment
from deploy.sample import load as sample

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
BATCH_ROWS = 5_000  # of one COPY, which is one transaction
ATTEMPTS = 10
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Door:
    """Where clients connect, with the pgbench variables for the load there."""

    host: str
    port: int
    variables: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Login:
    """Who connects to which database."""

    database: str
    user: str
    password: str = ""


class PostgreSQL:
    """One server, or two of which the second is a synchronous standby."""

    def __init__(self, folder: Path, port: int, *, standby: bool) -> None:
        self.name = loads.PAIR if standby else loads.SINGLE
        self._folder = folder / ("pair" if standby else "single")
        self._port = port
        self._standby = standby
        self._servers: list[subprocess.Popen[bytes]] = []
        self._forced: bool | None = None

    @staticmethod
    def missing() -> str:
        """Why this machine cannot run it; "" if it can."""
        needed = [str(POSTGRES_BIN / name) for name in ("postgres", "initdb", "pg_basebackup")]
        absent = [path for path in needed if not os.access(path, os.X_OK)]
        return f"{', '.join(absent)} not installed" if absent else ""

    def start(self) -> None:
        """Make the cluster(s), start, load the tables."""
        self._folder.mkdir(parents=True)
        if os.getuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        log = self._folder.parent / "postgresql.log"
        data = self._folder / "primary"
        self._tool("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-N", log=log)
        self._serve(data, self._port)
        if self._standby:
            copy = self._folder / "standby"
            source = f"host=127.0.0.1 port={self._port} user=postgres"
            self._tool("pg_basebackup", "-R", "-D", str(copy), "-d", source, "-c", "fast", log=log)
            self._serve(copy, self._port + 1)
            self._set("synchronous_standby_names", "*")
            processes.wait_until("the standby is synchronous", self._is_synchronous)
        with self._connect() as connection:
            create_and_load(connection, "postgresql.sql")
            connection.execute("VACUUM ANALYZE")

    def stop(self) -> None:
        """Fast shutdown, the standby first."""
        for server in reversed(self._servers):
            processes.stop(server)
        self._servers.clear()

    def pids(self) -> list[int]:
        """Roots of the process trees."""
        return [server.pid for server in self._servers]

    def login(self, forced: bool) -> Login:
        """The database to use; turns forcing on or off first."""
        if forced is not self._forced:
            for port in (self._port, self._port + 1)[: len(self._servers)]:
                self._set("fsync", "on" if forced else "off", port)
            self._forced = forced
        return Login("postgres", "postgres")

    def doors(self, where: str, forced: bool) -> list[Door]:
        """As many doors as the grid has, all the same: the load generator does the same work."""
        variables = {
            loads.ANY: (),
            loads.CROSS: (("first", 1), ("second", 2)),
            loads.SAME: (("first", 1), ("second", 2)),
        }.get(where, (("branch", 1),))
        return [Door("127.0.0.1", self._port, variables)] * 4

    def _serve(self, data: Path, port: int) -> None:
        command = [str(POSTGRES_BIN / "postgres"), "-D", str(data), "-p", str(port)]
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._folder),
            "shared_buffers": "256MB",
            "max_connections": "200",
        }
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._folder.parent / "postgresql.log").open("ab") as log:
            self._servers.append(
                subprocess.Popen(
                    _as_postgres(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )
        processes.wait_until(f"PostgreSQL on port {port}", lambda: self._answers(port))

    def _answers(self, port: int) -> bool:
        try:
            self._connect(port).close()
        except psycopg.OperationalError:
            return False
        return True

    def _is_synchronous(self) -> bool:
        with self._connect() as connection:
            row = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchone()
        return row is not None and row[0] == "sync"

    def _set(self, name: str, value: str, port: int = 0) -> None:
        with self._connect(port) as connection:
            connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")

    def _connect(self, port: int = 0) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1",
            port=port or self._port,
            user="postgres",
            dbname="postgres",
            autocommit=True,
        )

    def _tool(self, name: str, *words: str, log: Path) -> None:
        processes.run(_as_postgres([str(POSTGRES_BIN / name), *words]), log)


class Grid:
    """Our own: three membership servers, management, four data instances, two databases.

    One database forces every commit to disk (Durability=1), the other one does not.
    """

    def __init__(self, folder: Path, port_base: int) -> None:
        self.name = loads.GRID
        self._environment = {
            **os.environ,
            "GRID_DIR": str(folder / "grid"),
            "PORT_BASE": str(port_base),
            "K": "2",
            "DATA": "4",
        }
        self.plan: GridPlan = from_environment(self._environment)
        self._log = folder / "grid.log"
        self._logins: dict[bool, Login] = {}
        self._places: dict[bool, list[tuple[Door, int]]] = {}
        self._leads: dict[bool, dict[int, int]] = {}
        self._roots: list[int] = []

    def start(self) -> None:
        """make grid, and two databases more."""
        self._make("up")
        homes = (*self.plan.membership_homes(), self.plan.management_home())
        for home in (*homes, *self.plan.data_homes()):
            self._roots.append(int((home / "info" / "supervisor.pid").read_text().split()[0]))
        for forced in (False, True):
            self._make_database(forced)

    def stop(self) -> None:
        """make grid-destroy."""
        self._make("destroy")

    def pids(self) -> list[int]:
        """Supervisors and membership servers: the roots of all process trees."""
        return self._roots

    def daemons(self) -> list[int]:
        """Process ids of the four data instances, for a profiler."""
        homes = self.plan.data_homes()
        return [int((home / "info" / "daemon.pid").read_text().split()[0]) for home in homes]

    def login(self, forced: bool) -> Login:
        """The database that forces, or the one that does not."""
        return self._logins[forced]

    def doors(self, where: str, forced: bool) -> list[Door]:
        """Data instances with the branches to use there."""
        places, leads = self._places[forced], self._leads[forced]
        if where == loads.ANY:
            return [door for door, _ in places]
        if where in (loads.CROSS, loads.SAME):
            first, second = _two_branches(leads, same=where == loads.SAME)
            variables = (("first", first), ("second", second))
            return [Door(door.host, door.port, variables) for door, _ in places]
        doors = []
        for door, element in places:
            branches = [b for b, e in leads.items() if (e == element) == (where == loads.LEAD)]
            if branches:
                doors.append(Door(door.host, door.port, (("branch", branches[0]),)))
        return doors

    def _make_database(self, forced: bool) -> None:
        name = "benchforced" if forced else "bench"
        file = self.plan.folder.parent / f"{name}.dbdef"
        file.write_text(
            f"DataStore={self.plan.folder}/databases/!!INSTANCE_NAME!!/{name}\n"
            "DatabaseCharacterSet=AL32UTF8\nPermSize=256\nTempSize=128\n"
            f"Durability={int(forced)}\n"
        )
        for words in (
            ("dbdefCreate", str(file)),
            ("modelApply",),
            ("dbCreate", name, "-wait", "60"),
            ("dbDistribute", name, "-add", "all", "-apply"),
            ("dbOpen", name, "-wait", "60"),
        ):
            command = [str(self.plan.management_home() / "bin" / "ttGridAdmin"), *words]
            processes.run(command, self._log)
        login = Login(name, "bench", secrets.token_urlsafe(12))
        info = self.plan.data_homes()[0] / "info"
        administrator = processes.run(["id", "-un"]).strip()
        sample.create_user(
            info,
            self.plan.cs_port,
            administrator,
            sample.Login(login.database, login.user, login.password),
        )
        self._logins[forced] = login
        doors = [Door(host, self.plan.cs_port) for host in self.plan.external_addresses()]
        with connect(doors[0], login) as connection:
            create_and_load(connection, "tengrid.sql")
        self._look_where(forced, doors, login)

    def _look_where(self, forced: bool, doors: list[Door], login: Login) -> None:
        """Which element each door belongs to, and which element leads each branch."""
        places = []
        for door in doors:
            with connect(door, login) as connection:
                row = connection.execute("SELECT elementid# FROM dual").fetchone()
                assert row is not None
                places.append((door, int(row[0])))
        with connect(doors[0], login) as connection:
            rows = connection.execute("SELECT branch, elementid# FROM bank WHERE id = 1").fetchall()
        self._places[forced] = places
        self._leads[forced] = {int(branch): int(element) for branch, element in rows}

    def _make(self, action: str) -> None:
        command = [sys.executable, "-m", "deploy.local_grid", action]
        with self._log.open("ab") as log:
            done = subprocess.run(
                command,
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"deploy.local_grid {action} failed; {self._log} says why")


Target = PostgreSQL | Grid


def connect(door: Door, login: Login) -> psycopg.Connection[Any]:
    """One connection for set-up and checks."""
    return psycopg.connect(
        host=door.host,
        port=door.port,
        dbname=login.database,
        user=login.user,
        password=login.password,
        autocommit=True,
    )


def create_and_load(connection: psycopg.Connection[Any], script: str) -> None:
    """The tables of both loads and their rows."""
    text = (loads.HERE / "sql" / script).read_text(encoding="utf-8")
    for statement in sample.statements(text):
        connection.execute(statement.encode())
    for table, rows in (("vpn_users", loads.vpn_rows()), ("bank", loads.bank_rows())):
        while batch := "".join(itertools.islice(rows, BATCH_ROWS)):
            _copy(connection, table, batch)


def _copy(connection: psycopg.Connection[Any], table: str, batch: str) -> None:
    """Again after an error of the retriable class: leads may move in a database just made."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy,
            ):
                copy.write(batch)
            return
        except psycopg.Error as error:
            if attempt == ATTEMPTS or not (error.sqlstate or "").startswith("40"):
                raise
            print(f"COPY {table}, again: {error}", file=sys.stderr)
            time.sleep(0.5)


def bank_sum(door: Door, login: Login) -> int:
    """All money of the bank: no transfer changes it."""
    with connect(door, login) as connection:
        row = connection.execute("SELECT sum(balance) FROM bank").fetchone()
    assert row is not None
    return int(row[0])


def _two_branches(leads: dict[int, int], *, same: bool) -> tuple[int, int]:
    for first, element in sorted(leads.items()):
        for second, other in sorted(leads.items()):
            if first != second and (element == other) is same:
                return first, second
    raise RuntimeError("all branches are in one replica set: more branches are needed")


def _as_postgres(command: Sequence[str]) -> list[str]:
    """PostgreSQL does not run as root."""
    if os.getuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
