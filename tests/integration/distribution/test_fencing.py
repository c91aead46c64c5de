"""A management instance that was deposed while it slept changes nothing at data instances."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from data.admin.fence import SEEN_S, ManagementFence
from membership.port import ClusterView, MgmtState
from mgmt.api import schema_databases as requests
from mgmt.ops.operation import State
from protocol.clock import boottime_s
from protocol.errors import NotActiveManagementError
from protocol.messages import admin, moving
from protocol.rpc.server import Request
from tests.support.growing_grid import DATABASE, WAIT_S, growing_grid

OTHER = MgmtState("host2.instance1", "host2.instance1-1", 99)


async def test_what_a_deposed_active_sends_is_refused(tmp_path: Path) -> None:
    async with growing_grid(tmp_path, 1, 2) as grid:
        node, management = grid.nodes[3], grid.managed.instance
        assert node.instance is not None
        assert management is not None
        rpc = management.management.rpc
        assert rpc is not None
        spec = node.instance.keeper.reports()[0]
        messages = [
            admin.CloseElement(DATABASE, spec.database_id),
            moving.MoveBuckets(DATABASE, 1, 2, (1,)),
        ]
        # the data instance knows of a newer active; the old one, paused so far, does not yet
        view = ClusterView(mgmt=OTHER)
        node.instance._fence.seen(view)
        for message in messages:
            with pytest.raises(NotActiveManagementError, match=r"host2.instance1 is, by term 99"):
                await rpc.peer("host3.instance1").call(message, 5.0)
        assert node.state() == "opened"
        # reading harms nobody: a standby does it too
        report = await rpc.peer("host3.instance1").call(admin.InstanceStatus(), 5.0)
        assert report.elements[0].state == "opened"
        # its operation does not fail: it waits for who is active, here for itself, once more
        close = requests.DbClose(name=DATABASE, wait_s=WAIT_S)
        work = asyncio.create_task(grid.managed.call(close))
        await asyncio.wait([work], timeout=2 * SEEN_S)
        assert not work.done()
        assert management.management.runner.list()[-1].state is State.RUNNING
        mine = grid.managed.ensemble.facts.mgmt
        assert mine is not None
        node.instance._fence.seen(ClusterView(mgmt=replace(mine, term=100)))
        await work
        assert node.state() == "loaded"


async def test_terms_decide() -> None:
    fence = ManagementFence()
    told: list[str] = []

    async def handler(message: Any, request: Request) -> None:
        told.append(request.peer_incarnation)

    def sent_by(incarnation: str, kind: str = "mgmt") -> Request:
        peer = SimpleNamespace(peer_name="x", peer_incarnation=incarnation, peer_kind=kind)
        return cast(Request, peer)

    checked = fence.not_for_deposed(handler)
    await checked(None, sent_by("a"))  # nobody is known to have been active
    fence.seen(ClusterView(mgmt=MgmtState("one", "a", 1)))
    await checked(None, sent_by("a"))
    await checked(None, sent_by("anything", "data"))
    late = asyncio.create_task(checked(None, sent_by("b")))  # type: ignore[arg-type]
    await asyncio.sleep(0)  # it waits for the view
    fence.seen(ClusterView(mgmt=MgmtState("two", "b", 2)))
    await late
    fence.seen(ClusterView(mgmt=MgmtState("one", "a", 1)))  # an old view changes nothing
    fence.seen(ClusterView())
    began_s = boottime_s()
    with pytest.raises(NotActiveManagementError):
        await checked(None, sent_by("a"))
    assert boottime_s() - began_s >= SEEN_S * 0.9
    assert told == ["a", "a", "anything", "b"]
