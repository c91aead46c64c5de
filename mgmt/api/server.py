"""The listener of the HTTP API."""

from __future__ import annotations

import logging

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mgmt.api.app import Api
from protocol.tls import ServerTls

STOP_TIMEOUT_S = 2.0
log = structlog.get_logger()
_library = logging.getLogger("aiohttp.management")


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether the library speaks of a fault here: not of a client that speaks no HTTP."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError):
        return True
    log.debug("api.not_understood", error=str(error.message).partition("\n")[0])
    return False


_library.addFilter(_is_fault)


class HttpListener:
    """Serves an Api on one address."""

    def __init__(self, api: Api) -> None:
        self._runner = web.AppRunner(
            api.application(), access_log=None, logger=_library, shutdown_timeout=STOP_TIMEOUT_S
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
