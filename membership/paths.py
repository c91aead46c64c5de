"""Layout and encodings of everything kept in ZooKeeper; nothing else knows a path (design §3)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TypeVar

import msgspec

from membership.port import InstanceInfo, MgmtRegister, MgmtState, SetState

FORMAT = 1  # of every value; a reader skips fields it does not know, so fields may be added
ROOT = "/tengrid"  # shared by all grids that use one membership service

_Value = TypeVar("_Value", InstanceInfo, SetState, MgmtState, MgmtRegister)


class BadValueError(ValueError):
    """A znode holds something that is not a value of ours."""


class GridPaths:
    """The paths of one grid."""

    def __init__(self, grid: str) -> None:
        assert grid
        assert "/" not in grid
        self.grid = f"{ROOT}/{grid}"
        self.instances = f"{self.grid}/instances"
        self.dead = f"{self.grid}/dead"
        self.databases = f"{self.grid}/db"
        self.mgmt = f"{self.grid}/mgmt"
        self.mgmt_active = f"{self.mgmt}/active"
        self.mgmt_term = f"{self.mgmt}/term"

    def skeleton(self) -> tuple[str, ...]:
        """The nodes that are there from the first start on, parents first, without ROOT."""
        return (self.grid, self.instances, self.dead, self.databases, self.mgmt)

    def instance(self, name: str) -> str:
        """Ephemeral: one running instance."""
        assert "/" not in name
        return f"{self.instances}/{name}"

    def dead_incarnation(self, incarnation: str) -> str:
        """Persistent and empty: this incarnation was seen to exit."""
        assert "/" not in incarnation
        return f"{self.dead}/{incarnation}"

    def database(self, db: str) -> str:
        """Parent of everything about one database (callers fold the case of names)."""
        assert "/" not in db
        return f"{self.databases}/{db}"

    def map(self, db: str) -> str:
        """The distribution map."""
        return f"{self.database(db)}/map"

    def state(self, db: str) -> str:
        """What the database shall be: loaded, open, closed ..."""
        return f"{self.database(db)}/state"

    def sets(self, db: str) -> str:
        """Parent of the replica sets."""
        return f"{self.database(db)}/rs"

    def replica_set(self, db: str, rs: int) -> str:
        """Term, lead and in-sync elements of one replica set."""
        assert rs > 0
        return f"{self.sets(db)}/{rs}"


def encode(value: InstanceInfo | SetState | MgmtState | MgmtRegister) -> bytes:
    """A value as a znode holds it."""
    return json.dumps({"v": FORMAT, **asdict(value)}, separators=(",", ":")).encode()


def decode(kind: type[_Value], raw: bytes) -> _Value:
    """The value of a znode. Raises BadValueError."""
    try:
        fields = json.loads(raw)
        if not isinstance(fields, dict) or fields.get("v", 0) > FORMAT:
            raise BadValueError(f"{kind.__name__} in a format this version does not know")
        return msgspec.convert(fields, kind)
    except (ValueError, msgspec.ValidationError) as problem:
        raise BadValueError(f"not a {kind.__name__}: {raw[:80]!r}: {problem}") from problem


def encode_map(version: int, value: bytes) -> bytes:
    """A distribution map with its version before it."""
    assert version > 0
    return b"%d %d\n%b" % (FORMAT, version, value)


def decode_map(raw: bytes) -> tuple[int, bytes]:
    """Version and map of a znode. Raises BadValueError."""
    head, newline, value = raw.partition(b"\n")
    try:
        known, version = (int(word) for word in head.split(b" "))
    except ValueError as problem:
        raise BadValueError(f"not a distribution map: {raw[:80]!r}") from problem
    if not newline or known > FORMAT or version < 1:
        raise BadValueError(f"not a distribution map: {raw[:80]!r}")
    return version, value
