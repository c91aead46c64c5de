"""Between data instances: rows of V$ views, for their GV$ twins."""

from __future__ import annotations

from typing import Any

import msgspec

from protocol.messages import registry


class AskViews(msgspec.Struct, frozen=True, array_like=True, tag="views.ask"):
    """To the instance of an element. Reply: ViewsTold."""

    db: str
    views: tuple[str, ...]  # lower case: v$monitor


class ViewsTold(msgspec.Struct, frozen=True, array_like=True, tag="views.told"):
    """The rows of each view, in the order of the request; none of a view that is not known."""

    element: int
    rows: tuple[tuple[tuple[Any, ...], ...], ...]


registry.declare_module(__name__)
