"""What is physically in place on hosts, as far as management put it there.

Written before the work on the host begins, removed after it is undone: so whatever a crash or a
failed modelApply left behind is known and can be finished or taken away.
"""

from __future__ import annotations

import msgspec

from mgmt.model.store import Delete, Put, Store
from mgmt.model.types import Host, Instance

_encode = msgspec.json.Encoder().encode


class PlacedInstallation(msgspec.Struct, frozen=True, kw_only=True):
    """An installation on a host."""

    host: Host
    name: str
    path: str
    shared: bool = False  # not made by us: never removed
    usable: bool = False
    message: str = ""
    when_us: int = 0


class PlacedInstance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance on a host."""

    host: Host
    instance: Instance
    home: str
    made_by_hand: bool = False  # with ttInstanceCreate: never removed by modelApply
    created: bool = False  # the home is complete
    started: bool = False  # it was started once: from then on starting it is the operator's part


class Placed:
    """The store's record of it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def installations(self) -> dict[str, PlacedInstallation]:
        """By host.name."""
        items = self._store.items("placed-installation")
        return {key: msgspec.json.decode(body, type=PlacedInstallation) for key, body in items}

    def instances(self) -> dict[str, PlacedInstance]:
        """By host.name."""
        items = self._store.items("placed-instance")
        return {key: msgspec.json.decode(body, type=PlacedInstance) for key, body in items}

    def put_installation(self, placed: PlacedInstallation) -> None:
        """Remember an installation."""
        key = f"{placed.host.name}.{placed.name}"
        self._store.write(Put("placed-installation", key, _encode(placed)))

    def put_instance(self, placed: PlacedInstance) -> None:
        """Remember an instance."""
        key = placed.instance.full_name
        self._store.write(Put("placed-instance", key, _encode(placed)))

    def forget_installation(self, key: str) -> None:
        """It is gone from its host."""
        self._store.write(Delete("placed-installation", key))

    def forget_instance(self, key: str) -> None:
        """It is gone from its host."""
        self._store.write(Delete("placed-instance", key))
