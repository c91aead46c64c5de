"""Serves `/metrics` on the internal address of an instance while `conf/exporter.json` says so.

A few requests a minute: one answer per connection, no library. Decision 0131.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from daemons.config import internal_tls
from protocol import exporter_file
from protocol.clock import boottime_s
from protocol.errors import ParameterError
from protocol.exporter_file import ExporterSettings
from protocol.instance_file import InstanceSettings

log = structlog.get_logger(__name__)
LOOK_S = 1.0  # how often the file is looked at
REQUEST_TIMEOUT_S = 5.0
HEAD_BYTES_MAX = 16_384
CONNECTIONS_MAX = 20
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Scrape = Callable[[], Awaitable[bytes]]


class Exporter:
    """One per daemon. `start` inside the event loop, `stop` at the end."""

    def __init__(self, settings: InstanceSettings, scrape: Scrape) -> None:
        self._settings = settings
        self._home = Path(settings.home)
        self._scrape = scrape
        self._seen: tuple[int, int] | None = (-1, -1)  # of the file: time and size; not looked yet
        self._server: asyncio.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._open = 0
        self._limit = _Rate(0)

    def start(self) -> None:
        """Look after the file from now on."""
        (self._home / exporter_file.STATE_FILE).unlink(missing_ok=True)
        self._task = asyncio.create_task(self._watch(), name="exporter")

    async def stop(self) -> None:
        """Serve no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._close()

    async def _watch(self) -> None:
        while True:
            seen = _stamp(self._home / exporter_file.FILE)
            if seen != self._seen:
                self._seen = seen
                await self._close()
                state = await self._serve()
                with contextlib.suppress(OSError):
                    (self._home / exporter_file.STATE_FILE).write_text(state, encoding="utf-8")
            await asyncio.sleep(LOOK_S)  # a pace, nothing is awaited by it

    async def _serve(self) -> str:
        """Follow the file; what came of it."""
        try:
            wanted = exporter_file.load(self._home)
            if wanted is None:
                return "off"
            address = self._settings.internal_address
            self._limit = _Rate(wanted.limit)
            self._server = await asyncio.start_server(
                self._answer,
                address,
                wanted.port,
                ssl=self._tls(wanted),
                limit=HEAD_BYTES_MAX,
            )
        except (ParameterError, OSError) as error:
            why = error.message if isinstance(error, ParameterError) else str(error)
            log.error("exporter.failed", error=why)
            return f"failed {why}"
        url = f"http{'' if wanted.insecure else 's'}://{address}:{wanted.port}/metrics"
        log.info("exporter.serving", url=url)
        return f"serving {url}"

    def _tls(self, wanted: ExporterSettings) -> ssl.SSLContext | None:
        if wanted.insecure:
            return None
        files = internal_tls(self._settings)
        if files is None:
            raise ParameterError("this grid has no certificates: ttExporter needs -insecure")
        return files.listener

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    # -- one request -------------------------------------------------------------------------------
    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                if self._open <= CONNECTIONS_MAX:
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._reply(head.split(b"\r\n", 1)[0].split()))
                    await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError, ssl.SSLError):
            pass  # a client that went away, or speaks something else
        finally:
            self._open -= 1
            writer.close()

    async def _reply(self, words: list[bytes]) -> bytes:
        if len(words) != 3 or words[0] not in (b"GET", b"HEAD"):
            return _response(405, b"only GET /metrics\n")
        if words[1].partition(b"?")[0] != b"/metrics":
            return _response(404, b"only /metrics is here\n")
        if not self._limit.allows(boottime_s()):
            return _response(429, b"more scrapes a second than ttExporter -limit allows\n")
        try:
            body = await self._scrape()
        except Exception as error:
            log.exception("exporter.scrape_failed")
            return _response(500, f"{type(error).__name__}\n".encode())
        return _response(200, b"" if words[0] == b"HEAD" else body, CONTENT_TYPE)


class _Rate:
    """So many a second; 0: any number."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._at_s = boottime_s()

    def allows(self, now_s: float) -> bool:
        """One more now?"""
        if not self._per_second:
            return True
        gained = (now_s - self._at_s) * self._per_second
        self._at_s, self._left = now_s, min(float(self._per_second), self._left + gained)
        if self._left < 1:
            return False
        self._left -= 1
        return True


_WORDS = {
    200: "OK",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


def _response(status: int, body: bytes, content_type: str = "text/plain") -> bytes:
    head = (
        f"HTTP/1.1 {status} {_WORDS[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size)
