"""The listener of the HTTP API."""

from __future__ import annotations

from aiohttp import web

from mgmt.api.app import Api

STOP_TIMEOUT_S = 2.0


class HttpListener:
    """Serves an Api on one address."""

    def __init__(self, api: Api) -> None:
        self._runner = web.AppRunner(
            api.application(), access_log=None, shutdown_timeout=STOP_TIMEOUT_S
        )

    async def start(self, address: str, port: int) -> None:
        """Listen. Raises OSError when the address or port is taken."""
        await self._runner.setup()
        await web.TCPSite(self._runner, address, port).start()

    async def stop(self) -> None:
        """Finish answers under way, then close."""
        await self._runner.cleanup()
