"""A grid made with the commands users type: real processes on loopback, a real ZooKeeper server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from mgmt.cli import daemon_control
from mgmt.transport.installation import create_installation
from protocol import instance_file
from tests.support.zookeeper import free_ports

COMMAND_TIMEOUT_S = 90


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """Standard output, line by line."""
        return self.output.splitlines()


class CommandGrid:
    """Runs commands in the environment of the management instance of one folder."""

    def __init__(self, folder: Path, zookeeper: str) -> None:
        self.folder = folder
        self.home = folder / "host1" / "instance1"
        self.daemon_port, self.cs_port, self.mgmt_port = free_ports(3)
        self.installation = create_installation(folder / "host1")
        (folder / "membership.conf").write_text(f"Servers {zookeeper.replace(':', '!')}\n")

    def tool(self, program: str, *words: str) -> Answer:
        """Run a program of the installation, outside every instance."""
        return self._run([str(self.installation / "bin" / program), *words])

    def run(self, program: str, *words: str, home: Path | None = None) -> Answer:
        """Run a program in the environment of a management instance (host1's), from the folder."""
        return self._run([str((home or self.home) / "bin" / "ttenv"), program, *words])

    def shell(self, line: str) -> Answer:
        """Run a line as a user types it, mgmtExamine's recommendations for example."""
        return self._run(["sh", "-c", line])

    def admin(self, *words: str, home: Path | None = None) -> list[str]:
        """Run ttGridAdmin, which must succeed; returns its lines."""
        answer = self.run("ttGridAdmin", *words, home=home)
        assert answer.code == 0, f"ttGridAdmin {' '.join(words)}: {answer.errors}{answer.output}"
        return answer.lines

    def refused(self, *words: str, home: Path | None = None) -> str:
        """Run ttGridAdmin, which must fail; returns its error text."""
        answer = self.run("ttGridAdmin", *words, home=home)
        assert answer.code != 0, f"ttGridAdmin {' '.join(words)} was not refused"
        return answer.errors

    def create_instance(self) -> Answer:
        """ttInstanceCreate of the management instance."""
        ports = ("-daemonPort", str(self.daemon_port), "-csPort", str(self.cs_port))
        location = ("-location", str(self.folder / "host1"))
        return self.tool("ttInstanceCreate", "-name", "instance1", *location, "-grid", *ports)

    def create_grid(self, k: int) -> list[str]:
        """gridCreate on 127.0.0.11."""
        return self.admin(
            *("gridCreate", "grid1", "-k", str(k)),
            *("-internalAddress", "127.0.0.11", "-externalAddress", "127.0.1.11"),
            *("-membershipConfig", str(self.folder / "membership.conf")),
            *("-mgmtPort", str(self.mgmt_port)),
        )

    def add_host(self, number: int, group: int, *more: str) -> list[str]:
        """hostCreate of 127.0.0.(10+number), which names itself host<number>."""
        addresses = ("-internalAddress", f"127.0.0.{10 + number}")
        addresses += ("-externalAddress", f"127.0.1.{10 + number}")
        return self.admin("hostCreate", *addresses, "-dataSpaceGroup", str(group), *more)

    def add_first_data_host(self) -> list[str]:
        """host3 with installation and instance, whose copies fit on this machine too."""
        lines = self.add_host(3, 1)
        location = ("-location", str(self.folder / "!!HOST_NAME!!"))
        lines += self.admin("installationCreate", "host3", *location)
        ports = ("-daemonPort", str(self.daemon_port), "-csPort", str(self.cs_port))
        return lines + self.admin("instanceCreate", "host3", *location, *ports)

    def homes(self) -> list[Path]:
        """All instance homes below the folder."""
        return [p.parent.parent for p in self.folder.glob(f"*/*/{instance_file.INSTANCE_FILE}")]

    def stop_all(self) -> None:
        """Stop every daemon, by its own pid file."""
        for home in self.homes():
            daemon_control.stop(home, force=True)

    def running(self) -> list[str]:
        """Titles of the processes that belong to homes below the folder."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                title = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if title.startswith("tengrid-") and str(self.folder) in title:
                found.append(title.strip())
        return found

    def _run(self, command: list[str]) -> Answer:
        # Daemons of a grid that lives for a whole module are counted by running(), at its end.
        dropped = ("TIMESTEN_HOME", "TENGRID_TEST_RUN")
        environment = {k: v for k, v in os.environ.items() if k not in dropped}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)
