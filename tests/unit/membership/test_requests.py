"""Requests of one session: which may be under way together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from membership.requests import Requests


class Handle:
    """What kazoo gives back for a request."""

    def __init__(self) -> None:
        self.value: Any = None
        self.exception: BaseException | None = None
        self._link: Callable[[Any], None] | None = None

    def rawlink(self, link: Callable[[Any], None]) -> None:
        self._link = link

    def end(self, value: Any = None, exception: BaseException | None = None) -> None:
        """As kazoo's thread does."""
        self.value, self.exception = value, exception
        assert self._link is not None
        self._link(self)


class Client:
    """What was sent, by name, until it is answered."""

    def __init__(self) -> None:
        self.requests = Requests()
        self.sent: dict[str, Handle] = {}

    def ask(self, name: str, *, alone: bool = False, timeout_s: float = 60) -> asyncio.Task[Any]:
        def send() -> Handle:
            self.sent[name] = Handle()
            return self.sent[name]

        return asyncio.create_task(self.requests.answer(send, timeout_s, alone=alone))

    async def turns(self, count: int = 10) -> list[str]:
        """Let the loop turn; what was sent by then."""
        for _ in range(count):
            await asyncio.sleep(0)
        return list(self.sent)


async def test_requests_go_together() -> None:
    client = Client()
    one, two = client.ask("one"), client.ask("two")
    assert await client.turns() == ["one", "two"]
    client.sent["two"].end(2)
    client.sent["one"].end(exception=KeyError())
    assert await two == 2
    with pytest.raises(KeyError):
        await one


async def test_one_goes_alone_between_those_before_and_those_behind() -> None:
    client = Client()
    before, alone = client.ask("before"), client.ask("alone", alone=True)
    second, behind = client.ask("second", alone=True), client.ask("behind")
    assert await client.turns() == ["before"]
    client.sent["before"].end()
    assert await client.turns() == ["before", "alone"]
    client.sent["alone"].end("said")
    assert await alone == "said"
    assert len(await client.turns()) == 3, "one of those that waited, not both"
    first, last = ("second", "behind") if "second" in client.sent else ("behind", "second")
    client.sent[first].end()
    assert await client.turns() == ["before", "alone", first, last]
    client.sent[last].end()
    await asyncio.gather(before, second, behind)


async def test_a_request_nobody_waits_for_any_more_is_still_under_way() -> None:
    client = Client()
    gone, alone = client.ask("gone"), client.ask("alone", alone=True)
    await client.turns()
    gone.cancel()
    assert await client.turns() == ["gone"]
    client.sent["gone"].end()
    assert await client.turns() == ["gone", "alone"]
    alone.cancel()
    behind = client.ask("behind")
    assert await client.turns() == ["gone", "alone"]
    client.sent["alone"].end()
    assert await client.turns() == ["gone", "alone", "behind"]
    client.sent["behind"].end()
    await behind


@pytest.mark.parametrize("how", ["cancelled", "too late"])
async def test_one_that_gave_up_waiting_lets_others_go(how: str) -> None:
    client = Client()
    before = client.ask("before")
    alone = client.ask("alone", alone=True, timeout_s=60 if how == "cancelled" else 0.01)
    behind = client.ask("behind")
    assert await client.turns() == ["before"]
    if how == "cancelled":
        alone.cancel()
    with pytest.raises(asyncio.CancelledError if how == "cancelled" else TimeoutError):
        await alone
    assert await client.turns() == ["before", "behind"]
    for handle in client.sent.values():
        handle.end()
    await asyncio.gather(before, behind)


async def test_waiting_for_one_that_is_alone_counts_as_waiting() -> None:
    client = Client()
    alone = client.ask("alone", alone=True)
    await client.turns()
    with pytest.raises(TimeoutError):
        await client.ask("behind", timeout_s=0.01)
    assert list(client.sent) == ["alone"]
    client.sent["alone"].end()
    await alone


@pytest.mark.parametrize("alone", [False, True])
async def test_what_could_not_be_sent_is_not_under_way(alone: bool) -> None:
    client = Client()

    def send() -> Handle:
        raise TypeError("not like this")

    with pytest.raises(TypeError):
        await client.requests.answer(send, alone=alone)
    after = client.ask("after", alone=True)
    assert await client.turns() == ["after"]
    client.sent["after"].end()
    await after


async def test_an_answer_that_is_told_twice_counts_once() -> None:
    client = Client()
    one, other = client.ask("one"), client.ask("other")
    await client.turns()
    client.sent["one"].end(1)
    client.sent["one"].end(1)
    assert await one == 1
    alone = client.ask("alone", alone=True)
    assert await client.turns() == ["one", "other"]
    client.sent["other"].end()
    assert await client.turns() == ["one", "other", "alone"]
    client.sent["alone"].end()
    await asyncio.gather(other, alone)
