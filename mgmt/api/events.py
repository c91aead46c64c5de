"""Server-sent events: what happens to the grid and, if wanted, a picture of it each second."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from mgmt.api.schema_picture import GridEvent, Picture
from mgmt.service.event_log import LISTENERS_MAX, Listener
from mgmt.service.watching import LOOK_S, Watcher
from protocol.errors import GridError, ParameterError, TransientError

PAUSE_S = 15.0  # a comment at least so often shows that the stream lives
FIRST_MAX = 500  # events that a stream begins with
_encode = msgspec.json.Encoder().encode


class EventStreams:
    """GET events, for any number of clients up to LISTENERS_MAX."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._encoded: tuple[Picture | None, bytes] = (None, b"")

    async def answer(self, http: web.Request) -> web.StreamResponse:
        """Until the client goes away or this instance is not the active one any more.

        Raises GridError before the stream has begun.
        """
        log = self._watcher.events
        since = _number(http, "since", _number_of(http.headers.get("Last-Event-ID", "0")))
        pictures = _number(http, "pictures", 0) > 0
        if len(log.listeners) >= LISTENERS_MAX:
            raise TransientError("too many streams of events are open", hint="Close some of them.")
        first = self._picture(await self._watcher.look()) if pictures else b""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(http)
        listener = Listener()
        log.listeners.add(listener)
        try:
            for event in log.after(since, FIRST_MAX):
                await response.write(_happened(event))
            await response.write(first or b": here\n\n")
            await self._serve(response, listener, pictures)
        except (ConnectionError, GridError):
            pass  # the client is gone, or is to ask again and hear who is active
        finally:
            log.listeners.discard(listener)
        return response

    async def _serve(
        self, response: web.StreamResponse, listener: Listener, pictures: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        next_at = loop.time() + LOOK_S
        while not listener.missed:
            wait_s = max(0.0, next_at - loop.time()) if pictures else PAUSE_S
            try:
                async with asyncio.timeout(wait_s):
                    event = await listener.queue.get()
            except TimeoutError:
                next_at = loop.time() + LOOK_S
                if pictures:
                    await response.write(self._picture(await self._watcher.look()))
                else:
                    self._watcher.check_active()
                    await response.write(b": still here\n\n")
                continue
            await response.write(_happened(event))
            if pictures:  # what happened shows at once
                next_at = min(next_at, loop.time() + LOOK_S / 10)

    def _picture(self, picture: Picture) -> bytes:
        """As a message; made once for all clients."""
        if self._encoded[0] is not picture:
            self._encoded = (picture, b"event: picture\ndata: " + _encode(picture) + b"\n\n")
        return self._encoded[1]


def _happened(event: GridEvent) -> bytes:
    return b"event: happened\nid: %d\ndata: %b\n\n" % (event.id, _encode(event))


def _number(http: web.Request, name: str, default: int) -> int:
    return _number_of(http.query[name]) if name in http.query else default


def _number_of(text: str) -> int:
    if not text.isdigit() or len(text) > 15:
        raise ParameterError(f"'{text[:20]}' is not a number", hint="?since=N&pictures=1")
    return int(text)
