"""Who hears whom on the internal network, and messages that travel through a third instance."""

from __future__ import annotations

import msgspec

from protocol.messages.registry import message


@message
class Pulse(msgspec.Struct, frozen=True, array_like=True, tag="reach.pulse"):
    """I am here, and these instances answered me lately. Reply: Pulse."""

    hears: tuple[str, ...]
    serves: bool = True  # membership answers it


@message
class Relay(msgspec.Struct, frozen=True, array_like=True, tag="reach.relay"):
    """Bring `body` to instance `to`. Reply: Relayed, or what failed there or on the way."""

    origin: str  # the instance that asks ...
    incarnation: str  # ... in this life
    to: str
    timeout_ms: int  # time left when sent
    is_tell: bool  # nobody waits for an answer
    body: bytes  # msgpack of a declared message


@message
class Relayed(msgspec.Struct, frozen=True, array_like=True, tag="reach.relayed"):
    """The answer to a Relay: msgpack of a declared message."""

    body: bytes
