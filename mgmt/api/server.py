"""The listener of the HTTP API."""

from __future__ import annotations

from aiohttp import web

from mgmt.api.app import Api
from protocol.tls import ServerTls

STOP_TIMEOUT_S = 2.0


class HttpListener:
    """Serves an Api on one address."""

    def __init__(self, api: Api) -> None:
        self._runner = web.AppRunner(
            api.application(), access_log=None, shutdown_timeout=STOP_TIMEOUT_S
        )
        self._place = ("", 0)
        self._site: web.TCPSite | None = None

    async def start(self, address: str, port: int, tls: ServerTls | None = None) -> None:
        """Listen; with `tls` by HTTPS. Raises OSError when the address or port is taken."""
        await self._runner.setup()
        self._place = (address, port)
        await self._listen(tls)

    async def encrypt(self, tls: ServerTls) -> None:
        """From now on by HTTPS; answers under way are finished as they began."""
        assert self._site is not None
        await self._site.stop()
        await self._listen(tls)

    async def _listen(self, tls: ServerTls | None) -> None:
        context = None if tls is None else tls.listener
        self._site = web.TCPSite(self._runner, *self._place, ssl_context=context)
        await self._site.start()

    async def stop(self) -> None:
        """Finish answers under way, then close."""
        await self._runner.cleanup()
