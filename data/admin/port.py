"""What the administration of elements needs from the data instance that holds them. Pure."""

from __future__ import annotations

from typing import Protocol

import msgspec

from protocol.messages.admin import ElementSpec

ROLES = ("lead", "copy", "catching-up", "waiting-for-seed", "idle")


class ElementFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Live facts of a loaded element. `role` idle: not in the distribution map."""

    replica_set: int = 0
    role: str = "idle"
    term: int = 0
    lsn: int = 0
    connections: int = 0
    catalog_version: int = 0
    map_version: int = 0
    message: str = ""  # why it does not serve, e.g. "waiting for element 3"
    epoch: int = 0  # the newest in its log
    epoch_done: int = 0  # the newest known to be flushed on every copy of every replica set


class DatabaseHost(Protocol):
    """The databases of this data instance, implemented by data/instance.py.

    The calls for one database never overlap and come in a legal order (element_state.py); each may
    raise any GridError, after which the element is where it was before. A call that finds its work
    done already does nothing. States, times, restarts and intents are not the host's business.
    """

    async def create(self, spec: ElementSpec) -> None:
        """Make the element's files; not loaded. A leftover of the same database_id is fine."""
        ...

    async def load(self, spec: ElementSpec) -> None:
        """Open the files; join the replica set as soon as the map in membership names the element.

        Returns when the files are open; catching up goes on and shows in `facts`.
        """
        ...

    async def open(self, database: str) -> None:
        """Accept users from now on (whenever the element is lead or copy)."""
        ...

    async def close(self, database: str) -> None:
        """Refuse new users (DatabaseClosedError); administrators and existing sessions stay."""
        ...

    async def unload(self, database: str) -> None:
        """End the sessions, leave the replica set in order, flush and close the files."""
        ...

    async def destroy(self, spec: ElementSpec) -> None:
        """Remove the files of an element that is not loaded; nothing happens if there are none."""
        ...

    def facts(self, database: str) -> ElementFacts:
        """Facts of a loaded element, at once."""
        ...
