"""Asks the membership servers how they are, one at a time and not often."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

from membership.server import probe
from membership.tls import ClientFiles
from mgmt.api.schema_picture import ServerPicture
from protocol.clock import boottime_s
from protocol.instance_file import InstanceSettings

AGAIN_S = 3.0
ANSWER_TIMEOUT_S = 0.5


class ServerWatch:
    """What the servers said last."""

    def __init__(self) -> None:
        self._known: dict[str, ServerPicture] = {}
        self._looked_s = -AGAIN_S

    def known(self, servers: Sequence[str]) -> tuple[ServerPicture, ...]:
        """What is known of these, "address!port" each."""
        return tuple(self._known.get(s, ServerPicture(address=s, role="unknown")) for s in servers)

    async def look(self, servers: Sequence[str], settings: InstanceSettings) -> None:
        """Ask all of them, at most every AGAIN_S. Raises nothing."""
        if boottime_s() - self._looked_s < AGAIN_S:
            return
        self._looked_s = boottime_s()
        try:
            files = settings.membership_tls()
            tls = ClientFiles(*files).context() if files is not None else None
        except OSError:
            return
        found = await asyncio.gather(*(_ask(server, tls) for server in servers))
        self._known = {server.address: server for server in found}


async def _ask(server: str, tls: ssl.SSLContext | None) -> ServerPicture:
    address, _, port = server.rpartition("!")
    if not port.isdigit():
        return ServerPicture(address=server, role="unknown")
    said = await probe.probe(address, int(port), ANSWER_TIMEOUT_S, tls)
    return ServerPicture(
        address=server, role=said.role, latency_ms=said.latency_ms, connections=said.connections
    )
