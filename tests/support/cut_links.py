"""Cut links between the data instances of a MemoryGrid: what is sent does not arrive, silently.

As the kernel does it: connections stay open, and what was swallowed arrives when the link is back,
if its connection still stands; dialling takes its time and fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from protocol.rpc.client import RpcPeer
from protocol.rpc.connection import Connection
from protocol.rpc.node import RpcNode

DIAL_S = 0.2


class Links:
    """Directed links by the instances' names; all of them work at first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._cut: set[tuple[str, str]] = set()
        self._held: list[tuple[Connection, bytes]] = []
        receive, dial_once = Connection.data_received, RpcNode._dial_once
        self._receive = receive
        links = self

        def data_received(connection: Connection, data: bytes) -> None:
            node: Any = connection._on_lost.__self__  # type: ignore[attr-defined]
            if (connection.peer_name, node.me.name) in links._cut:
                links._held.append((connection, data))
            else:
                receive(connection, data)

        async def dial(node: RpcNode, peer: RpcPeer) -> None:
            ways = {(node.me.name, peer.name), (peer.name, node.me.name)}
            if ways & links._cut:
                await asyncio.sleep(DIAL_S)  # as long as a SYN without an answer, and shorter
                raise TimeoutError
            await dial_once(node, peer)

        monkeypatch.setattr(Connection, "data_received", data_received)
        monkeypatch.setattr(RpcNode, "_dial_once", dial)

    def cut(self, ways: Iterable[tuple[str, str]]) -> None:
        """Nothing gets from the first to the second of a pair."""
        self._cut.update(ways)

    def heal(self) -> None:
        """All links work again."""
        self._cut.clear()
        held, self._held = self._held, []
        for connection, data in held:
            if connection._transport is not None and not connection._transport.is_closing():
                self._receive(connection, data)


def between(one: str, others: Iterable[str]) -> list[tuple[str, str]]:
    """Both ways."""
    return [way for other in others for way in ((one, other), (other, one))]
