"""A daemon for tests of the supervisor: registers, waits, drains; obeys files in its home.

`conf/exit-with`: exit at start with that code. `conf/ignore-term`: never drain.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from daemons.runtime import Life, run_daemon
from membership.port import InstanceInfo
from membership.zookeeper import ZooKeeperMembership
from protocol import instance_file
from protocol.ids import InstanceName


class FakeService:
    """Holds a membership session."""

    def __init__(self, life: Life) -> None:
        self._home = life.home
        self._drained = asyncio.Event()
        settings = instance_file.load(life.home)
        self._membership: ZooKeeperMembership | None = None
        if settings.membership.servers:
            me = InstanceInfo(InstanceName(life.name), "data", life.incarnation, "127.0.0.1", 1)
            self._membership = ZooKeeperMembership(
                ",".join(settings.membership.servers),
                settings.grid,
                settings.membership_logins(),
                me,
                session_timeout_s=settings.membership.session_timeout_s,
                previous_incarnations=life.previous_incarnations,
            )

    async def start(self) -> None:
        exit_with = self._home / "conf" / "exit-with"
        if exit_with.exists():
            sys.exit(int(exit_with.read_text()))
        if self._membership is not None:
            await self._membership.start()

    async def run(self) -> None:
        await self._drained.wait()

    async def drain(self) -> None:
        if (self._home / "conf" / "ignore-term").exists():
            await asyncio.Event().wait()
        if self._membership is not None:
            await self._membership.stop()
        self._drained.set()


if __name__ == "__main__":
    sys.exit(run_daemon("tengrid-faked", Path(sys.argv[1]), FakeService, drain_timeout_s=1.0))
