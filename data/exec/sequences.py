"""Sequence numbers for the sessions of this instance: taken in batches, given out from memory.

TimesTen's BATCH: each element owns a range of the sequence at a time. Numbers that were taken and
not given out when a daemon stops are lost: gaps, never repeats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from data.catalog.objects import Sequence
from protocol.errors import SequenceError

Take = Callable[[Sequence, int], Awaitable[int]]  # how many → the first of them


@dataclass(slots=True)
class _Range:
    following: int
    left: int


class Sequences:
    """The ranges this instance owns, by sequence id."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._ranges: dict[int, _Range] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    def next_now(self, sequence: Sequence) -> int | None:
        """The next number if one is in memory."""
        owned = self._ranges.get(sequence.id)
        if owned is None or not owned.left:
            return None
        value = owned.following
        owned.following += sequence.increment
        owned.left -= 1
        return value

    async def next(self, sequence: Sequence) -> int:
        """The next number. Raises SequenceError when a sequence without CYCLE is used up."""
        value = self.next_now(sequence)
        if value is not None:
            return value
        async with self._locks.setdefault(sequence.id, asyncio.Lock()):
            value = self.next_now(sequence)
            if value is None:
                await self._refill(sequence)
                value = self.next_now(sequence)
        assert value is not None
        return value

    async def _refill(self, sequence: Sequence) -> None:
        batch = max(1, sequence.batch)
        first = await self._take(sequence, batch)
        span = sequence.maximum - sequence.minimum + 1
        if not sequence.minimum <= first <= sequence.maximum:
            if not sequence.cycle:
                raise SequenceError(
                    f"sequence {sequence.schema}.{sequence.name} is used up",
                    hint="Make it larger with a new MAXVALUE, or CREATE SEQUENCE … CYCLE.",
                )
            first = sequence.minimum + (first - sequence.minimum) % span
        if sequence.increment > 0:
            left = (sequence.maximum - first) // sequence.increment + 1
        else:
            left = (first - sequence.minimum) // -sequence.increment + 1
        self._ranges[sequence.id] = _Range(first, min(batch, left))

    def forget(self, sequence_id: int) -> None:
        """The sequence was dropped or altered."""
        self._ranges.pop(sequence_id, None)
