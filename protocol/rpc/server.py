"""The answering side: one `Request` per received request, and the table of handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog

from protocol import trace, trace_id
from protocol.clock import boottime_s
from protocol.errors import (
    CancelledError,
    DeadlineError,
    GridError,
    InternalError,
    NotServingError,
    PeerProtocolError,
    PrivilegeError,
)
from protocol.messages import registry

log = structlog.get_logger(__name__)

Handler = Callable[[Any, "Request"], None]
AsyncHandler = Callable[[Any, "Request"], Awaitable[Any]]


class AnswerPath(Protocol):
    """Where a Request's answer goes: a connection, or this process itself."""

    peer_name: str
    peer_incarnation: str
    peer_kind: str  # "data" | "mgmt" | "tool"; "self": this process

    def answer(self, request_id: int, message: Any) -> None:
        """Send the reply; nothing happens when nobody waits any more."""
        ...

    def answer_failure(self, request_id: int, error: GridError) -> None:
        """Send the failure; nothing happens when nobody waits any more."""
        ...


class Request:
    """One received request. Answer it once, now or later, with `reply` or `fail`.

    An answer after the deadline, after a lost connection or after another answer goes nowhere.
    `on_cancel` may be set to a function called once when the caller gives up or the deadline
    passes; the handler then stops when it can and fails with CancelledError or DeadlineError.
    """

    __slots__ = ("_path", "cancelled", "deadline_s", "id", "on_cancel")

    def __init__(self, path: AnswerPath, request_id: int, deadline_s: float) -> None:
        self._path = path
        self.id = request_id  # 0: a tell, nobody waits
        self.deadline_s = deadline_s  # on the boottime clock; for a tell infinity
        self.cancelled = False
        self.on_cancel: Callable[[], object] | None = None

    @property
    def peer_name(self) -> str:
        """The instance (or tool) that asks."""
        return self._path.peer_name

    @property
    def peer_incarnation(self) -> str:
        """In which life it asks."""
        return self._path.peer_incarnation

    @property
    def peer_kind(self) -> str:
        """What asks; proved by its certificate where the network is encrypted."""
        return self._path.peer_kind

    def reply(self, message: Any) -> None:
        """Answer with a declared message."""
        if trace.steps.listener is not None:
            trace.step("protocol/rpc/server.py", message)
        self._path.answer(self.id, message)

    def fail(self, error: GridError) -> None:
        """Answer with an error."""
        self._path.answer_failure(self.id, error)

    def cancel(self) -> None:
        """Tell the handler that nobody waits any more (called by the connection)."""
        self.cancelled = True
        on_cancel, self.on_cancel = self.on_cancel, None
        if on_cancel is not None:
            on_cancel()


class TracedRequest(Request):
    """One of a statement with a trace id: it is logged when it takes long."""

    __slots__ = ("_began_s", "_message", "_trace")

    def __init__(
        self, path: AnswerPath, request_id: int, deadline_s: float, message: Any, trace: str
    ) -> None:
        super().__init__(path, request_id, deadline_s)
        self._message = message
        self._trace = trace
        self._began_s = boottime_s()

    def reply(self, message: Any) -> None:
        """See Request."""
        self._log("")
        super().reply(message)

    def fail(self, error: GridError) -> None:
        """See Request."""
        self._log(error.code)
        super().fail(error)

    def _log(self, error: str) -> None:
        seconds = boottime_s() - self._began_s
        if seconds >= trace_id.Slow.seconds:
            log.warning(
                "request.slow",
                trace=self._trace,
                message=registry.tag_of(type(self._message)),
                peer=self.peer_name,
                seconds=round(seconds, 6),
                error=error,
            )


def from_management(handler: AsyncHandler) -> AsyncHandler:
    """The handler, for management instances alone: others get a PrivilegeError."""

    async def checked(message: Any, request: Request) -> Any:
        if request.peer_kind not in ("mgmt", "self"):
            log.warning("rpc.refused", peer=request.peer_name, message=type(message).__name__)
            raise PrivilegeError(
                f"{type(message).__name__}: {request.peer_name} is no management instance"
            )
        return await handler(message, request)

    return checked


class HandlerTable:
    """Message type → handler. The dictionary is shared with the connections' hot path."""

    def __init__(self) -> None:
        self.by_type: dict[type, Handler] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def handle(self, message_type: Any, handler: Handler) -> None:
        """Call `handler(message, request)` on the event loop for each such message."""
        registry.declare(message_type)
        self.by_type[message_type] = handler

    def handle_async(self, message_type: Any, coroutine_fn: AsyncHandler) -> None:
        """For cold paths: a task per request; its result is the reply, its exception the failure.

        The task is cancelled when the caller gives up or the deadline passes.
        """

        def start(message: Any, request: Request) -> None:
            task = asyncio.create_task(self._run(coroutine_fn, message, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            request.on_cancel = task.cancel

        self.handle(message_type, start)

    async def _run(self, coroutine_fn: AsyncHandler, message: Any, request: Request) -> None:
        try:
            reply = await coroutine_fn(message, request)
        except asyncio.CancelledError:
            request.fail(CancelledError("the caller gave up"))
            raise
        except Exception as error:
            request.fail(failure_for(error, message))
        else:
            if reply is not None:
                request.reply(reply)

    def dispatch(self, message: Any, request: Request) -> None:
        """Run the handler; whatever it raises becomes the answer. Never raises."""
        if trace.steps.listener is not None:
            trace.step("protocol/rpc/server.py", message)
        handler = self.by_type.get(type(message))
        try:
            if handler is None:
                tag = registry.tag_of(type(message))
                raise NotServingError(f"nothing here answers {tag} (yet)")
            handler(message, request)
        except Exception as error:
            request.fail(failure_for(error, message))

    async def close(self) -> None:
        """Cancel what `handle_async` still runs and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def failure_for(error: Exception, message: Any) -> GridError:
    """The error to send for what a handler raised; unexpected ones are logged with their trace."""
    if isinstance(error, GridError):
        return error
    if isinstance(error, TimeoutError):
        return DeadlineError(str(error) or "the time for the request is over")
    log.error("rpc.handler_failed", message=type(message).__qualname__, exc_info=error)
    return InternalError(f"{type(error).__name__}: {error}")


def not_understood(error: PeerProtocolError, peer_name: str) -> None:
    """Log a message that could not be decoded; the caller is told when it waits."""
    log.warning("rpc.message_not_understood", peer=peer_name, error=error.message)
