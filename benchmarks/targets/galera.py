"""MariaDB with Galera: three nodes, each with all rows; a commit is certified by all of them.

The nodes run as the user mysql with folders of their own, whatever MariaDB of this machine is left
alone. Clients write at the first node: at all three, conflicts cost it more than they bring.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from benchmarks import loads, processes
from benchmarks.targets import base
from benchmarks.targets.base import Door, Login

NODES = (1, 2, 3)
PROVIDERS = (Path("/usr/lib/galera/libgalera_smm.so"), Path("/usr/lib/libgalera_smm.so"))
PROGRAMS = ("mariadbd", "mariadb", "mariadb-install-db", "wsrep_sst_rsync", "rsync", "sysbench")
DATABASE = "bench"
JOIN_S = 60.0


class Galera:
    """Three nodes on loopback ports: SQL from `port`, groups, state transfers after those."""

    name = loads.GALERA
    tool = base.SYSBENCH

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder / "galera"
        self._port = port
        self._log = folder / "galera.log"
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._login = Login(DATABASE, "bench", secrets.token_urlsafe(12))

    def missing(self) -> str:
        """Why this machine cannot run it; "" if it can."""
        absent = [name for name in PROGRAMS if processes.which(name) is None]
        if not any(path.exists() for path in PROVIDERS):
            absent.append(PROVIDERS[0].name)
        return f"{', '.join(absent)} not installed" if absent else ""

    def start(self) -> None:
        """Three nodes; the second and the third copy the first one, then come the rows."""
        self._folder.mkdir(parents=True)
        for number in NODES:
            self._data(number).mkdir()
        if os.getuid() == 0:
            for path in (self._folder, *map(self._data, NODES)):
                shutil.chown(path, "mysql", "mysql")
        words = [f"--datadir={self._data(1)}", "--auth-root-authentication-method=normal"]
        install = ["mariadb-install-db", "--no-defaults", *words]
        install += ["--skip-test-db", "--skip-name-resolve"]
        processes.run(_as_mysql(install), self._log)
        for number in NODES:
            self._serve(number)
        self._load()

    def stop(self) -> None:
        """All nodes, the first one last."""
        for node in reversed(self._nodes):
            processes.stop(node, processes.TERMINATE)
        self._nodes.clear()

    def pids(self) -> list[int]:
        """Of the nodes."""
        return [node.pid for node in self._nodes]

    def login(self, forced: bool) -> Login:
        """Nothing is forced to disk."""
        if forced:
            raise ValueError("Galera runs with innodb_flush_log_at_trx_commit=0 only")
        return self._login

    def doors(self, where: str, forced: bool) -> list[Door]:
        """The first node."""
        return [Door("127.0.0.1", self._port)]

    def _data(self, number: int) -> Path:
        return self._folder / f"node{number}"

    def _socket(self, number: int) -> Path:
        return self._folder / f"node{number}.sock"

    def _group(self, number: int) -> str:
        return f"127.0.0.1:{self._port + 2 + number}"

    def _serve(self, number: int) -> None:
        provider = next(path for path in PROVIDERS if path.exists())
        options = {
            "gmcast.listen_addr": f"tcp://{self._group(number)}",
            "ist.recv_addr": f"127.0.0.1:{self._port + 5 + number}",
            "gcache.size": "128M",
        }
        settings = {
            "datadir": self._data(number),
            "bind-address": "127.0.0.1",
            "port": self._port + number - 1,
            "socket": self._socket(number),
            "pid-file": self._folder / f"node{number}.pid",
            "innodb-flush-log-at-trx-commit": 0,
            "innodb-buffer-pool-size": "256M",
            "innodb-autoinc-lock-mode": 2,
            "binlog-format": "ROW",
            "max-connections": 200,
            "local-infile": 1,
            "wsrep-on": 1,
            "wsrep-provider": provider,
            "wsrep-provider-options": ";".join(f"{k}={v}" for k, v in options.items()),
            "wsrep-cluster-name": "tengridbench",
            "wsrep-cluster-address": "gcomm://" + ",".join(map(self._group, NODES)),
            "wsrep-node-name": f"node{number}",
            "wsrep-node-address": self._group(number),
            "wsrep-sst-method": "rsync",
            "wsrep-sst-receive-address": f"127.0.0.1:{self._port + 8 + number}",
        }
        command = ["mariadbd", "--no-defaults", "--skip-name-resolve"]
        command += [f"--{name}={value}" for name, value in settings.items()]
        if number == 1:
            command.append("--wsrep-new-cluster")
        self._nodes.append(processes.start(_as_mysql(command), self._log))
        processes.wait_until(f"Galera's node {number}", lambda: self._is_synced(number), JOIN_S)

    def _is_synced(self, number: int) -> bool:
        if self._nodes[-1].poll() is not None:
            raise RuntimeError(f"Galera's node {number} ended; {self._log} says why")
        try:
            state = self._sql("SHOW STATUS LIKE 'wsrep_local_state_comment'", number)
        except RuntimeError:
            return False
        return "Synced" in state

    def _load(self) -> None:
        user, password = self._login.user, self._login.password
        self._sql(
            f"CREATE DATABASE {DATABASE};"
            f" CREATE USER {user}@'127.0.0.1' IDENTIFIED BY '{password}';"
            f" GRANT ALL ON {DATABASE}.* TO {user}@'127.0.0.1'"
        )
        self._sql(f"USE {DATABASE}; " + (loads.HERE / "sql" / "galera.sql").read_text("utf-8"))
        rows = self._folder / "vpn_users.txt"
        rows.write_text("".join(loads.vpn_rows()), encoding="utf-8")
        self._sql(f"LOAD DATA LOCAL INFILE '{rows}' INTO TABLE {DATABASE}.vpn_users")
        processes.wait_until("the rows are at all nodes", lambda: all(map(self._has_all, NODES)))

    def _has_all(self, number: int) -> bool:
        count = self._sql(f"SELECT COUNT(*) FROM {DATABASE}.vpn_users", number)
        return int(count) == loads.KEYS**2

    def _sql(self, text: str, number: int = 1) -> str:
        command = ["mariadb", "--no-defaults", "--user=root", f"--socket={self._socket(number)}"]
        return processes.run([*command, "--local-infile=1", "-N", "-e", text])


def _as_mysql(command: list[str]) -> list[str]:
    return processes.as_user("mysql", command)
