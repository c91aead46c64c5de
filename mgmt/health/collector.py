"""Asks data instances how their elements are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from protocol.errors import GridError
from protocol.messages.admin import InstanceReport, InstanceStatus
from protocol.rpc.node import RpcNode

ANSWER_TIMEOUT_S = 1.5  # a paused instance must not hold up dbStatus for long


async def collect(
    rpc: RpcNode, instances: Iterable[str], database: str = ""
) -> dict[str, InstanceReport]:
    """The reports of those that answer; who does not is down or unreachable, and missing."""
    names = list(instances)
    answers = await asyncio.gather(*(_ask(rpc, name, database) for name in names))
    return {name: a for name, a in zip(names, answers, strict=True) if a is not None}


async def _ask(rpc: RpcNode, name: str, database: str) -> InstanceReport | None:
    try:
        answer = await rpc.peer(name).call(InstanceStatus(database), ANSWER_TIMEOUT_S)
    except (GridError, KeyError):
        return None
    assert isinstance(answer, InstanceReport)
    return answer
