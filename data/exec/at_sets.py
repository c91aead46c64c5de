"""One call at each of several replica sets, all at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


async def gather(calls: Mapping[int, Coroutine[Any, Any, T]]) -> dict[int, T]:
    """Answers by replica set; the first error, after all have ended."""
    if len(calls) == 1:
        ((rs, call),) = calls.items()
        return {rs: await call}
    results = await asyncio.gather(*calls.values(), return_exceptions=True)
    answers: dict[int, T] = {}
    for rs, result in zip(calls, results, strict=True):
        if isinstance(result, BaseException):
            raise result
        answers[rs] = result
    return answers
