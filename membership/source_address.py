"""Connections to membership servers leave from the instance's own internal address.

On a host with several networks the routing table might choose another one; and whoever cuts an
address off (a firewall, a test) cuts off everything that the instance says.
"""

from __future__ import annotations

import socket
from typing import Any

from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.handlers.utils import create_tcp_connection


class _From:
    """The module `socket`, as kazoo is given it, with a source address for each connection."""

    def __init__(self, source: str) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def create_connection(self, address: Any, timeout_s: float) -> socket.socket:
        """Raises OSError, also if the source is no address of this host."""
        return socket.create_connection(address, timeout_s, source_address=(self._source, 0))


class SourceHandler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads, connecting from one address; plain TCP only."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._from = _From(source)

    def create_connection(self, *words: Any, **named: Any) -> Any:
        """See kazoo."""
        return create_tcp_connection(self._from, *words, **named)
