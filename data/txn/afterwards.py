"""Something that has to be awaited after something else, however that ends.

For compiled coroutines, and therefore not compiled: mypyc forgets what a `finally` that waits was
about to raise (docs/decisions/0116).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def and_then(work: Awaitable[T], close: Callable[[], Awaitable[None]]) -> T:
    """What `work` returns or raises, once `close` is through."""
    try:
        return await work
    finally:
        await close()
