"""Routes of the picture of the grid and of what happened to it."""

from __future__ import annotations

from mgmt.api.app import Route
from mgmt.api.schema_picture import EventList, GridPicture
from mgmt.service.watching import Watcher


def routes(watcher: Watcher) -> list[Route]:
    """grids/picture, grids/events."""
    return [
        Route(GridPicture, watcher.answer_picture),
        Route(EventList, watcher.answer_events),
    ]
