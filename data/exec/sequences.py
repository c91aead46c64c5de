"""Sequence numbers for the sessions of this instance: taken in batches, given out from memory.

TimesTen's BATCH: each element owns a range of the sequence at a time. Numbers that were taken and
not given out when a daemon stops are lost: gaps, never repeats (but those of a CYCLE).

What is taken counts on from START without regard to the limits. What a number stands for follows
from them: after the last one a sequence that cycles goes on at MINVALUE (a descending one at
MAXVALUE).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from data.catalog.objects import Sequence
from protocol.errors import SequenceError

Take = Callable[[Sequence, int], Awaitable[int]]  # how many → the first step's unlimited value


STEPS_MAX = 2**52  # |INCREMENT| times a batch: a range is far smaller than what 64 bits hold


@dataclass(slots=True)
class _Range:
    following: int  # the next number, without regard to the limits
    left: int
    sequence: Sequence  # as it was defined when they were taken


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
        if owned.sequence is not sequence:
            if owned.sequence != sequence:  # altered meanwhile
                return None
            owned.sequence = sequence
        value = number_of(sequence, owned.following)
        if value is not None:
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
        if value is None:
            raise SequenceError(
                f"sequence {sequence.schema}.{sequence.name} is used up",
                hint="Make it larger with a new MAXVALUE, or CREATE SEQUENCE … CYCLE.",
            )
        return value

    def drawn(self, sequence: Sequence) -> tuple[int | None, int | None]:
        """The last number given out here, and the last one of this instance's batch."""
        owned = self._ranges.get(sequence.id)
        if owned is None:
            return None, None
        last = number_of(sequence, owned.following - sequence.increment)
        end = owned.following + (owned.left - 1) * sequence.increment
        return last, number_of(sequence, end)

    async def _refill(self, sequence: Sequence) -> None:
        batch = max(1, min(sequence.batch, STEPS_MAX // abs(sequence.increment)))
        first = await self._take(sequence, batch)
        self._ranges[sequence.id] = _Range(first, batch, sequence)


def number_of(sequence: Sequence, unlimited: int) -> int | None:
    """The number given out; None beyond the end of a sequence without CYCLE. Pure."""
    if sequence.minimum <= unlimited <= sequence.maximum:
        return unlimited
    if not sequence.cycle:
        return None
    increment = sequence.increment
    step = -((sequence.start - unlimited) // increment)  # rounded up: it may have been altered
    room = sequence.maximum - sequence.start if increment > 0 else sequence.start - sequence.minimum
    a_round = (sequence.maximum - sequence.minimum) // abs(increment) + 1
    at = (step - room // abs(increment) - 1) % a_round
    return (sequence.minimum if increment > 0 else sequence.maximum) + at * increment
