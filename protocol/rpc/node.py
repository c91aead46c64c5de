"""`RpcNode`: a process on the internal network. Listens, dials, keeps one connection per peer."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from typing import Any, cast

import structlog

from protocol import limits
from protocol.clock import boottime_s
from protocol.errors import GridError, HandshakeError, PeerProtocolError, PeerUnreachableError
from protocol.rpc import envelope
from protocol.rpc.client import LocalPeer, RpcPeer
from protocol.rpc.connection import Connection, tune_socket
from protocol.rpc.frame import FrameReader, frame
from protocol.rpc.handshake import (
    NONCE_BYTES,
    WIRE_VERSION_MAX,
    WIRE_VERSION_MIN,
    AcceptorHandshake,
    DiallerHandshake,
    NodeIdentity,
    PeerIdentity,
    dials,
    refusal,
)
from protocol.rpc.server import AsyncHandler, Handler, HandlerTable, Request
from protocol.rpc.ticker import Ticker
from protocol.tls import InternalTls, check_certificate

log = structlog.get_logger(__name__)

HANDSHAKE_TIMEOUT_S = 2.0
BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 1.0
STEADY_S = 5.0  # a connection that lasted this long resets the back-off
PeerWatcher = Callable[[str, str, bool], None]  # name, incarnation, connected


class RpcNode:
    """One per process. Create it inside a running event loop."""

    def __init__(
        self,
        me: NodeIdentity,
        wire_versions: tuple[int, int] = (WIRE_VERSION_MIN, WIRE_VERSION_MAX),
        *,
        tls: InternalTls | None = None,
    ) -> None:
        """tls: None speaks in clear, which is for grids that never leave this machine."""
        self.me = me
        self.tls = tls
        self.wire_versions = wire_versions
        self._handlers = HandlerTable()
        self._codec = envelope.Codec()
        self._ticker = Ticker(self._sweep)
        self._local = LocalPeer(me.name, me.incarnation, self._handlers)
        self._local.watch_with(self._ticker)
        self._peers: dict[str, RpcPeer] = {me.name: self._local}
        self._connections: set[Connection] = set()
        self._handshakes: set[_Handshaking] = set()
        self._watchers: list[PeerWatcher] = []
        self._server: asyncio.Server | None = None
        self._own_address = ""  # where it listens; what it dials comes from there too
        self._closing = False
        self._all_gone = asyncio.Event()
        self._sent_bytes = self._received_bytes = 0  # of connections that are gone

    # -- handlers ---------------------------------------------------------------------------------
    def handle(self, message_type: Any, handler: Handler) -> None:
        """Call `handler(message, request)` on the event loop for each message of that type."""
        self._handlers.handle(message_type, handler)

    def handle_async(self, message_type: Any, coroutine_fn: AsyncHandler) -> None:
        """For cold paths: the coroutine's result is the reply, what it raises the failure."""
        self._handlers.handle_async(message_type, coroutine_fn)

    def dispatch(self, message: Any, request: Request) -> None:
        """Run a handler for a message that did not come by a connection of its sender."""
        self._handlers.dispatch(message, request)

    # -- listening --------------------------------------------------------------------------------
    async def listen(self, address: str, port: int) -> int:
        """Accept peers there; returns the port (a free one for 0). OSError when it is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Handshaking(self, None),
            address,
            port,
            backlog=256,
            **({} if self.tls is None else _listening(self.tls)),
        )
        self._own_address = address
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, drain_s: float = 1.0) -> None:
        """Stop listening and dialling, write out what is queued (at most `drain_s`), disconnect."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        dialling = [peer.dialling for peer in self._peers.values() if peer.dialling is not None]
        for task in dialling:
            task.cancel()
        await asyncio.gather(*dialling, return_exceptions=True)
        await self._handlers.close()
        for handshaking in list(self._handshakes):
            handshaking.abort()
        for connection in list(self._connections):
            connection.close()
        if self._connections:
            self._all_gone.clear()
            try:
                async with asyncio.timeout(drain_s):
                    await self._all_gone.wait()
            except TimeoutError:
                for connection in list(self._connections):
                    connection.abort(None)
        self._ticker.stop()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None
        await asyncio.sleep(0)  # aborted transports report their end in the next turn

    # -- peers ------------------------------------------------------------------------------------
    def set_peer(
        self, name: str, address: str, port: int, incarnation: str = "", kind: str = "data"
    ) -> RpcPeer:
        """Say where a peer is and in which life; dials it when that is our part.

        A new incarnation ends the connection to the old one at once. Repeating a call is free.
        """
        peer = self.peer(name)
        if peer is self._local:
            return peer
        renewed = incarnation != peer.expected_incarnation
        moved = (address, port) != (peer.address, peer.port)
        peer.address, peer.port, peer.kind = address, port, kind
        if renewed and incarnation:
            if peer.expected_incarnation and peer.expected_incarnation not in peer.retired:
                peer.retired.append(peer.expected_incarnation)
            if incarnation in peer.retired:  # the membership service knows better than we do
                peer.retired.remove(incarnation)
            peer.expected_incarnation = incarnation
            if peer.connected and peer.incarnation != incarnation:
                self._detach(peer)
        if (moved or renewed) and peer.dialling is not None:
            peer.dialling.cancel()
            peer.dialling = None
        self._dial(peer, BACKOFF_FIRST_S)
        return peer

    def drop_peer(self, name: str) -> None:
        """Forget a peer: no more dialling, the connection ends."""
        peer = self._peers.get(name)
        if peer is None or peer is self._local:
            return
        del self._peers[name]
        peer.address = ""
        if peer.dialling is not None:
            peer.dialling.cancel()
            peer.dialling = None
        self._detach(peer)

    def disconnect(self, name: str) -> None:
        """End the connection to a peer that is taken for dead: its calls end with PeerLostError.

        For a process that is stopped, whose kernel still answers. It may come back: it dials again
        by itself, or we do after the next `set_peer`.
        """
        peer = self._peers.get(name)
        if peer is None or peer is self._local:
            return
        if peer.dialling is not None:
            peer.dialling.cancel()
            peer.dialling = None
        self._detach(peer)

    def redial(self, name: str) -> None:
        """Dial a known peer again after `disconnect`, if that is our part."""
        peer = self._peers.get(name)
        if peer is not None:
            self._dial(peer, 2 * BACKOFF_FIRST_S)

    def peer(self, name: str) -> RpcPeer:
        """The peer of that name, connected or not; always the same object until dropped."""
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers[name] = RpcPeer(name)
        return peer

    def peers(self) -> tuple[RpcPeer, ...]:
        """All peers, this process itself included."""
        return tuple(self._peers.values())

    def numbers(self) -> dict[str, float]:
        """For monitoring: protocol/metric_names.py. Requests count from 1 for each peer."""
        peers = [peer for peer in self._peers.values() if peer is not self._local]
        open_now = [peer.connection for peer in peers if peer.connection is not None]
        every = self._connections
        loads = [connection.load() for connection in open_now]
        asked = sum(p.connection.next_id if p.connection else p.next_id for p in peers)
        return {
            "rpc_peers_connected": len(open_now),
            "rpc_requests_total": asked - len(peers),
            "rpc_requests_waiting": sum(load[0] for load in loads),
            "rpc_requests_open": sum(load[1] for load in loads),
            "rpc_queued_bytes": sum(load[2] for load in loads),
            "rpc_sent_bytes_total": self._sent_bytes + sum(c.sent_bytes for c in every),
            "rpc_received_bytes_total": self._received_bytes + sum(c.received_bytes for c in every),
        }

    def subscribe(self, watcher: PeerWatcher) -> Callable[[], None]:
        """Call `watcher(name, incarnation, connected)` on each change; returns the unsubscriber."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    async def wait_connected(self, name: str, timeout_s: float) -> RpcPeer:
        """Wait for a connection to that peer. PeerUnreachableError when the time is over."""
        peer = self.peer(name)
        if peer.connected:
            return peer
        arrived = asyncio.Event()

        def watch(changed: str, _incarnation: str, connected: bool) -> None:
            if changed == name and connected:
                arrived.set()

        unsubscribe = self.subscribe(watch)
        try:
            async with asyncio.timeout(timeout_s):
                await arrived.wait()
        except TimeoutError:
            raise PeerUnreachableError(f"{name} is not connected") from None
        finally:
            unsubscribe()
        return self.peer(name)

    # -- dialling ---------------------------------------------------------------------------------
    def _dial(self, peer: RpcPeer, backoff_s: float) -> None:
        if self._closing or not peer.address or peer.connected or peer.dialling is not None:
            return
        if dials(self.me.kind, self.me.name, peer.kind, peer.name):
            peer.dialling = asyncio.create_task(self._dial_until_connected(peer, backoff_s))

    async def _dial_until_connected(self, peer: RpcPeer, backoff_s: float) -> None:
        me = asyncio.current_task()
        attempts = 0
        try:
            while peer.connection is None:
                if attempts or backoff_s > BACKOFF_FIRST_S:
                    await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))
                    backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
                try:
                    await self._dial_once(peer)
                except (OSError, HandshakeError, TimeoutError) as error:
                    if attempts == 0:  # say it once; what follows is the same story
                        log.info("rpc.dial_failed", peer=peer.name, error=str(error))
                attempts += 1
        finally:
            if peer.dialling is me:
                peer.dialling = None

    async def _dial_once(self, peer: RpcPeer) -> None:
        """One attempt. OSError, TimeoutError or HandshakeError when it fails.

        From the own internal address: internal traffic stays on the internal network, and its two
        addresses say who talks to whom (to firewalls, captures and tests that cut a link).
        """
        loop = asyncio.get_running_loop()
        local = (self._own_address, 0) if self._own_address else None
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            _, handshaking = await loop.create_connection(
                lambda: _Handshaking(self, peer.name),
                *(peer.address, peer.port),
                local_addr=local,
                **({} if self.tls is None else _dialling(self.tls)),
            )
            try:
                await handshaking.finished
            except BaseException:
                handshaking.abort()
                raise

    # -- connections, called by _Handshaking and Connection ---------------------------------------
    def admit(self, identity: PeerIdentity, *, dialled: bool) -> None:
        """Raise HandshakeError when that peer may not have a connection now."""
        if self._closing:
            raise HandshakeError(f"{self.me.name} is stopping")
        peer = self._peers.get(identity.name)
        if peer is None:
            return
        if identity.incarnation in peer.retired:
            raise HandshakeError(f"{identity.name} has been restarted since")
        present = peer.connection
        if (
            present is not None
            and present.dialled != dialled
            and present.peer_incarnation == identity.incarnation
            and present.dialled == (self.me.name < identity.name)
        ):  # both dialled: both sides keep the one that the smaller name opened
            raise HandshakeError(f"{identity.name} is connected already")

    def opened(
        self,
        identity: PeerIdentity,
        transport: asyncio.Transport,
        early_bytes: bytes,
        *,
        dialled: bool,
    ) -> None:
        """A handshake is done: the connection becomes the peer's only one."""
        peer = self.peer(identity.name)
        if peer.kind != identity.kind:
            peer.kind = identity.kind
        old = peer.connection
        if old is not None:
            self._detach(peer)
        connection = Connection(
            identity,
            dialled=dialled,
            first_id=peer.next_id,
            codec=self._codec,
            handlers=self._handlers,
            ticker=self._ticker,
            on_lost=self._lost,
        )
        self._connections.add(connection)
        peer.connection = connection
        if old is not None and old.peer_incarnation != identity.incarnation:
            peer.retired.append(old.peer_incarnation)
        log.info("rpc.connected", peer=identity.name, incarnation=identity.incarnation)
        self._tell_watchers(identity.name, identity.incarnation, True)
        connection.start(transport, early_bytes)

    def _detach(self, peer: RpcPeer) -> None:
        """End the peer's present connection; nothing goes out on it from now on."""
        connection, peer.connection = peer.connection, None
        if connection is not None:
            peer.next_id = connection.next_id
            connection.abort(None)
            self._tell_watchers(peer.name, connection.peer_incarnation, False)

    def _lost(self, connection: Connection, error: Exception | None) -> None:
        self._connections.discard(connection)
        self._sent_bytes += connection.sent_bytes
        self._received_bytes += connection.received_bytes
        if not self._connections:
            self._all_gone.set()
        name = connection.peer_name
        peer = self._peers.get(name)
        if peer is None or peer.connection is not connection:
            return  # replaced by a newer one, or dropped
        peer.connection = None
        peer.next_id = connection.next_id
        log.info("rpc.disconnected", peer=name, error=str(error) if error else "")
        self._tell_watchers(name, connection.peer_incarnation, False)
        if peer.kind == "tool" and not peer.address:
            del self._peers[name]  # tools come once, under a name of their own
            return
        steady = boottime_s() - connection.opened_s >= STEADY_S
        self._dial(peer, BACKOFF_FIRST_S if steady else 2 * BACKOFF_FIRST_S)

    def _tell_watchers(self, name: str, incarnation: str, connected: bool) -> None:
        for watcher in list(self._watchers):
            try:
                watcher(name, incarnation, connected)
            except Exception:
                log.exception("rpc.watcher_failed", peer=name)

    def _sweep(self, now_s: float) -> bool:
        busy = self._local.sweep(now_s)
        for connection in list(self._connections):
            busy = connection.sweep(now_s) or busy
        return busy

    # -- handshakes in progress -------------------------------------------------------------------
    def handshake_began(self, handshaking: _Handshaking) -> bool:
        """Count a connection that is not proven yet; False: there are too many."""
        if self._closing or len(self._handshakes) >= limits.RPC_HANDSHAKES_MAX:
            return False
        self._handshakes.add(handshaking)
        return True

    def handshake_ended(self, handshaking: _Handshaking) -> None:
        """It is proven, refused or gone."""
        self._handshakes.discard(handshaking)


