"""Our own: three membership servers, management, data instances, one or two databases.

One database forces every commit to disk (Durability=1), the other one does not.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg

from benchmarks import loads, processes
from benchmarks.targets import base
from benchmarks.targets.base import Door, Login, connect
from deploy.grid_plan import DATABASE, GridPlan, from_environment, taken_ports
from deploy.sample import again
from deploy.sample.load import Login as Owner

ROOT = Path(__file__).resolve().parents[2]
NAMES = {False: "bench", True: "benchforced"}
PERM_MB = 1024  # a million customers fit
SCRIPT = (
    "import sys, msgspec; from deploy import grid_plan, local_grid; plan = msgspec.json.decode("
    "sys.argv[2], type=grid_plan.GridPlan, dec_hook=lambda kind, text: kind(text));"
    " getattr(local_grid, sys.argv[1])(plan)"
)
STARTS = 3
BASE_STEP, BASES = 100, 20


class Place(NamedTuple):
    """An element."""

    element: int
    replica_set: int


class Grid:
    """One grid, made and destroyed by the code behind `make grid`."""

    tool = base.PGBENCH

    def __init__(
        self,
        folder: Path,
        port_base: int,
        *,
        k: int = 2,
        data: int = 4,
        databases: tuple[bool, ...] = (False, True),
    ) -> None:
        self.name = loads.GRID
        self.plan: GridPlan = _free_plan(folder / "grid", port_base, k, data)
        self._databases = databases
        self._log = folder / "grid.log"
        self._logins: dict[bool, Login] = {}
        self._roots: list[int] = []

    def missing(self) -> str:
        """It is what we are."""
        return ""

    def start(self) -> None:
        """A grid with the databases wanted, and the rows of the client loads in them.

        Begins again when that fails: on a very busy machine management may lose its session.
        Raises RuntimeError.
        """
        for attempt in range(1, STARTS + 1):
            try:
                self._start()
                return
            except (RuntimeError, psycopg.Error) as error:
                if attempt == STARTS:
                    raise
                print(f"the grid did not start, again: {error}", file=sys.stderr)
                self.stop()

    def _start(self) -> None:
        self._roots.clear()
        self._local_grid("make")
        homes = (*self.plan.membership_homes(), self.plan.management_home())
        for home in (*homes, *self.plan.data_homes()):
            self._roots.append(int((home / "info" / "supervisor.pid").read_text().split()[0]))
        self._admin("dbClose", DATABASE, "-wait", "60")  # the sample's; it would only use memory
        self._admin("dbUnload", DATABASE, "-wait", "60")
        for forced in self._databases:
            self.make_database(forced)

    def stop(self) -> None:
        """All processes and files."""
        if self.plan.folder.exists():
            self._local_grid("destroy")

    def pids(self) -> list[int]:
        """Supervisors and membership servers: the roots of all process trees."""
        return self._roots

    def daemons(self) -> list[int]:
        """Process ids of the data instances, for a profiler."""
        homes = self.plan.data_homes()
        return [int((home / "info" / "daemon.pid").read_text().split()[0]) for home in homes]

    def login(self, forced: bool) -> Login:
        """The database that forces, or the one that does not."""
        return self._logins[forced]

    def doors(self, where: str, forced: bool) -> list[Door]:
        """Data instances with the branches to use there, as the leads are now."""
        doors = self._addresses()
        if where == loads.ANY:
            return doors
        here, branches = self._look_where(doors, self._logins[forced])
        if where in (loads.CROSS, loads.SAME):
            leads = {branch: place.element for branch, place in branches.items()}
            first, second = two_branches(leads, same=where == loads.SAME)
            variables = (("first", first), ("second", second))
            return [Door(door.host, door.port, variables) for door in doors]
        chosen = [branch_for(where, place, branches) for place in here]
        return [
            Door(door.host, door.port, (("branch", branch),))
            for door, branch in zip(doors, chosen, strict=True)
            if branch is not None
        ]

    def _addresses(self) -> list[Door]:
        return [Door(host, self.plan.cs_port) for host in self.plan.external_addresses()]

    def make_database(self, forced: bool) -> None:
        """One more, with the rows of the client loads. With K=1 commits are always forced."""
        name = NAMES[forced]
        file = self.plan.folder.parent / f"{name}.dbdef"
        file.write_text(
            f"DataStore={self.plan.folder}/databases/!!INSTANCE_NAME!!/{name}\n"
            f"DatabaseCharacterSet=AL32UTF8\nPermSize={PERM_MB}\nTempSize=128\n"
            f"Durability={int(forced or self.plan.k == 1)}\n"
        )
        self._admin("dbdefCreate", str(file))
        self._admin("modelApply")
        self._admin("dbCreate", name, "-wait", "60")
        self._admin("dbDistribute", name, "-add", "all", "-apply")
        self._admin("dbOpen", name, "-wait", "60")
        login = Login(name, "bench", secrets.token_urlsafe(12))
        info = self.plan.data_homes()[0] / "info"
        administrator = processes.run(["id", "-un"]).strip()
        owner = Owner(login.database, login.user, login.password)
        again.user(info, self.plan.cs_port, administrator, owner)
        self._logins[forced] = login
        with connect(self._addresses()[0], login) as connection:
            base.run_script(connection, "tengrid.sql")
            base.load_rows(connection)

    def _look_where(self, doors: list[Door], login: Login) -> tuple[list[Place], dict[int, Place]]:
        """Where each door is, and where each branch is led."""
        here = []
        for door in doors:
            with connect(door, login) as connection:
                row = connection.execute("SELECT elementid#, replicasetid# FROM dual").fetchone()
                assert row is not None
                here.append(Place(*map(int, row)))
        with connect(doors[0], login) as connection:
            rows = connection.execute(
                "SELECT branch, elementid#, replicasetid# FROM bank WHERE id = 1"
            ).fetchall()
        return here, {int(row[0]): Place(*map(int, row[1:])) for row in rows}

    def _admin(self, *words: str) -> None:
        processes.run([str(self.plan.management_home() / "bin" / "ttGridAdmin"), *words], self._log)

    def _local_grid(self, action: str) -> None:
        """In a process of its own: it prints its progress."""
        plan = msgspec.json.encode(self.plan, enc_hook=str).decode()
        command = [sys.executable, "-c", SCRIPT, action, plan]
        processes.run(command, self._log, folder=ROOT)


def branch_for(where: str, here: Place, branches: Mapping[int, Place]) -> int | None:
    """One that is led here, or one that is not: if there is one, of another replica set, for a copy
    of its own answers reads itself. None if there is none."""
    if where == loads.LEAD:
        return next((b for b, at in branches.items() if at == here), None)
    others = [b for b, at in branches.items() if at != here]
    far = [b for b in others if branches[b].replica_set != here.replica_set]
    return next(iter(far or others), None)


def two_branches(leads: dict[int, int], *, same: bool) -> tuple[int, int]:
    """Two branches that one element leads, or two elements. Raises RuntimeError."""
    for first, element in sorted(leads.items()):
        for second, other in sorted(leads.items()):
            if first != second and (element == other) is same:
                return first, second
    raise RuntimeError("all branches are in one replica set: more branches are needed")


def _free_plan(folder: Path, port_base: int, k: int, data: int) -> GridPlan:
    """The first of some port ranges that nobody listens on. Raises RuntimeError."""
    for number in range(BASES):
        words = {"K": str(k), "DATA": str(data), "STANDBY": "off", "GRID_DIR": str(folder)}
        plan = from_environment({**words, "PORT_BASE": str(port_base + number * BASE_STEP)})
        if not (taken := taken_ports(plan)):
            return plan
    raise RuntimeError(f"no free ports: {taken[0]}")
