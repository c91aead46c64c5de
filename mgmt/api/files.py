"""The console's own files: static, small, nothing loaded from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

PREFIX = "/console/"
FOLDER = Path(__file__).resolve().parent / "console"
HEADERS = {
    # whatever ends up in a page, it cannot run anything or call home
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; font-src 'self'; manifest-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for again each time, answered 304 when it is the same
}
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


class ConsoleFiles:
    """All files, read once: there are a few, and no path of a request touches the disk."""

    def __init__(self, active_url: Callable[[], str], folder: Path = FOLDER) -> None:
        self._active_url = active_url  # of the API of another instance that is the active one
        self._files: dict[str, tuple[bytes, str, str]] = {}
        for path in sorted(folder.rglob("*")):
            kind = _TYPES.get(path.suffix)
            if kind is not None:
                body = path.read_bytes()
                tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
                self._files[path.relative_to(folder).as_posix()] = (body, kind, tag)

    async def answer(self, http: web.Request) -> web.Response:
        """A file; the page itself for the bare prefix, which the standby redirects."""
        name = http.match_info["name"] or "index.html"
        if name == "index.html" and (active := self._active_url()):
            return web.Response(status=307, headers={**HEADERS, "Location": active + PREFIX})
        found = self._files.get(name)
        if found is None:
            return web.Response(status=404, text="There is no such page.\n", headers=HEADERS)
        body, kind, tag = found
        if http.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={**HEADERS, "ETag": tag})
        return web.Response(
            body=body, content_type=kind, charset="utf-8", headers={**HEADERS, "ETag": tag}
        )


async def to_console(http: web.Request) -> web.Response:
    """From / and /console."""
    return web.Response(status=302, headers={"Location": PREFIX})
