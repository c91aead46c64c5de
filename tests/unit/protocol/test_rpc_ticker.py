"""The one timer: ticks while there is work, forgives a stall once."""

from __future__ import annotations

import asyncio

import pytest

from protocol.rpc import ticker
from protocol.rpc.ticker import Ticker


async def test_ticks_until_nothing_is_left() -> None:
    left = [True, True, False]
    idle = asyncio.Event()

    def sweep(_now_s: float) -> bool:
        more = left.pop(0)
        if not more:
            idle.set()
        return more

    clock = Ticker(sweep)
    clock.start()
    assert clock.running
    async with asyncio.timeout(5):
        await idle.wait()
    assert not clock.running
    assert left == []


async def test_late_tick_is_skipped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop of the process, answers in the socket come before deadlines."""
    now_s = 100.0
    monkeypatch.setattr(ticker, "boottime_s", lambda: now_s)
    sweeps: list[float] = []

    def sweep(at_s: float) -> bool:
        sweeps.append(at_s)
        return False

    clock = Ticker(sweep)
    clock.start()
    now_s = 103.0  # three seconds passed where 25 ms should have
    clock._tick()
    assert sweeps == []
    assert clock.running
    now_s = 103.025
    clock._tick()
    assert sweeps == [103.025]
    clock.stop()
