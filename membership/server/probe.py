"""Asks a ZooKeeper server for its role and health with four-letter words."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

ANSWER_BYTES_MAX = 1 << 20
PROBE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What `srvr` said. role: leader, follower, observer, standalone, "no quorum" or "down"."""

    role: str
    version: str = ""
    zxid: str = ""
    connections: int = 0
    znodes: int = 0
    latency_ms: str = ""  # minimum/average/maximum

    @property
    def serves(self) -> bool:
        """Whether it answers clients, so: is part of a quorum."""
        return self.role in ("leader", "follower", "observer", "standalone")


DOWN = ServerStatus("down")


async def ask(
    address: str,
    port: int,
    word: str,
    timeout_s: float = PROBE_TIMEOUT_S,
    tls: ssl.SSLContext | None = None,
) -> str:
    """The answer to a four-letter word. Raises OSError (also TimeoutError) if none comes."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(address, port, ssl=tls)
        try:
            writer.write(word.encode())
            await writer.drain()
            answer = await reader.read(ANSWER_BYTES_MAX)
            while more := await reader.read(ANSWER_BYTES_MAX - len(answer)):
                answer += more
        finally:
            writer.close()
    return answer.decode(errors="replace")


async def probe(
    address: str,
    port: int,
    timeout_s: float = PROBE_TIMEOUT_S,
    tls: ssl.SSLContext | None = None,
) -> ServerStatus:
    """Role and health of one server; DOWN if it does not answer. Raises nothing."""
    try:
        return parse_srvr(await ask(address, port, "srvr", timeout_s, tls))
    except OSError:
        return DOWN


async def is_ok(
    address: str,
    port: int,
    timeout_s: float = PROBE_TIMEOUT_S,
    tls: ssl.SSLContext | None = None,
) -> bool:
    """Whether the process runs without error; says nothing about a quorum."""
    try:
        return await ask(address, port, "ruok", timeout_s, tls) == "imok"
    except OSError:
        return False


def parse_srvr(text: str) -> ServerStatus:
    """The answer of `srvr` as values."""
    if "not currently serving" in text:
        return ServerStatus("no quorum")
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    if "Mode" not in facts:
        return ServerStatus("no quorum")
    return ServerStatus(
        role=facts["Mode"],
        version=facts.get("Zookeeper version", "").partition("-")[0],
        zxid=facts.get("Zxid", ""),
        connections=_number(facts.get("Connections", "")),
        znodes=_number(facts.get("Node count", "")),
        latency_ms=facts.get("Latency min/avg/max", ""),
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
