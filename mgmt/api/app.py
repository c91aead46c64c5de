"""The HTTP application: one POST per request type, a bearer token, GridErrors as statuses.

Beside them a stream of events, the OpenAPI document and the console's files. The standby answers
with a redirect to the active instance.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import structlog
from aiohttp import web

from mgmt.api import audited, files, openapi, schema
from mgmt.api.events import EventStreams
from mgmt.ops import caller
from mgmt.ops.runner import Progress
from protocol import audit, audit_file, trace
from protocol.clock import boottime_s
from protocol.errors import (
    AuthenticationError,
    GridError,
    InternalError,
    NotActiveManagementError,
    ParameterError,
    TooLargeError,
    UnknownObjectError,
    UsageError,
)

log = structlog.get_logger()
Handler = Callable[[Any, Progress], Awaitable[schema.Reply]]
CLIENT_HEADER = "X-TenGrid-Client"
API = "/api/"
_encode = msgspec.json.Encoder().encode


class Route(NamedTuple):
    """Who answers a request type. `anywhere`: also when this instance is not the active one."""

    request: type[schema.Request]
    handler: Handler
    anywhere: bool = False


class Api:
    """All routes behind one token."""

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        token: str,
        role_known: Callable[[], Awaitable[None]],
        check_active: Callable[[], None],
        secured: Callable[[], Awaitable[None]],
        events: EventStreams,
        active_url: Callable[[], str],
        version: str,
    ) -> None:
        self._routes = {route.request.PATH: route for route in routes}
        self._events = events
        self._active_url = active_url  # https://address:port of the active one; "": unknown
        self._version = version
        self._document = b""  # made when it is first asked for
        self._secured = secured  # what is answered must not be lost with this instance
        self._token = token
        self._role_known = role_known  # waits, at most a while
        self._check_active = check_active  # raises NotActiveManagementError

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=schema.BODY_BYTES_MAX, middlewares=[_as_json])
        app.router.add_post(schema.API_PREFIX + "{path:.+}", self._answer)
        app.router.add_get(schema.API_PREFIX + "events", self._stream_events)
        app.router.add_get("/api/openapi.json", self._describe)
        static = files.ConsoleFiles(self._active_url)
        app.router.add_get("/", files.to_console)
        app.router.add_get(files.PREFIX.rstrip("/"), files.to_console)
        app.router.add_get(files.PREFIX + "{name:[A-Za-z0-9_./-]*}", static.answer)
        return app

    async def _describe(self, http: web.Request) -> web.Response:
        """The document holds nothing of this grid: it asks for no token."""
        if not self._document:
            kinds = (route.request for route in self._routes.values())
            self._document = _encode(openapi.document(kinds, self._version))
        return web.Response(body=self._document, content_type="application/json")

    async def _stream_events(self, http: web.Request) -> web.StreamResponse:
        try:
            self._authenticate(http)
            await self._role_known()
            self._check_active()
            return await self._events.answer(http)
        except GridError as error:
            return self._failure(http, error)

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        if trace.steps.listener is not None:
            trace.step("mgmt/api/app.py")
        path = http.match_info["path"]
        try:
            self._authenticate(http)
            route = self._routes.get(path)
            if route is None:
                raise UnknownObjectError(f"this management instance knows no request {path}")
            request = await _decode(http, route.request)
            if not route.anywhere:
                await self._role_known()
                self._check_active()
        except GridError as error:
            return self._failure(http, error)
        caller.caller.set(caller.shown(_agent(http), http.remote or ""))
        log.debug("api.requested", path=path)
        if route.request.STREAM:
            return await self._stream(http, route, request)
        try:
            reply = await self._call(route, request, _no_progress)
        except GridError as error:
            return self._failure(http, error)
        return web.Response(body=_encode(reply), content_type="application/json")

    async def _call(
        self, route: Route, request: schema.Request, progress: Progress
    ) -> schema.Reply:
        """The handler's reply; what changes something is written to the audit log."""
        began_s, result = boottime_s(), "interrupted"
        try:
            reply = await self._handled(route, request, progress)
            result = audit_file.DONE
            return reply
        except GridError as error:
            result = error.code
            raise
        finally:
            if audited.is_audited(route.request):
                who, seconds = caller.caller.get(), boottime_s() - began_s
                audit.command(who, audited.spoken(request), result, seconds)

    async def _handled(
        self, route: Route, request: schema.Request, progress: Progress
    ) -> schema.Reply:
        try:
            reply = await route.handler(request, progress)
            assert isinstance(reply, openapi.reply_of(route.request)), type(reply)
            if not route.anywhere:
                await self._secured()
            return reply
        except GridError:
            raise
        except Exception as error:
            log.exception("api.crashed", path=route.request.PATH)
            raise InternalError(
                f"{route.request.PATH}: {type(error).__name__}: {error}",
                hint="The trace is in diag/ttmesg.log of the management instance.",
            ) from error

    async def _stream(
        self, http: web.Request, route: Route, request: schema.Request
    ) -> web.StreamResponse:
        """Send progress lines while the handler works, then its outcome.

        The work goes on when the client goes away: an operation is cancelled only by command.
        """
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(http)
        gone = False

        async def send(line: bytes) -> None:
            nonlocal gone
            if gone:
                return
            try:
                await response.write(line + b"\n")
            except ConnectionError:
                gone = True

        async def progress(kind: str, text: str) -> None:
            await send(_encode(schema.Event(kind, text)))

        async def work() -> schema.Outcome:
            try:
                reply = await self._call(route, request, progress)
            except GridError as error:
                return schema.Outcome(error=schema.error_body(error))
            return schema.Outcome(reply=msgspec.Raw(_encode(reply)))

        outcome = await asyncio.shield(
            asyncio.create_task(work(), name=f"api-{route.request.PATH}")
        )
        await send(_encode(outcome))
        return response

    def _failure(self, http: web.Request, error: GridError) -> web.Response:
        status, headers = schema.http_status(error), {}
        if isinstance(error, NotActiveManagementError) and (active := self._active_url()):
            status, headers["Location"] = 307, active + http.path_qs
        return _refusal(status, headers, error)

    def _authenticate(self, http: web.Request) -> None:
        given = http.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            address = http.remote or ""
            audit.refused(caller.shown(_agent(http), ""), "wrong token", address, path=http.path)
            raise AuthenticationError(
                "the management API wants this instance's token",
                hint="Only the instance administrator, who can read conf/api.token, may call it.",
            )


