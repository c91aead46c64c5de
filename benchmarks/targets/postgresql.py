"""PostgreSQL alone, with a synchronous standby, and with Citus' workers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import loads, processes
from benchmarks.targets import base
from benchmarks.targets.base import Door, Login

INSTALLED = Path("/usr/lib/postgresql")  # Debian's: a folder per major version
SHARED = Path("/usr/share/postgresql")
DOORS = 4  # as many as the grid has, all the same: the load generator does the same work
SETTINGS = {"listen_addresses": "127.0.0.1", "shared_buffers": "256MB", "max_connections": "200"}


def programs() -> Path:
    """Where the newest installed version has its programs."""
    versions = [p for p in INSTALLED.glob("*/bin") if p.parent.name.isdigit()]
    return max(versions, key=lambda p: int(p.parent.name), default=INSTALLED / "bin")


class Servers:
    """Server processes of one installation, each with its own data and port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port  # of the first one
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []
        self._log = folder.parent / "postgresql.log"

    @staticmethod
    def missing() -> str:
        """Why this machine cannot run them; "" if it can."""
        needed = [str(programs() / name) for name in ("postgres", "initdb", "pg_basebackup")]
        absent = [path for path in needed if not os.access(path, os.X_OK)]
        return f"{', '.join(absent)} not installed" if absent else ""

    def make_folder(self) -> None:
        """The folder of all data."""
        self.folder.mkdir(parents=True)
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")

    def initialise(self, name: str) -> Path:
        """An empty cluster."""
        data = self.folder / name
        self._tool("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-N")
        return data

    def copy(self, name: str) -> Path:
        """A standby of the first server."""
        data = self.folder / name
        source = f"host=127.0.0.1 port={self.port} user=postgres"
        self._tool("pg_basebackup", "-R", "-D", str(data), "-d", source, "-c", "fast")
        return data

    def serve(self, data: Path, settings: Mapping[str, str] | None = None) -> int:
        """Start one more; returns its port."""
        port = self.port + len(self.running)
        command = [str(programs() / "postgres"), "-D", str(data), "-p", str(port)]
        local = {"unix_socket_directories": str(self.folder)}
        for name, value in {**SETTINGS, **local, **(settings or {})}.items():
            command += ["-c", f"{name}={value}"]
        self.running.append(processes.start(_as_postgres(command), self._log))
        processes.wait_until(f"PostgreSQL on port {port}", lambda: self._answers(port))
        return port

    def stop(self) -> None:
        """Fast shutdown, the last one first."""
        for server in reversed(self.running):
            processes.stop(server)
        self.running.clear()

    def set(self, name: str, value: str) -> None:
        """A setting, at all servers."""
        for number in range(len(self.running)):
            with self.connect(self.port + number) as connection:
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
                connection.execute("SELECT pg_reload_conf()")

    def connect(self, port: int) -> psycopg.Connection[Any]:
        """As the superuser."""
        return base.connect(Door("127.0.0.1", port), Login("postgres", "postgres"))

    def _answers(self, port: int) -> bool:
        if self.running[-1].poll() is not None:
            raise RuntimeError(f"PostgreSQL on port {port} ended; {self._log} says why")
        try:
            self.connect(port).close()
        except psycopg.OperationalError:
            return False
        return True

    def _tool(self, name: str, *words: str) -> None:
        processes.run(_as_postgres([str(programs() / name), *words]), self._log)


class _Cluster:
    """What targets made of PostgreSQL servers have in common."""

    tool = base.PGBENCH

    def __init__(self, folder: Path, port: int) -> None:
        self._servers = Servers(folder, port)
        self._forced: bool | None = None

    def stop(self) -> None:
        """Fast shutdown, what was started last first."""
        self._servers.stop()

    def pids(self) -> list[int]:
        """Roots of the process trees."""
        return [server.pid for server in self._servers.running]

    def login(self, forced: bool) -> Login:
        """The database to use; turns forcing on or off first, everywhere."""
        if forced is not self._forced:
            self._servers.set("fsync", "on" if forced else "off")
            self._forced = forced
        return Login("postgres", "postgres")


