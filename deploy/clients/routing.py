"""Connections near to a key: which data instance leads the rows of a distribution key, and pools.

A client that sends a statement about one key to the instance that leads the key's replica set saves
the hop between instances. Any instance serves any key, so an old map costs time and nothing else:
it is read again when it is `MAX_AGE_S` old, and when a connection breaks or cannot be made.

    routes = PsycopgRoutes("service=database1", table="customers")
    with routes.connection(910) as connection:
        connection.execute("SELECT last_name FROM customers WHERE cust_id = %s", [910])

`AsyncpgRoutes` is the same for asyncpg. The bucket of a key is computed here exactly as the grid
does it (data/distribution); the grid tells of its map in SYS.V$DISTRIBUTION_BUCKETS.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo

from data.distribution.hashing import bucket_of
from data.distribution.keys import key_bytes
from data.sql.type_names import type_from_name
from protocol.pgwire.values import decoder
from protocol.sqltypes import SqlType

if TYPE_CHECKING:
    import asyncpg

C = TypeVar("C")
MAX_AGE_S = 5.0  # of the map that is used
CONNECT_S = 3  # for a connection of one instance, before another is tried
KEY = (
    "SELECT t.distribution, c.column_name, c.data_type, c.data_precision, c.data_scale, "
    "c.data_length, t.distribution_columns FROM all_tables t JOIN all_tab_columns c "
    "ON c.owner = t.owner AND c.table_name = t.table_name "
    "WHERE t.owner = '{}' AND t.table_name = '{}' ORDER BY c.column_id"
)
MAP = (
    "SELECT b.firstbucket, b.leadelementid, c.hostexternaladdress, c.serverport "
    "FROM sys.v$distribution_buckets b LEFT JOIN sys.v$distribution_current c "
    "ON c.mappedelementid = b.leadelementid ORDER BY b.firstbucket"
)
AWAY = ("08", "57P")  # SQLSTATEs of an instance that cannot serve just now
_TEXT = 0


class RoutingError(Exception):
    """A table or key that connections cannot be found by; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where the lead of a range of buckets takes clients; port 0: it is not known just now."""

    element: int
    host: str
    port: int


@dataclass(frozen=True)
class Distribution:
    """How rows of a table find their bucket. Pure."""

    columns: tuple[str, ...]
    types: tuple[SqlType, ...]

    def bucket(self, key: Sequence[object]) -> int:
        """Of a value for each column. Raises RoutingError, GridError (class 22)."""
        if len(key) != len(self.types) or None in key:
            raise RoutingError(f"a key is a value for each of {', '.join(self.columns)}")
        values = [
            decoder(kind, _TEXT)(_text(value)) for kind, value in zip(self.types, key, strict=True)
        ]
        return bucket_of(key_bytes(values, self.types))


class Map:
    """Who leads which buckets, as of `read_at`. Pure."""

    def __init__(self, rows: Sequence[Sequence[Any]], read_at: float) -> None:
        self._firsts = [int(row[0]) for row in rows]
        self._places = [
            Place(int(row[1] or 0), str(row[2] or ""), int(row[3] or 0)) for row in rows
        ]
        self.read_at = read_at

    def place(self, bucket: int) -> Place | None:
        """Of the lead; None if the map is empty."""
        return self._places[bisect_right(self._firsts, bucket) - 1] if self._places else None

    def places(self) -> list[Place]:
        """Of all leads that can be reached, each once."""
        return sorted({p for p in self._places if p.port}, key=lambda place: place.element)


def distribution(table: str, rows: Sequence[Sequence[Any]]) -> Distribution:
    """From the rows of KEY. Raises RoutingError. Pure."""
    if not rows:
        raise RoutingError(f"there is no table {table}")
    scheme, by = str(rows[0][0]), str(rows[0][6] or "")
    if scheme != "HASH" or not by:
        raise RoutingError(
            f"{table} is distributed by {scheme}: name the table with the hash key that its rows "
            "follow; tables without one, and duplicate ones, have no nearest instance"
        )
    found = {str(row[1]): _type(*row[2:6]) for row in rows}
    columns = tuple(by.split(","))
    return Distribution(columns, tuple(found[name] for name in columns))


def _type(name: str, precision: int | None, scale: int | None, length: int | None) -> SqlType:
    if name == "NUMBER":
        return type_from_name(name, () if precision is None else (int(precision), int(scale or 0)))
    sized = name in ("CHAR", "NCHAR", "VARCHAR2", "NVARCHAR2", "BINARY", "VARBINARY")
    return type_from_name(name, (int(length or 0),) if sized else ())


def _text(value: object) -> bytes:
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    return str(value).encode()


def _names(table: str) -> tuple[str, str]:
    """Owner ("" if not given) and table, as the catalog has them."""
    owner, _, name = table.upper().replace("'", "''").rpartition(".")
    return owner, name


class _Routes(Generic[C]):
    """What both kinds share: the distribution, the map and its age, connections that are idle."""

    def __init__(self, table: str, keep: int) -> None:
        self.table, self._keep = table, keep
        self._distribution: Distribution | None = None
        self._map = Map((), 0.0)
        self._doubtful = True
        self._idle: dict[Place | None, list[C]] = {}

    def place(self, *key: object) -> Place | None:
        """The instance nearest to a key by the map as it was last read."""
        assert self._distribution is not None, "not open"
        return self._map.place(self._distribution.bucket(key))

    @property
    def _is_old(self) -> bool:
        return self._doubtful or time.monotonic() - self._map.read_at > MAX_AGE_S

    def _learned(self, rows: Sequence[Sequence[Any]]) -> None:
        self._map = Map(rows, time.monotonic())
        self._doubtful = False

    def _candidates(self, key: Sequence[object]) -> list[Place | None]:
        """Where to ask for a connection, nearest first; None: any instance, as the caller's
        connection string has them."""
        nearest = self.place(*key)
        others = [place for place in self._map.places() if place != nearest]
        return [*([nearest] if nearest is not None and nearest.port else []), *others, None]

    def _pop(self, place: Place | None) -> C | None:
        idle = self._idle.get(place)
        with contextlib.suppress(IndexError):  # another thread may take the last
            return idle.pop() if idle else None
        return None

    def _keep_idle(self, place: Place | None, connection: C) -> bool:
        """Whether it was kept; else the caller closes it."""
        idle = self._idle.setdefault(place, [])
        if len(idle) >= self._keep:
            return False
        idle.append(connection)
        return True

    def _doubt(self, place: Place | None) -> list[C]:
        """Something went wrong there: read the map again. The caller closes what was idle."""
        self._doubtful = True
        return self._idle.pop(place, [])


class PsycopgRoutes(_Routes[psycopg.Connection]):
    """Connections of psycopg. `keep` of them stay open at each instance when nobody uses them.
    May be used by several threads. Raises psycopg.Error, RoutingError."""

    def __init__(self, conninfo: str, *, table: str, keep: int = 8) -> None:
        super().__init__(table, keep)
        self._conninfo = conninfo
        with psycopg.connect(conninfo) as connection:
            owner, name = _names(table)
            owner = owner or connection.info.user.upper()
            rows = connection.execute(KEY.format(owner, name).encode()).fetchall()
            self._distribution = distribution(table, rows)
            self._learned(connection.execute(MAP.encode()).fetchall())

    @contextlib.contextmanager
    def connection(self, *key: object) -> Iterator[psycopg.Connection]:
        """One near to the key, or, while that instance cannot be reached, any. As with a pool of
        psycopg's, the transaction is committed at the end, or rolled back after an exception."""
        place, connection = self._take(key)
        try:
            yield connection
            connection.commit()
        except BaseException as error:
            state = getattr(error, "sqlstate", None) or ""
            if connection.closed or state.startswith(AWAY):
                connection.close()
                for other in self._doubt(place):
                    other.close()
            else:
                connection.rollback()
            raise
        finally:
            if not connection.closed and not self._keep_idle(place, connection):
                connection.close()

    def _take(self, key: Sequence[object]) -> tuple[Place | None, psycopg.Connection]:
        if self._is_old:
            self._refresh()
        for place in self._candidates(key):
            try:
                return place, self._connect(place)
            except psycopg.OperationalError:
                self._doubt(place)
                if place is None:
                    raise
        raise AssertionError("the last candidate returned or raised")

    def _connect(self, place: Place | None) -> psycopg.Connection:
        if (connection := self._pop(place)) is not None:
            return connection
        where = {} if place is None else {"host": place.host, "port": str(place.port)}
        limit = {} if place is None else {"connect_timeout": str(CONNECT_S)}
        return psycopg.connect(make_conninfo(self._conninfo, **where, **limit))

    def _refresh(self) -> None:
        for place in (*self._map.places(), None):
            try:
                connection = self._connect(place)
                rows = connection.execute(MAP.encode()).fetchall()
                connection.rollback()
            except psycopg.Error:
                for other in self._doubt(place):
                    other.close()
                if place is None:
                    raise
            else:
                self._learned(rows)
                if not self._keep_idle(place, connection):
                    connection.close()
                return

    def close(self) -> None:
        """Close what is idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()


class AsyncpgRoutes(_Routes["asyncpg.Connection"]):
    """Connections of asyncpg: `await AsyncpgRoutes.open(dsn, table=...)`. `more`: arguments for
    asyncpg.connect. Raises asyncpg.PostgresError, OSError, RoutingError."""

    def __init__(self, dsn: str, table: str, keep: int, more: dict[str, Any]) -> None:
        super().__init__(table, keep)
        self._dsn, self._more = dsn, more

    @classmethod
    async def open(cls, dsn: str, *, table: str, keep: int = 8, **more: Any) -> AsyncpgRoutes:
        """Learn how the table is distributed, and the map."""
        routes = cls(dsn, table, keep, more)
        connection = await routes._connect(None)
        owner, name = _names(table)
        owner = owner or str(await connection.fetchval("SELECT user FROM dual"))
        routes._distribution = distribution(table, await connection.fetch(KEY.format(owner, name)))
        routes._learned(await connection.fetch(MAP))
        routes._keep_idle(None, connection)
        return routes

    @contextlib.asynccontextmanager
    async def connection(self, *key: object) -> AsyncIterator[asyncpg.Connection]:
        """One near to the key, or, while that instance cannot be reached, any. A transaction that
        is open at the end is rolled back, as a pool of asyncpg's does."""
        place, connection = await self._take(key)
        try:
            yield connection
        except BaseException as error:
            state = getattr(error, "sqlstate", None) or ""
            if connection.is_closed() or state.startswith(AWAY):
                connection.terminate()
                for other in self._doubt(place):
                    other.terminate()
            raise
        finally:
            if not connection.is_closed():
                if connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
                if not self._keep_idle(place, connection):
                    await connection.close()

    async def _take(self, key: Sequence[object]) -> tuple[Place | None, asyncpg.Connection]:
        import asyncpg

        if self._is_old:
            await self._refresh()
        for place in self._candidates(key):
            try:
                return place, await self._connect(place)
            except (OSError, TimeoutError, asyncpg.PostgresError):
                self._doubt(place)
                if place is None:
                    raise
        raise AssertionError("the last candidate returned or raised")

    async def _connect(self, place: Place | None) -> asyncpg.Connection:
        import asyncpg

        while (connection := self._pop(place)) is not None:
            if not connection.is_closed():
                return connection
        where = {} if place is None else {"host": place.host, "port": place.port}
        return await asyncpg.connect(self._dsn, **{"timeout": CONNECT_S, **self._more, **where})

    async def _refresh(self) -> None:
        import asyncpg

        for place in (*self._map.places(), None):
            try:
                connection = await self._connect(place)
                rows = await connection.fetch(MAP, timeout=CONNECT_S)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                for other in self._doubt(place):
                    other.terminate()
                if place is None:
                    raise
            else:
                self._learned(rows)
                if not self._keep_idle(place, connection):
                    await connection.close()
                return

    async def close(self) -> None:
        """Close what is idle."""
        idle = [connection for some in self._idle.values() for connection in some]
        self._idle.clear()
        await asyncio.gather(*(connection.close() for connection in idle))
