"""The simulated TCP: no connection stays half open for ever that really would not."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.sim.loop import Scheduler, SimLoop
from tests.sim.network import Network


class Side(asyncio.Protocol):
    """Remembers its end of the connection, and how that ended."""

    made: list[Side] = []

    def __init__(self) -> None:
        self.end: Any = None
        self.lost: list[Exception | None] = []
        Side.made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.end = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


def test_what_is_sent_to_a_closed_socket_ends_the_connection_after_a_cut() -> None:
    Side.made = []
    scheduler = Scheduler(0)
    network = Network(scheduler)
    one, two = SimLoop(scheduler, "a", network), SimLoop(scheduler, "b", network)
    with scheduler.ruling():
        network.listen(two, Side, "b", 1)
        with one.running():
            one.spawn(network.connect(one, Side, "b", 1), "dial")
        scheduler.run_until(scheduler.now + 0.1)
        aborted, other = sorted(Side.made, key=lambda side: side.end.loop is two)
        network.cut("a", "b")
        aborted.end.abort()
        scheduler.run_until(scheduler.now + 0.1)
        network.heal("a", "b")  # before either kernel gave up; the reset was lost
        scheduler.run_until(scheduler.now + 10.0)
        assert other.lost == []
        other.end.write(b"are you there?")
        scheduler.run_until(scheduler.now + 0.1)
        assert [type(error) for error in other.lost] == [ConnectionResetError]
