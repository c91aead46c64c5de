"""The id that follows a statement through all processes that work for it, in their logs.

Given only where a database logs slow statements (QueryThreshold): then it goes with each request to
another instance, and stands as `trace` in what is logged meanwhile, here and there.
"""

from __future__ import annotations

from contextvars import ContextVar

NEVER_S = float("inf")

current: ContextVar[str] = ContextVar("trace", default="")  # "": nothing is traced


class Slow:
    """When a request of another instance took long: the smallest QueryThreshold here."""

    seconds = NEVER_S
    _by_database: dict[str, float] = {}

    @classmethod
    def set(cls, database: str, seconds: float) -> None:
        """The threshold of a database that is loaded, 0: none; of one that is unloaded too."""
        cls._by_database.pop(database, None)
        if seconds:
            cls._by_database[database] = seconds
        cls.seconds = min(cls._by_database.values(), default=NEVER_S)
