"""A grid as `make grid` makes it, for tests: real processes, the sample loaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from deploy.grid_plan import DATABASE, GridPlan
from mgmt.cli import daemon_control

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND_TIMEOUT_S = 240


class LocalGrid:
    """One grid; the folder's path must be short (Unix sockets are made in it)."""

    def __init__(self, plan: GridPlan) -> None:
        self.plan = plan

    def make(self, action: str) -> str:
        """What `make grid...` runs: up, stop, start, status, destroy. It must succeed."""
        done = self.tried(action)
        assert done.returncode == 0, f"{action}: {done.stdout}{done.stderr}"
        return done.stdout

    def tried(self, action: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes out."""
        environment = {
            **self._environment(),
            "GRID_DIR": str(self.plan.folder),
            "K": str(self.plan.k),
            "DATA": str(self.plan.data),
            "PORT_BASE": str(self.plan.port_base),
            "STANDBY": self.plan.standby,
            **settings,
        }
        return self._run([sys.executable, "-m", "deploy.local_grid", action], environment)

    def admin(self, *words: str) -> str:
        """ttGridAdmin, which must succeed; returns its output."""
        program = self.plan.management_home() / "bin" / "ttGridAdmin"
        done = self._run([str(program), *words], self._environment())
        assert done.returncode == 0, f"ttGridAdmin {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def words(self) -> str:
        """The three words of the summary."""
        reply = json.loads(self.admin("dbStatus", DATABASE, "-o", "json"))
        return ",".join(reply["databases"][0]["overall"]["summary"])

    def connect(
        self, index: int = 0, *, user: str = "terry"
    ) -> psycopg.Connection[tuple[object, ...]]:
        """A session of the sample's owner through the external port of a data instance."""
        return psycopg.connect(
            host=self.plan.external_addresses()[index],
            port=self.plan.cs_port,
            dbname=DATABASE,
            user=user,
            passfile=str(self.plan.folder / "pgpass"),
            autocommit=True,
            connect_timeout=10,
        )

    def kill(self, index: int, *, for_good: bool = False) -> None:
        """SIGKILL a data instance; without its supervisor it is restarted at once."""
        home = self.plan.data_homes()[index]
        files = [daemon_control.PID_FILE]
        if for_good:
            files.insert(0, daemon_control.SUPERVISOR_PID_FILE)
        for pid in [daemon_control.read_pid(home, file) for file in files]:
            os.kill(pid, signal.SIGKILL)

    def start(self, index: int) -> None:
        """ttDaemonAdmin -start of a data instance."""
        program = self.plan.data_homes()[index] / "bin" / "ttDaemonAdmin"
        done = self._run([str(program), "-start"], self._environment())
        assert done.returncode == 0, done.stdout + done.stderr

    def _environment(self) -> dict[str, str]:
        # Daemons outlive the test that started them; the fixture's end stops and counts them.
        dropped = ("TIMESTEN_HOME", "TENGRID_TEST_RUN", "PGSERVICEFILE")
        return {k: v for k, v in os.environ.items() if k not in dropped}

    def _run(
        self, command: list[str], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )


@contextmanager
def local_grid(folder: Path, *, port_base: int, k: int = 2, data: int = 4) -> Iterator[LocalGrid]:
    """Made as `make grid` does it without settings, and destroyed at the end."""
    plan = GridPlan(folder=folder, k=k, data=data, port_base=port_base, standby="on")
    grid = LocalGrid(plan)
    try:
        grid.make("up")
        yield grid
    finally:
        if (folder / "grid.json").exists():
            grid.make("destroy")