def _listening(tls: InternalTls) -> dict[str, Any]:
    return {"ssl": tls.listener, "ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S}


def _dialling(tls: InternalTls) -> dict[str, Any]:
    return {"ssl": tls.dialling(), "server_hostname": ""}


class _Handshaking(asyncio.Protocol):
    """A connection until it is proven; then the transport goes to a Connection."""

    def __init__(self, node: RpcNode, wanted_name: str | None) -> None:
        self._node = node
        self._dialled = wanted_name is not None
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._machine: DiallerHandshake | AcceptorHandshake
        if wanted_name is not None:
            self._machine = DiallerHandshake(node.me, wanted_name, node.wire_versions, nonce)
        else:
            self._machine = AcceptorHandshake(node.me, node.wire_versions, nonce)
        self._certified = node.tls is None  # nothing to check, or checked
        self._reader = FrameReader(limits.RPC_HANDSHAKE_FRAME_BYTES_MAX)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up: the dialler speaks first."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        if not self._node.handshake_began(self):
            self._transport.abort()
            return
        tune_socket(transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HANDSHAKE_TIMEOUT_S, self._timed_out)
        if isinstance(self._machine, DiallerHandshake):
            self._transport.write(frame(self._machine.start()))

    def data_received(self, data: bytes) -> None:
        """Next step of the handshake; bytes behind the last one belong to the Connection."""
        transport = self._transport
        if transport is None or self.finished.done():
            return
        try:
            self._step(transport, data)
        except (HandshakeError, PeerProtocolError) as error:
            self._failed(transport, error)

    def _step(self, transport: asyncio.Transport, data: bytes) -> None:
        early: list[memoryview] = []
        for body in self._reader.receive(data):
            if self._machine.peer is not None:
                early.append(body)
                continue
            answer = self._machine.receive(bytes(body))
            if not self._certified and self._machine.claimed is not None:
                check_certificate(transport, self._node.me.grid_id, self._machine.claimed)
                self._certified = True
            if answer is not None:
                transport.write(frame(answer))
        peer = self._machine.peer
        if peer is None:
            return
        self._node.admit(peer, dialled=self._dialled)
        if isinstance(self._machine, AcceptorHandshake):
            transport.write(frame(self._machine.welcome()))
        self._end(None)
        rest = b"".join(frame(bytes(body)) for body in early) + self._reader.rest()
        self._transport = None
        self._node.opened(peer, transport, rest, dialled=self._dialled)

    def _failed(self, transport: asyncio.Transport, error: GridError) -> None:
        if not self._dialled:
            address = transport.get_extra_info("peername")
            log.warning("rpc.handshake_refused", address=str(address), error=error.message)
            if isinstance(error, HandshakeError):
                transport.write(frame(refusal(error)))
        transport.close()
        self._end(error)

    def _timed_out(self) -> None:
        self._end(HandshakeError("the handshake took too long"))
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer hung up in the middle."""
        self._transport = None
        self._end(HandshakeError(f"the connection was closed during the handshake: {exc or ''}"))

    def abort(self) -> None:
        """Drop it."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self, error: Exception | None) -> None:
        self._node.handshake_ended(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.finished.done():
            return
        if error is None or not self._dialled:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)
            self.finished.exception()  # taken: an abandoned attempt is not worth a warning
