"""On whose behalf something runs now: set by the API for each request, kept by operations."""

from __future__ import annotations

from contextvars import ContextVar

CALLER_CHARS_MAX = 120

caller: ContextVar[str] = ContextVar("caller", default="")  # e.g. "oracle with ttGridAdmin"


def shown(agent: str, address: str) -> str:
    """Who calls, for people. `agent`: what the client says of itself, an unproven claim."""
    word = "".join(c for c in agent if c.isprintable())[:CALLER_CHARS_MAX] or "a client"
    return f"{word} from {address}" if address else word
