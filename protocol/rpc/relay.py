"""Messages through a third instance, while the link between two of them is cut.

The third one passes bytes on and answers back; whoever is asked sees the origin as the asker. What
fails on either leg says for itself whether anything was done (PeerUnreachable, PeerLost).
"""

from __future__ import annotations

from typing import Any

from protocol.clock import boottime_s
from protocol.errors import GridError, PeerProtocolError, PeerUnreachableError
from protocol.messages.reach import Relay, Relayed
from protocol.rpc import envelope
from protocol.rpc.client import RpcPeer
from protocol.rpc.connection import ReplyCallback
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request


class RelayedPeer:
    """Asks an instance through another one: `send` and `tell` as RpcPeer has them."""

    def __init__(self, rpc: RpcNode, via: RpcPeer, to: str) -> None:
        self._me = rpc.me
        self._via = via
        self._to = to

    def send(self, message: Any, on_reply: ReplyCallback, timeout_s: float) -> None:
        """See RpcPeer."""

        def answered(reply: Relayed, error: GridError | None) -> None:
            if error is not None:
                on_reply(None, error)
                return
            try:
                inner = _unpack(reply.body)
            except PeerProtocolError as problem:
                on_reply(None, problem)
            else:
                on_reply(inner, None)

        self._via.send(self._wrapped(message, timeout_s, is_tell=False), answered, timeout_s)

    def tell(self, message: Any) -> None:
        """See RpcPeer."""
        self._via.tell(self._wrapped(message, 0.0, is_tell=True))

    def _wrapped(self, message: Any, timeout_s: float, *, is_tell: bool) -> Relay:
        me, left_ms = self._me, int(timeout_s * 1000)
        return Relay(me.name, me.incarnation, self._to, left_ms, is_tell, _pack(message))


class RelayStation:
    """Passes on what others send through this process, and takes what came through others."""

    def __init__(self, rpc: RpcNode) -> None:
        self._rpc = rpc
        rpc.handle(Relay, self._received)

    def _received(self, relay: Relay, request: Request) -> None:
        if relay.to == self._rpc.me.name:
            self._deliver(relay, request)
            return
        if relay.origin != request.peer_name:
            raise PeerUnreachableError(f"{relay.to} cannot be reached: one station only")
        peer = self._rpc.peer(relay.to)
        if relay.is_tell:
            peer.tell(relay)
            return

        def answered(reply: Any, error: GridError | None) -> None:
            if error is not None:
                request.fail(error)
            else:
                request.reply(reply)

        number = peer.send(relay, answered, relay.timeout_ms / 1000)
        request.on_cancel = lambda: peer.cancel(number)

    def _deliver(self, relay: Relay, request: Request) -> None:
        message = _unpack(relay.body)
        deadline_s = float("inf") if relay.is_tell else boottime_s() + relay.timeout_ms / 1000
        path = _Back(relay, request)
        inner = Request(path, 0 if relay.is_tell else 1, deadline_s)
        if not relay.is_tell:
            request.on_cancel = inner.cancel
        self._rpc.dispatch(message, inner)


class _Back:
    """The way of an answer back through the station. An AnswerPath for one request."""

    def __init__(self, relay: Relay, request: Request) -> None:
        self.peer_name = relay.origin
        self.peer_kind = "data"  # management is not relayed
        self.peer_incarnation = relay.incarnation
        self._request = request

    def answer(self, request_id: int, message: Any) -> None:
        """Reply."""
        if request_id:
            self._request.reply(Relayed(_pack(message)))

    def answer_failure(self, request_id: int, error: GridError) -> None:
        """Fail."""
        if request_id:
            self._request.fail(error)


_codec = envelope.Codec()


def _pack(message: Any) -> bytes:
    return envelope.encode(envelope.Tell(message))


def _unpack(body: bytes) -> Any:
    item = _codec.decode_one_by_one(b"\x91" + body)[0]
    if isinstance(item, envelope.Undecodable):
        raise item.error
    if not isinstance(item, envelope.Tell):
        raise PeerProtocolError("a relayed message is no message")
    return item.message