def _refusal(status: int, headers: Mapping[str, str], error: GridError) -> web.Response:
    return web.Response(
        status=status,
        headers=headers,
        body=_encode({"error": schema.error_body(error)}),
        content_type="application/json",
    )


@web.middleware
async def _as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What the router refuses below /api/ is told in the form of all errors."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as refused:
        if not request.path.startswith(API):
            raise
        allowed = " or ".join(sorted(refused.allowed_methods))
        error: GridError = UsageError(
            f"{request.method} {request.path}: the method is {allowed}",
            hint="/api/openapi.json describes all requests.",
        )
        return _refusal(refused.status, {"Allow": refused.headers["Allow"]}, error)
    except web.HTTPNotFound as refused:
        if not request.path.startswith(API):
            raise
        error = UnknownObjectError(
            f"there is no {request.path}", hint=f"Requests are below {schema.API_PREFIX}."
        )
        return _refusal(refused.status, {}, error)


def _agent(http: web.Request) -> str:
    """What the client says it is; the console says so, browsers only their own name."""
    own: str | None = http.headers.get(CLIENT_HEADER)
    return own if own else str(http.headers.get("User-Agent", ""))


async def _no_progress(kind: str, text: str) -> None:
    return


async def _decode(http: web.Request, kind: type[schema.Request]) -> schema.Request:
    try:
        return msgspec.json.decode(await http.read() or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise ParameterError(f"{kind.PATH}: {error}") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLargeError(f"{kind.PATH}: body over {schema.BODY_BYTES_MAX} bytes") from error
