"""The watched part of the tree, as last read: one-shot watches in, whole ClusterViews out.

The one rule: reading a node leaves a watch on it, an event marks its path, and marked paths are
read again. So a view may lag but never misses a change. Instance nodes carry no data watch: they
are rewritten several times a second and their value is constant for one incarnation, so it is
enough to read them all again when the list of names changes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import structlog

from membership import paths
from membership.paths import BadValueError, GridPaths
from membership.port import ClusterView, InstanceInfo, MgmtRegister, MgmtState, SetState

log = structlog.get_logger(__name__)


class Reader(Protocol):
    """Reads nodes. With `watch` the next change of the node, its creation included, is told."""

    async def get(self, path: str, *, watch: bool) -> bytes | None:
        """The value; None: no such node."""
        ...

    async def children(self, path: str) -> list[str] | None:
        """Names of the children, watched; None: no such node."""
        ...


@dataclass
class _Database:
    sets: dict[int, SetState] = field(default_factory=dict)
    map_version: int = 0  # 0: no map
    map: bytes = b""
    state: str | None = None


class Mirror:
    """What is known of one grid's tree."""

    def __init__(self, grid_paths: GridPaths, reader: Reader) -> None:
        self._paths = grid_paths
        self._reader = reader
        self._marked: set[str] = set()
        self._reading = asyncio.Lock()  # two readings of one node could end in the wrong order
        self._instances: dict[str, InstanceInfo] = {}
        self._databases: dict[str, _Database] = {}
        self._mgmt: MgmtState | None = None
        self._register = MgmtRegister()
        self.dead: frozenset[str] = frozenset()

    def mark(self, path: str) -> None:
        """The node at `path` changed."""
        self._marked.add(path)

    def mark_all(self) -> None:
        """All watches may be gone (another connection): everything has to be read again."""
        top = (self._paths.instances, self._paths.dead, self._paths.databases)
        self._marked.update((*top, self._paths.mgmt_active, self._paths.mgmt_term))
        for db, known in self._databases.items():
            self._marked.update((self._paths.map(db), self._paths.state(db), self._paths.sets(db)))
            self._marked.update(self._paths.replica_set(db, rs) for rs in known.sets)

    async def catch_up(self) -> None:
        """Read every marked node, and what those readings mark, until nothing is marked.

        On an error the marks of unread nodes stay.
        """
        async with self._reading:
            while self._marked:
                marked, self._marked = self._marked, set()
                results = await asyncio.gather(
                    *(self._read_one(path) for path in marked), return_exceptions=True
                )
                failures = [result for result in results if isinstance(result, BaseException)]
                if failures:
                    self._marked |= marked
                    raise failures[0]

    def view(self, *, connected: bool, session: int) -> ClusterView:
        """Everything known, as one immutable value."""
        databases = self._databases.items()
        mapped = [(db, known) for db, known in databases if known.map_version]
        return ClusterView(
            connected=connected,
            session=session,
            instances=MappingProxyType(dict(self._instances)),
            dead=self.dead,
            sets=MappingProxyType(
                {(db, rs): state for db, known in databases for rs, state in known.sets.items()}
            ),
            maps=MappingProxyType({db: known.map for db, known in mapped}),
            map_versions=MappingProxyType({db: known.map_version for db, known in mapped}),
            states=MappingProxyType(
                {db: known.state for db, known in databases if known.state is not None}
            ),
            mgmt=self._mgmt,
            mgmt_register=self._register,
        )

    async def _read_one(self, path: str) -> None:
        try:
            match path.removeprefix(self._paths.grid).split("/")[1:]:
                case ["instances"]:
                    await self._read_instances()
                case ["dead"]:
                    self.dead = frozenset(await self._reader.children(path) or ())
                case ["mgmt", "active"]:
                    raw = await self._reader.get(path, watch=True)
                    self._mgmt = None if raw is None else paths.decode(MgmtState, raw)
                case ["mgmt", "term"]:
                    raw = await self._reader.get(path, watch=True)
                    if raw is not None:
                        self._register = paths.decode(MgmtRegister, raw)
                case ["db"]:
                    await self._read_databases()
                case ["db", db, *rest] if db in self._databases:
                    await self._read_database(self._databases[db], db, rest)
                case _:
                    pass  # of a database that is gone
        except BadValueError as problem:  # somebody else wrote there; the rest must go on
            log.error("membership.bad_value", path=path, problem=str(problem))

    async def _read_instances(self) -> None:
        names = await self._reader.children(self._paths.instances) or []
        values = await asyncio.gather(
            *(self._reader.get(self._paths.instance(name), watch=False) for name in names)
        )
        self._instances = {
            name: paths.decode(InstanceInfo, raw)
            for name, raw in zip(names, values, strict=True)
            if raw is not None
        }

    async def _read_databases(self) -> None:
        names = set(await self._reader.children(self._paths.databases) or ())
        for gone in self._databases.keys() - names:
            del self._databases[gone]
        for db in names - self._databases.keys():
            self._databases[db] = _Database()
            self._marked.update((self._paths.map(db), self._paths.state(db), self._paths.sets(db)))

    async def _read_database(self, known: _Database, db: str, rest: list[str]) -> None:
        path = "/".join((self._paths.database(db), *rest))
        match rest:
            case ["map"]:
                raw = await self._reader.get(path, watch=True)
                known.map_version, known.map = (0, b"") if raw is None else paths.decode_map(raw)
            case ["state"]:
                raw = await self._reader.get(path, watch=True)
                known.state = None if raw is None else raw.decode(errors="replace")
            case ["rs"]:
                numbers = {int(name) for name in await self._reader.children(path) or ()}
                for gone in known.sets.keys() - numbers:
                    del known.sets[gone]
                new = numbers - known.sets.keys()
                self._marked.update(self._paths.replica_set(db, rs) for rs in new)
            case ["rs", number]:
                raw = await self._reader.get(path, watch=True)
                if raw is None:
                    known.sets.pop(int(number), None)
                else:
                    known.sets[int(number)] = paths.decode(SetState, raw)
            case _:
                pass
