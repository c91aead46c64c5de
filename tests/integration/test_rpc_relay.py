"""Messages through a third instance, and who notices that they have to go there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from protocol.errors import DeadlineError, LockTimeoutError, PeerUnreachableError
from protocol.messages.reach import Relay
from protocol.rpc.reach import Reach, reach_of
from protocol.rpc.relay import RelayedPeer
from tests.integration.test_rpc import HOST, Echo, Fault, Hang, Side, Start, nodes

T = 0.5


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with nodes() as start_one:
        yield start_one


async def in_a_row(start: Start) -> tuple[Side, Side, Side]:
    """a and b are connected, and b and c; a knows c's name only."""
    sides = await start("a"), await start("b"), await start("c")
    a, b, c = sides
    for one, other in ((a, b), (b, c)):
        name = other.node.me.name
        one.node.set_peer(name, HOST, other.port, "1")
        await one.node.wait_connected(name, 5)
        await other.node.wait_connected(one.node.me.name, 5)
    for side in sides:
        reach_of(side.node)
    return sides


def through_b(a: Side) -> RelayedPeer:
    return RelayedPeer(a.node, a.node.peer("b"), "c")


async def ask(peer: RelayedPeer, message: object, timeout_s: float = 5.0) -> object:
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    peer.send(
        message,
        lambda reply, error: answer.set_exception(error) if error else answer.set_result(reply),
        timeout_s,
    )
    return await answer


async def test_an_answer_and_an_error_come_back_through_the_station(start: Start) -> None:
    a, b, c = await in_a_row(start)
    assert await ask(through_b(a), Echo(7, b"x" * 100_000)) == Echo(7, b"x" * 100_000)
    assert (b.seen, len(c.seen)) == ([], 1)
    with pytest.raises(LockTimeoutError) as found:
        await ask(through_b(a), Fault(True))
    assert found.value.hint == "again"


async def test_who_is_asked_sees_the_origin(start: Start) -> None:
    a, _b, c = await in_a_row(start)
    asked = asyncio.ensure_future(ask(through_b(a), Hang(), 0.2))
    await c.arrived.wait()
    (request,) = c.hanging
    assert (request.peer_name, request.peer_incarnation) == ("a", "1")
    with pytest.raises(DeadlineError):
        await asked
    c.arrived.clear()
    through_b(a).tell(Echo(9))
    await c.arrived.wait()
    assert c.seen == [Echo(9)]


async def test_a_station_that_cannot_reach_it_did_nothing(start: Start) -> None:
    a, b, c = await in_a_row(start)
    b.node.disconnect("c")
    with pytest.raises(PeerUnreachableError):
        await ask(through_b(a), Echo(1))
    again = Relay("a", "1", "b", 1000, False, b"")
    with pytest.raises(PeerUnreachableError, match="one station"):
        await b.node.peer("a").call(Relay("c", "1", "d", 1000, False, again.body), 5)
    assert c.seen == []


async def until_true(reach: Reach, is_true: Callable[[], bool]) -> None:
    """Wait for a look at which it is so."""
    seen = asyncio.Event()

    def look() -> None:
        if is_true():
            seen.set()

    reach.subscribe(look)
    async with asyncio.timeout(10):
        await seen.wait()


async def test_a_cut_link_is_seen_and_gone_around_and_seen_to_be_back(start: Start) -> None:
    a, b, c = await in_a_row(start)
    a.node.set_peer("c", HOST, c.port, "1")
    await a.node.wait_connected("c", 5)
    reaches = [reach_of(side.node) for side in (a, b, c)]
    try:
        for side, reach in zip((a, b, c), reaches, strict=True):
            reach.start(T)
            reach.watch({"a", "b", "c"} - {side.node.me.name})
        reach = reaches[0]
        await until_true(reach, lambda: reach.reaches == {"b", "c"} and not reach.relays)
        a.node.drop_peer("c")
        await until_true(reach, lambda: reach.relays == {"c": "b"})
        peer = reach.peer("c")
        assert peer is not None
        assert await ask(peer, Echo(3)) == Echo(3)
        assert reach.reaches == {"b", "c"}
        assert not reach.cut_off
        a.node.set_peer("c", HOST, c.port, "1")
        await until_true(reach, lambda: not reach.relays)
        a.node.drop_peer("b")
        a.node.drop_peer("c")
        await until_true(reach, lambda: reach.cut_off)
        assert reach.reaches == set()
        for name, side in (("b", b), ("c", c)):  # a new connection is not given up for old silence
            a.node.set_peer(name, HOST, side.port, "1")
        await until_true(reach, lambda: reach.reaches == {"b", "c"} and not reach.relays)
        assert not reach.cut_off
    finally:
        for each in reaches:
            each.stop()
