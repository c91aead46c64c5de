"""Connections to membership servers leave from the instance's own internal address.

On a host with several networks the routing table might choose another one; and whoever cuts an
address off (a firewall, a test) cuts off everything that the instance says.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

from kazoo.handlers.threading import SequentialThreadingHandler

from membership.tls import ClientFiles


class SourceHandler(SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads, connecting from one address ("": any), with TLS if it is given files.

    kazoo's own TLS would believe every authority that the system knows and verify no address.
    """

    def __init__(self, source: str, tls: ClientFiles | None = None) -> None:
        super().__init__()
        self._source = source
        self._tls = tls

    def create_connection(
        self,
        address: Any,
        hostname: str | None = None,
        timeout: float | None = None,
        **_named: Any,
    ) -> Any:
        """See kazoo; hostname: as the server was named, before its address was looked up.

        Raises OSError, also if the source is no address of this host.
        """
        source = (self._source, 0) if self._source else None
        connection = socket.create_connection(address, timeout, source_address=source)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            return connection
        try:
            return self._tls.context().wrap_socket(
                connection, server_hostname=hostname or address[0]
            )
        except BaseException:
            connection.close()
            raise

    def select(self, *words: Any, **named: Any) -> Any:
        """See kazoo. What TLS has read already shows on no socket."""
        full = [
            one for one in words[0] if isinstance(one, ssl.SSLSocket) and one.fileno() >= 0
            and one.pending()
        ]  # fmt: skip
        return (full, [], []) if full else super().select(*words, **named)
