"""RPC between nodes over real sockets: calls, deadlines, cancel, loss, restarts, garbage."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import uvloop

from protocol import limits
from protocol.clock import boottime_s
from protocol.errors import (
    CancelledError,
    DeadlineError,
    GridError,
    InternalError,
    LockTimeoutError,
    NotServingError,
    PeerBusyError,
    PeerLostError,
    PeerProtocolError,
    PeerUnreachableError,
    TooLargeError,
)
from protocol.messages import registry
from protocol.rpc.connection import Connection
from protocol.rpc.handshake import NodeIdentity
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request

HOST = "127.0.0.1"


@registry.message
class Echo(msgspec.Struct, frozen=True, array_like=True, tag="test.echo"):
    """Reply: the same."""

    number: int
    payload: bytes = b""


class Hang(msgspec.Struct, frozen=True, array_like=True, tag="test.hang"):
    """Never answered."""


class Fault(msgspec.Struct, frozen=True, array_like=True, tag="test.fault"):
    """Its handler fails."""

    expected: bool


@registry.message
class Nobody(msgspec.Struct, frozen=True, array_like=True, tag="test.nobody"):
    """Declared; nobody handles it."""


class Slow(msgspec.Struct, frozen=True, array_like=True, tag="test.slow"):
    """Its handler waits for ever."""


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="test.ask"):
    """Its handler is a coroutine."""

    good: bool


class Undeclared(msgspec.Struct, frozen=True, array_like=True, tag="test.undeclared"):
    """Nobody declares it."""


def identity(name: str, incarnation: str = "1", **changes: Any) -> NodeIdentity:
    values: dict[str, Any] = {"grid_id": "grid1", "secret": b"secret"} | changes
    return NodeIdentity(name=name, incarnation=incarnation, **values)


class Side:
    """A node, its port and what its handlers saw."""

    def __init__(self, node: RpcNode, port: int) -> None:
        self.node, self.port = node, port
        self.hanging: list[Request] = []
        self.seen: list[Any] = []
        self.arrived = asyncio.Event()
        node.handle(Echo, self._echo)
        node.handle(Hang, self._hang)
        node.handle(Fault, self._fault)

    def _echo(self, message: Echo, request: Request) -> None:
        self.seen.append(message)
        self.arrived.set()
        request.reply(message)

    def _hang(self, _message: Hang, request: Request) -> None:
        self.hanging.append(request)
        self.arrived.set()

    def _fault(self, message: Fault, request: Request) -> None:
        if message.expected:
            raise LockTimeoutError("waited", hint="again")
        raise ZeroDivisionError("oops")


Start = Callable[..., Awaitable[Side]]


@asynccontextmanager
async def nodes() -> AsyncIterator[Start]:
    """Start nodes on demand; close them all at the end."""
    sides: list[Side] = []

    async def start_one(name: str, incarnation: str = "1", port: int = 0, **changes: Any) -> Side:
        node = RpcNode(identity(name, incarnation, **changes))
        side = Side(node, await node.listen(HOST, port))
        sides.append(side)
        return side

    try:
        yield start_one
    finally:
        for side in sides:
            await side.node.close()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with nodes() as start_one:
        yield start_one


async def joined(start: Start) -> tuple[Side, Side]:
    """Two connected nodes: a dials b."""
    a, b = await start("a"), await start("b")
    a.node.set_peer("b", HOST, b.port, "1")
    b.node.set_peer("a", HOST, a.port, "1")
    await a.node.wait_connected("b", 5)
    await b.node.wait_connected("a", 5)
    return a, b


def how_opened(side: Side) -> list[bool]:
    """For each connection of a node, whether it dialled."""
    return [connection.dialled for connection in side.node._connections]


@asynccontextmanager
async def until(event: asyncio.Event) -> AsyncIterator[None]:
    event.clear()
    yield
    async with asyncio.timeout(5):
        await event.wait()


async def test_both_sides_ask_over_one_connection(start: Start) -> None:
    a, b = await joined(start)
    assert await a.node.peer("b").call(Echo(1), 5) == Echo(1)
    assert await b.node.peer("a").call(Echo(2, b"x" * 70_000), 5) == Echo(2, b"x" * 70_000)
    assert len(a.node._connections) == len(b.node._connections) == 1
    assert b.node.peer("a").incarnation == "1"


async def test_many_calls_in_one_turn_make_one_frame(start: Start) -> None:
    a, _b = await joined(start)
    connection = a.node.peer("b").connection
    assert connection is not None
    writes: list[bytes] = []
    transport = connection._transport
    assert transport is not None

    class Spy:
        def __getattr__(self, name: str) -> Any:
            return getattr(transport, name)

        def write(self, data: bytes) -> None:
            writes.append(data)
            transport.write(data)

    connection._transport = Spy()  # type: ignore[assignment]
    calls = [a.node.peer("b").call(Echo(number), 5) for number in range(100)]
    assert await asyncio.gather(*calls) == [Echo(number) for number in range(100)]
    assert len(writes) == 1


async def test_replies_come_back_in_any_order(start: Start) -> None:
    a, b = await joined(start)
    first = asyncio.create_task(a.node.peer("b").call(Hang(), 5))
    assert await a.node.peer("b").call(Echo(2), 5) == Echo(2)
    b.hanging[0].reply(Echo(1))
    b.hanging[0].reply(Echo(99))  # a second answer goes nowhere
    assert await first == Echo(1)


async def test_errors_cross_with_code_and_hint(start: Start) -> None:
    a, _b = await joined(start)
    with pytest.raises(LockTimeoutError) as caught:
        await a.node.peer("b").call(Fault(True), 5)
    assert (caught.value.message, caught.value.hint) == ("waited", "again")
    with pytest.raises(InternalError, match="ZeroDivisionError: oops"):
        await a.node.peer("b").call(Fault(False), 5)
    assert await a.node.peer("b").call(Echo(1), 5) == Echo(1)


async def test_message_without_handler_or_declaration(start: Start) -> None:
    a, b = await joined(start)

    with pytest.raises(NotServingError, match=r"test\.nobody"):
        await a.node.peer("b").call(Nobody(), 5)
    with pytest.raises(PeerProtocolError, match=r"test\.undeclared"):
        await a.node.peer("b").call(Undeclared(), 5)
    hanging = asyncio.create_task(a.node.peer("b").call(Hang(), 5))
    async with until(b.arrived):
        pass
    b.hanging[0].reply(Undeclared())
    with pytest.raises(PeerProtocolError, match=r"test\.undeclared"):
        await hanging
    assert a.node.peer("b").connected


async def test_deadline_ends_the_call_here_and_the_request_there(start: Start) -> None:
    a, b = await joined(start)
    began_s = boottime_s()
    with pytest.raises(DeadlineError):
        await a.node.peer("b").call(Hang(), 0.1)
    assert 0.09 <= boottime_s() - began_s < 2.0
    [request] = b.hanging
    assert began_s < request.deadline_s < began_s + 2.0
    gone = asyncio.Event()
    request.on_cancel = gone.set
    if not request.cancelled:
        async with asyncio.timeout(5):
            await gone.wait()
    connection = b.node.peer("a").connection
    assert connection is not None
    async with asyncio.timeout(5):
        while connection.load()[1]:
            await asyncio.sleep(0.01)  # polls: the peer tells nobody when it has answered


async def test_cancel_reaches_the_handler_and_the_call_ends_with_its_answer(start: Start) -> None:
    a, b = await joined(start)
    started = asyncio.Event()

    async def slow(_message: Slow, _request: Request) -> Echo:
        started.set()
        await asyncio.Event().wait()
        return Echo(1)

    b.node.handle_async(Slow, slow)
    ended: asyncio.Future[GridError | None] = asyncio.get_running_loop().create_future()
    peer = a.node.peer("b")
    request_id = peer.send(Slow(), lambda _reply, error: ended.set_result(error), 5)
    await started.wait()
    peer.cancel(request_id)
    assert isinstance(await ended, CancelledError)


async def test_async_handler_replies_and_fails(start: Start) -> None:
    a, b = await joined(start)

    async def answer(message: Ask, request: Request) -> Echo:
        await asyncio.sleep(0)
        if not message.good:
            raise LockTimeoutError("no")
        return Echo(len(request.peer_name + request.peer_incarnation))

    b.node.handle_async(Ask, answer)
    assert await a.node.peer("b").call(Ask(True), 5) == Echo(2)
    with pytest.raises(LockTimeoutError):
        await a.node.peer("b").call(Ask(False), 5)


async def test_tell_arrives_without_an_answer(start: Start) -> None:
    a, b = await joined(start)
    async with until(b.arrived):
        a.node.peer("b").tell(Echo(5))
    assert b.seen == [Echo(5)]


async def test_not_connected_means_nothing_was_done(start: Start) -> None:
    a = await start("a")
    with pytest.raises(PeerUnreachableError):
        await a.node.peer("b").call(Echo(1), 5)
    a.node.peer("b").tell(Echo(1))  # lost, without an error


async def test_lost_connection_means_outcome_unknown_and_heals(start: Start) -> None:
    a, b = await joined(start)
    call = asyncio.create_task(a.node.peer("b").call(Hang(), 5))
    async with until(b.arrived):
        pass
    connection = b.node.peer("a").connection
    assert connection is not None
    connection.abort(None)
    with pytest.raises(PeerLostError):
        await call
    b.hanging[0].reply(Echo(1))  # into the void
    await a.node.wait_connected("b", 5)
    assert await a.node.peer("b").call(Echo(1), 5) == Echo(1)


async def test_a_peer_that_closes_is_no_fault_of_the_event_loop(start: Start) -> None:
    a, b = await joined(start)
    faults: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    lost = asyncio.Event()
    a.node.subscribe(lambda name, life, connected: None if connected else lost.set())
    async with until(lost):
        await b.node.close()
    loop.set_exception_handler(None)
    assert not faults


async def test_request_that_was_never_written_is_known_not_done(start: Start) -> None:
    a, _b = await joined(start)
    connection = a.node.peer("b").connection
    assert connection is not None
    connection.pause_writing()
    call = asyncio.create_task(a.node.peer("b").call(Echo(1), 5))
    await asyncio.sleep(0)
    connection.abort(None)
    with pytest.raises(PeerUnreachableError):
        await call


async def test_restarted_peer_replaces_its_old_life(start: Start) -> None:
    a, b = await joined(start)
    changes: list[tuple[str, str, bool]] = []
    back = asyncio.Event()

    def watch(name: str, incarnation: str, connected: bool) -> None:
        changes.append((name, incarnation, connected))
        if connected and incarnation == "2":
            back.set()

    a.node.subscribe(watch)
    await b.node.close()
    await start("b", "2", b.port)
    async with asyncio.timeout(5):
        await back.wait()
    assert changes == [("b", "1", False), ("b", "2", True)]
    assert a.node.peer("b").incarnation == "2"


async def test_earlier_life_is_not_let_in_again(start: Start) -> None:
    b = await start("b")
    old = await start("a", "1")
    old.node.set_peer("b", HOST, b.port)
    await b.node.wait_connected("a", 5)
    new = await start("a", "2")
    replaced = asyncio.Event()
    b.node.subscribe(lambda _n, inc, up: replaced.set() if up and inc == "2" else None)
    new.node.set_peer("b", HOST, b.port)
    async with asyncio.timeout(5):
        await replaced.wait()
    with pytest.raises(GridError):  # its connection went with the new life's arrival
        await old.node.peer("b").call(Echo(1), 2)
    with pytest.raises(PeerUnreachableError):
        await old.node.wait_connected("b", 0.3)
    assert await b.node.peer("a").call(Echo(1), 5) == Echo(1)
    assert b.node.peer("a").incarnation == "2"


async def test_new_incarnation_in_membership_ends_the_old_connection(start: Start) -> None:
    a, b = await joined(start)
    call = asyncio.create_task(b.node.peer("a").call(Hang(), 5))
    async with until(a.arrived):
        pass
    b.node.set_peer("a", HOST, a.port, "2")
    assert not b.node.peer("a").connected
    with pytest.raises(PeerLostError):
        await call


async def test_both_dialling_end_with_one_connection(start: Start) -> None:
    """A peer whose kind is not known yet may make both sides dial."""
    a, z = await start("a"), await start("z", kind="mgmt")
    for _ in range(5):
        a.node.set_peer("z", HOST, z.port)
        z.node.set_peer("a", HOST, a.port)
        await a.node.wait_connected("z", 5)
        await z.node.wait_connected("a", 5)
        async with asyncio.timeout(5):
            while [how_opened(a), how_opened(z)] != [[True], [False]]:  # by the smaller name
                await asyncio.sleep(0.01)  # polls: which connection won is no event
        assert await a.node.peer("z").call(Echo(1), 5) == Echo(1)
        assert await z.node.peer("a").call(Echo(1), 5) == Echo(1)
        a.node.drop_peer("z")
        z.node.drop_peer("a")


@pytest.mark.parametrize(
    "changes", [{"secret": b"guess"}, {"grid_id": "grid2"}], ids=["secret", "grid"]
)
async def test_strangers_stay_outside(start: Start, changes: dict[str, Any]) -> None:
    b = await start("b")
    stranger = await start("a", **changes)
    stranger.node.set_peer("b", HOST, b.port)
    with pytest.raises(PeerUnreachableError):
        await stranger.node.wait_connected("b", 0.3)
    assert not b.node.peer("a").connected


async def test_garbage_on_the_port_ends_that_connection_alone(start: Start) -> None:
    a, b = await joined(start)
    for garbage in (
        b"\x00" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 5000,
        b"\x00\x00\x00\x01\xc1",
    ):
        reader, writer = await asyncio.open_connection(HOST, b.port)
        writer.write(garbage)
        async with asyncio.timeout(5):
            try:
                answer = await reader.read()
            except ConnectionResetError:
                answer = b""
        assert len(answer) < 500
        writer.close()
    assert await a.node.peer("b").call(Echo(1), 5) == Echo(1)


async def test_garbage_of_a_proven_peer_ends_the_connection_which_heals(start: Start) -> None:
    a, _b = await joined(start)
    connection = a.node.peer("b").connection
    assert connection is not None
    assert connection._transport is not None
    gone = asyncio.Event()
    a.node.subscribe(lambda _n, _i, up: None if up else gone.set())
    connection._transport.write(b"\x00\x00\x00\x03abc")
    async with asyncio.timeout(5):
        await gone.wait()
    await a.node.wait_connected("b", 5)
    assert await a.node.peer("b").call(Echo(1), 5) == Echo(1)


async def test_silent_connections_are_dropped(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protocol.rpc.node.HANDSHAKE_TIMEOUT_S", 0.05)
    b = await start("b")
    reader, writer = await asyncio.open_connection(HOST, b.port)
    async with asyncio.timeout(5):
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
    writer.close()


async def test_too_large_messages_fail_alone(start: Start) -> None:
    a, b = await joined(start)
    big = b"x" * (limits.RPC_FRAME_BYTES_MAX + 1)
    with pytest.raises(TooLargeError):
        await a.node.peer("b").call(Echo(1, big), 5)
    hanging = asyncio.create_task(a.node.peer("b").call(Hang(), 5))
    async with until(b.arrived):
        pass
    b.hanging[0].reply(Echo(1, big))
    with pytest.raises(TooLargeError):
        await hanging
    nearly = b"x" * (limits.RPC_FRAME_BYTES_MAX - 200)
    assert (await a.node.peer("b").call(Echo(1, nearly), 5)).payload == nearly


async def test_in_flight_limit(start: Start) -> None:
    a, _b = await joined(start)
    peer = a.node.peer("b")
    errors: list[GridError | None] = []
    for _ in range(limits.RPC_IN_FLIGHT_MAX + 3):
        peer.send(Hang(), lambda _reply, error: errors.append(error), 5)
    assert errors == []  # never from within send
    await asyncio.sleep(0)
    assert [type(error) for error in errors] == [PeerBusyError] * 3


async def test_slow_peer_bounds_what_is_queued(start: Start) -> None:
    a, _b = await joined(start)
    peer = a.node.peer("b")
    connection = peer.connection
    assert connection is not None
    connection.pause_writing()
    outcomes: list[tuple[Any, GridError | None]] = []
    payload = b"x" * limits.MIB
    for number in range(40):
        peer.send(Echo(number, payload), lambda r, e: outcomes.append((r, e)), 30)
        peer.tell(Echo(number, payload))
    assert connection.load()[2] < limits.RPC_QUEUE_BYTES_MAX + 3 * limits.MIB
    await asyncio.sleep(0)
    assert outcomes
    assert all(isinstance(error, PeerBusyError) for _, error in outcomes)
    connection.resume_writing()
    async with asyncio.timeout(20):
        while len(outcomes) < 40:
            await asyncio.sleep(0.01)  # polls: the last answers come one by one
    served = [reply.number for reply, error in outcomes if error is None]
    assert served == list(range(len(served)))
    assert len(served) > 10


async def test_peer_that_reads_no_answers_is_dropped(start: Start) -> None:
    a, b = await joined(start)
    connection = b.node.peer("a").connection
    assert connection is not None
    lost = asyncio.Event()
    b.node.subscribe(lambda _n, _i, up: None if up else lost.set())
    connection.pause_writing()
    payload = b"x" * (16 * limits.MIB)
    hangs = [asyncio.create_task(a.node.peer("b").call(Hang(), 5)) for _ in range(8)]
    async with asyncio.timeout(5):
        while len(b.hanging) < 8:
            await asyncio.sleep(0.01)  # polls: the handlers tell nobody that they hang
    for request in b.hanging:
        request.reply(Echo(1, payload))
    async with asyncio.timeout(5):
        await lost.wait()
    results = await asyncio.gather(*hangs, return_exceptions=True)
    assert all(isinstance(result, PeerLostError) for result in results)


async def test_asking_oneself_skips_the_socket_but_not_the_rules(start: Start) -> None:
    a = await start("a")
    me = a.node.peer("a")
    assert me.connected
    entered: list[str] = []

    def on_reply(reply: Any, _error: GridError | None) -> None:
        entered.append("reply")
        done.set_result(reply)

    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    message = Echo(1)
    me.send(message, on_reply, 5)
    assert a.seen == []  # the handler runs on a fresh stack
    assert await done is message
    with pytest.raises(LockTimeoutError):
        await me.call(Fault(True), 5)
    with pytest.raises(DeadlineError):
        await me.call(Hang(), 0.05)
    me.tell(Echo(7))
    async with until(a.arrived):
        pass
    assert a.seen[-1] == Echo(7)


async def test_closing_writes_out_what_was_answered(start: Start) -> None:
    a, b = await joined(start)
    call = asyncio.create_task(a.node.peer("b").call(Hang(), 5))
    async with until(b.arrived):
        pass
    b.hanging[0].reply(Echo(3))
    await b.node.close()
    assert await call == Echo(3)
    with pytest.raises(GridError):
        await a.node.peer("b").call(Echo(1), 1)


async def test_tools_are_forgotten_when_they_leave(start: Start) -> None:
    b, tool = await start("b"), await start("tool-7", kind="tool")
    tool.node.set_peer("b", HOST, b.port)
    await b.node.wait_connected("tool-7", 5)
    await tool.node.wait_connected("b", 5)
    gone = asyncio.Event()
    b.node.subscribe(lambda _n, _i, up: None if up else gone.set())
    await tool.node.close()
    async with asyncio.timeout(5):
        await gone.wait()
    assert [peer.name for peer in b.node.peers()] == ["b"]


async def test_dead_link_options_are_set(start: Start) -> None:
    a, _b = await joined(start)
    connection = a.node.peer("b").connection
    assert isinstance(connection, Connection)
    assert connection._transport is not None
    sock = connection._transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2000


SCENARIOS = [
    function
    for name, function in list(globals().items())
    if name.startswith("test_") and list(inspect.signature(function).parameters) == ["start"]
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda function: function.__name__)
def test_the_same_on_uvloop(scenario: Callable[[Start], Coroutine[Any, Any, None]]) -> None:
    """Tools run on asyncio's loop, daemons on uvloop, whose transports differ in details."""

    async def run() -> None:
        async with nodes() as start_one:
            await scenario(start_one)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
