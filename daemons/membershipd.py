"""Composition root of a membership server: a daemon that owns one ZooKeeper server.

`tengrid-membershipd HOME`, or under its supervisor `python -m daemons.supervisor HOME`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

from daemons.runtime import EXIT_CONFIG, ConfigError, Life, run_daemon
from membership.config import BadSettingsError, load_config
from membership.server.supervisor import ZooKeeperServer
from membership.server.zoo_cfg import java_command

TITLE = "tengrid-membershipd"
CONFIG_FILE = "conf/membership.toml"
DRAIN_TIMEOUT_S = 12.0


class MembershipServer:
    """The Service of this daemon."""

    def __init__(self, life: Life) -> None:
        try:
            config = load_config(life.home / CONFIG_FILE)
        except BadSettingsError as problem:
            raise ConfigError(str(problem)) from problem
        command = java_command(config, life.home, os.environ)
        if shutil.which(command[0]) is None:
            raise ConfigError(
                f"{command[0]} is not there: install a Java runtime (default-jre-headless)"
            )
        self._server = ZooKeeperServer(config, life.home, os.environ)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when the server's process answers; a quorum may need other servers."""
        self._running = asyncio.create_task(self._keep(), name="zookeeper")
        answering = asyncio.create_task(self._server.answers(), name="await-zookeeper")
        try:
            await asyncio.wait({self._running, answering}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
        if self._running.done():
            self._running.result()

    async def run(self) -> None:
        """Until drained."""
        assert self._running is not None
        await self._running

    async def drain(self) -> None:
        """Stop the server; its ensemble goes on without it."""
        self._server.stop()
        if self._running is not None:
            await self._running

    async def _keep(self) -> None:
        await self._server.run()


def main() -> None:
    """Entry point."""
    if len(sys.argv) != 2:
        print(f"usage: {TITLE} HOME", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    sys.exit(
        run_daemon(TITLE, Path(sys.argv[1]), MembershipServer, drain_timeout_s=DRAIN_TIMEOUT_S)
    )


if __name__ == "__main__":
    main()