class PostgreSQL(_Cluster):
    """One server, or two of which the second is a synchronous standby."""

    def __init__(self, folder: Path, port: int, *, standby: bool) -> None:
        super().__init__(folder / ("pair" if standby else "single"), port)
        self.name = loads.PAIR if standby else loads.SINGLE
        self._standby = standby

    def missing(self) -> str:
        """Why this machine cannot run it; "" if it can."""
        return self._servers.missing()

    def start(self) -> None:
        """Make the cluster(s), start, load the tables."""
        servers = self._servers
        servers.make_folder()
        servers.serve(servers.initialise("primary"))
        if self._standby:
            servers.serve(servers.copy("standby"))
            with servers.connect(servers.port) as connection:
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                connection.execute("SELECT pg_reload_conf()")
            processes.wait_until("the standby is synchronous", self._is_synchronous)
        with servers.connect(servers.port) as connection:
            base.run_script(connection, "postgresql.sql")
            base.load_rows(connection)
            connection.execute("VACUUM ANALYZE")

    def doors(self, where: str, forced: bool) -> list[Door]:
        """Always the primary."""
        return [Door("127.0.0.1", self._servers.port, variables(where))] * DOORS

    def _is_synchronous(self) -> bool:
        with self._servers.connect(self._servers.port) as connection:
            row = connection.execute("SELECT sync_state FROM pg_stat_replication").fetchone()
        return row is not None and row[0] == "sync"


class Citus(_Cluster):
    """A coordinator and two workers, no copies; clients at the coordinator."""

    name = loads.CITUS

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder / "citus", port)

    def missing(self) -> str:
        """Why this machine cannot run it; "" if it can."""
        if why := self._servers.missing():
            return why
        control = SHARED / programs().parent.name / "extension" / "citus.control"
        return "" if control.exists() else f"extension citus not installed ({control})"

    def start(self) -> None:
        """Three servers; the tables are distributed by the first column of their keys."""
        servers = self._servers
        servers.make_folder()
        # in clear between the servers, as the others are
        settings = {
            "shared_preload_libraries": "citus",
            "citus.node_conninfo": "sslmode=disable",
        }
        ports = [
            servers.serve(servers.initialise(name), settings)
            for name in ("coordinator", "worker1", "worker2")
        ]
        for port in ports:
            with servers.connect(port) as connection:
                connection.execute("CREATE EXTENSION citus")
        with servers.connect(servers.port) as connection:
            connection.execute("SELECT citus_set_coordinator_host('127.0.0.1', %s)", (ports[0],))
            for port in ports[1:]:
                connection.execute("SELECT citus_add_node('127.0.0.1', %s)", (port,))
            base.run_script(connection, "postgresql.sql")
            for table, column in (("vpn_users", "vpn_id"), ("bank", "branch")):
                connection.execute("SELECT create_distributed_table(%s, %s)", (table, column))
            base.load_rows(connection)
            connection.execute("VACUUM ANALYZE")

    def doors(self, where: str, forced: bool) -> list[Door]:
        """Always the coordinator; two branches that lie on two workers."""
        if where == loads.CROSS:
            first, second = self._two_branches()
            return [
                Door("127.0.0.1", self._servers.port, (("first", first), ("second", second)))
            ] * DOORS
        return [Door("127.0.0.1", self._servers.port, variables(where))] * DOORS

    def _two_branches(self) -> tuple[int, int]:
        ask = (
            "SELECT b, p.nodeport FROM generate_series(1, %s) b"
            " JOIN pg_dist_placement s ON s.shardid ="
            " get_shard_id_for_distribution_column('bank', b)"
            " JOIN pg_dist_node p USING (groupid) ORDER BY b"
        )
        with self._servers.connect(self._servers.port) as connection:
            places = connection.execute(ask, (loads.BRANCHES,)).fetchall()
        first, node = places[0]
        return int(first), next(int(b) for b, other in places if other != node)


def variables(where: str) -> tuple[tuple[str, int], ...]:
    """Of pgbench, where any branch is as good as another."""
    if where == loads.ANY:
        return ()
    if where in (loads.CROSS, loads.SAME):
        return (("first", 1), ("second", 2))
    return (("branch", 1),)


def _as_postgres(command: Sequence[str]) -> list[str]:
    """PostgreSQL does not run as root."""
    return processes.as_user("postgres", command)
