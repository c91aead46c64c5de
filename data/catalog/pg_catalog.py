"""Answers queries of pg_catalog, information_schema and SYS.

The relations stand as tables in a private in-memory SQLite database, filled from the catalog once
per schema version; the query text is rewritten for SQLite by data/sql/catalog_rewrite.py.
"""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from data.catalog import sys_access
from data.catalog.catalog import Catalog
from data.catalog.pg_functions import CatalogFunctions, SessionFacts, to_list
from data.catalog.pg_rows import Row, Rows, fixed_rows, pg_rows
from data.catalog.pg_schema import PG_RELATIONS, SYS_RELATIONS, Relation
from data.catalog.sys_views import sys_rows
from data.catalog.views import information_rows
from data.sql.catalog_rewrite import CatalogSql, rewrite
from data.sql.catalog_types import elements_of
from data.sql.lacking import lacks
from protocol.clock import Clock, SystemClock
from protocol.errors import (
    CatalogQueryLateError,
    GridError,
    NotSupportedError,
    PrivilegeError,
    UnknownColumnError,
    UnknownFunctionError,
    UnknownTableError,
)
from protocol.sqltypes import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    VARCHAR,
    Kind,
    SqlType,
    StorageRow,
    StorageValue,
    array_of,
)

Columns = tuple[tuple[str, SqlType], ...]
Live = Callable[[str, SessionFacts], Iterable[Sequence[StorageValue]] | None]

_CACHED_QUERIES_MAX = 300
_LIVE_TOO: dict[str, tuple[str, ...]] = {  # besides V$ and GV$; named by any of these
    "monitor": ("monitor",),
    "systemstats": ("systemstats",),
    "dba_users": ("dba_users", "user_users"),
    "plan": ("plan",),
    "sequences": ("sequences",),
    "dba_sequences": ("dba_sequences", "all_sequences", "user_sequences"),
    **{
        f"dba_{name}": (f"dba_{name}", f"all_{name}", f"user_{name}")
        for name in (
            *("arguments", "dependencies", "errors", "objects"),
            *("plsql_object_settings", "procedures"),
        )
    },
}
_ROWS_MAX = 1_000_000
QUERY_SECONDS_MAX = 0.5  # catalogs are small; a longer query loops
_STEPS_BETWEEN_LOOKS = 5000  # of SQLite's virtual machine
_ELEMENTS = {16: BOOLEAN, 20: BIGINT, 21: SqlType(Kind.SMALLINT), 23: INTEGER}  # of arrays
_SMALLINT = SqlType(Kind.SMALLINT)
_TIMESTAMPTZ = SqlType(Kind.TIMESTAMPTZ, precision=6)

# Our column types → what SQLite is told (its affinity counts) and the type clients see.
_TYPES: dict[str, tuple[str, SqlType]] = {
    "bool": ("BOOL_INT", BOOLEAN),
    "int2": ("INT2", _SMALLINT),
    "int4": ("INT4", INTEGER),
    "int8": ("INT8", BIGINT),
    "oid": ("OID_INT", BIGINT),
    "regproc": ("REGPROC_TEXT", VARCHAR),
    "name": ("NAME_TEXT", VARCHAR),
    "char": ("CHAR1_TEXT", VARCHAR),
    "text": ("TEXT", VARCHAR),
    "array": ("ARRAY_TEXT", VARCHAR),
    "vector": ("VECTOR_TEXT", VARCHAR),
    "float4": ("FLOAT4_REAL", SqlType(Kind.BINARY_FLOAT)),
    "float8": ("FLOAT8_REAL", DOUBLE),
    "timestamptz": ("TSTZ_INT", _TIMESTAMPTZ),
}
_BY_DECLARED = dict(_TYPES.values())
_DEFAULTS: dict[str, StorageValue] = {
    "bool": 0,
    "int2": 0,
    "int4": 0,
    "int8": 0,
    "oid": 0,
    "regproc": "-",
    "char": "",
    "float4": 0.0,
    "float8": 0.0,
}
_SPARSE_SCHEMAS = frozenset({"information_schema", "sys"})  # unsaid columns are NULL there
_INTEGERS = frozenset({Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT, Kind.BOOLEAN})


class Connection(Protocol):
    """What is used of an SQLite connection (apsw's)."""

    def execute(self, sql: str, bindings: Any = ..., /) -> Any: ...

    def executemany(self, sql: str, bindings: Any, /) -> Any: ...

    def cursor(self) -> Any: ...

    def set_progress_handler(
        self, callable: Callable[[], bool] | None, nsteps: int = ..., /
    ) -> None: ...

    def create_scalar_function(
        self, name: str, callable: Callable[..., Any] | None, numargs: int = ..., /
    ) -> None: ...


class CatalogQueries:
    """One private database of catalog tables, for all sessions of a database (one thread)."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        live: Live | None = None,
        clock: Clock | None = None,
        seconds_max: float = QUERY_SECONDS_MAX,
    ) -> None:
        self._seconds_max = seconds_max
        self._clock = clock or SystemClock()
        self._connect = connect
        self._live = live
        self._connection: Connection | None = None
        self._catalog: Catalog | None = None
        self._databases: tuple[str, ...] = ()
        self._functions = CatalogFunctions(self._clock)
        self._fixed_until: dict[str, int] = {}  # table → rowid of the last row of fixed_rows
        self._deadline_s = 0.0
        self._rewritten: OrderedDict[str, CatalogSql] = OrderedDict()

    # -- what others call -------------------------------------------------------------------------
    def describe(
        self, sql: str, catalog: Catalog, session: SessionFacts
    ) -> tuple[Columns, tuple[SqlType, ...]]:
        """Result columns and parameter types of a query, which is not run. Raises GridError.

        No table is filled for it.
        """
        query = self._rewrite(sql)
        _check_access(query, catalog, session)
        connection = self._opened()
        self._functions.use(catalog, session)
        nulls = (None,) * len(query.param_types)
        columns, _rows = self._execute(connection, query, nulls, only_describe=True)
        return tuple((name, kind) for name, kind, _fix in columns), query.param_types

    def run(
        self,
        sql: str,
        params: Sequence[StorageValue],
        catalog: Catalog,
        session: SessionFacts,
    ) -> tuple[Columns, list[StorageRow]]:
        """Result columns and rows (storage values). Raises GridError."""
        query = self._rewrite(sql)
        _check_access(query, catalog, session)
        if not self.is_filled(catalog, session):
            self.fill(catalog, session)
        connection = self._opened()
        self._functions.use(catalog, session)
        self._deadline_s = math.inf  # that of the query before is over
        self._fill_live(connection, sql, session)
        bound = tuple(params)[: len(query.param_types)]
        bound += (None,) * (len(query.param_types) - len(bound))
        columns, rows = self._execute(connection, query, bound, only_describe=False)
        fixes = [(at, fix) for at, (_n, _t, fix) in enumerate(columns) if fix is not None]
        if fixes:
            rows = [_fixed(row, fixes) for row in rows]
        return tuple((name, kind) for name, kind, _fix in columns), rows

    def is_filled(self, catalog: Catalog, session: SessionFacts) -> bool:
        """The tables are as of this catalog; else `run` fills them first, which may take a second.

        Measured: 0.03 s with the sample's tables, 1.4 s with 1,200.
        """
        return catalog is self._catalog and _databases_of(session) == self._databases

    def fill(self, catalog: Catalog, session: SessionFacts) -> None:
        """Fill the tables as of this catalog."""
        self._deadline_s = math.inf  # it is done to its end, whatever it takes
        databases = _databases_of(session)
        self._fill(self._opened(), catalog, databases, session.database)
        self._catalog, self._databases = catalog, databases

    def close(self) -> None:
        """Gives the private database up."""
        connection, self._connection = self._connection, None
        if connection is not None and hasattr(connection, "close"):
            connection.close()

    # -- filling ----------------------------------------------------------------------------------
    def _rewrite(self, sql: str) -> CatalogSql:
        found = self._rewritten.get(sql)
        if found is None:
            found = rewrite(sql)
            self._rewritten[sql] = found
            if len(self._rewritten) > _CACHED_QUERIES_MAX:
                self._rewritten.popitem(last=False)
        else:
            self._rewritten.move_to_end(sql)
        return found

    def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> Connection:
        connection = self._connect()
        connection.execute("PRAGMA temp_store = MEMORY")
        for schema in ("information_schema", "sys"):
            connection.execute(f"ATTACH ':memory:' AS {schema}")
        for name, function in self._functions.scalar_functions().items():
            connection.create_scalar_function(name, function, -1)
        for relation in PG_RELATIONS:
            connection.execute(_create_table(relation))
        for relation in SYS_RELATIONS:
            if not relation.name.startswith(("all_", "user_")):
                connection.execute(_create_table(relation))
        for relation in SYS_RELATIONS:
            for text in sys_access.view_texts(relation):
                connection.execute(text)
        fixed = fixed_rows()
        for relation in PG_RELATIONS:
            if found := fixed.get(relation.name) if relation.schema == "pg_catalog" else None:
                _insert(connection, relation, found)
                self._fixed_until[sys_access.place(relation)] = len(found)
        connection.set_progress_handler(self._too_long, _STEPS_BETWEEN_LOOKS)
        return connection

    def _too_long(self) -> bool:
        """SQLite asks while a query runs; True interrupts it."""
        return self._clock.now_s() > self._deadline_s

    def _fill(
        self,
        connection: Connection,
        catalog: Catalog,
        databases: tuple[str, ...],
        database: str,
    ) -> None:
        rows: Rows = {f"main.{name}": r for name, r in pg_rows(catalog, databases).items()}
        rows |= information_rows(catalog, database)
        rows |= sys_rows(catalog)
        connection.execute("BEGIN")
        try:
            for relation in (*PG_RELATIONS, *SYS_RELATIONS):
                if relation.name.startswith(("all_", "user_", "v__", "gv__")):
                    continue
                table = sys_access.place(relation)
                kept = self._fixed_until.get(table, 0)
                connection.execute(f"DELETE FROM {table} WHERE rowid > {kept}")
                if found := rows.get(table.removesuffix("__all")):
                    _insert(connection, relation, found)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _fill_live(self, connection: Connection, sql: str, session: SessionFacts) -> None:
        """V$ views (and SYS.MONITOR and the like) named in the text get their rows now."""
        if self._live is None:
            return
        words = set(re.findall(r"[a-z][\w$]*", sql.lower()))
        for relation in SYS_RELATIONS:
            name = relation.name.replace("v__", "v$", 1)
            if words.isdisjoint(_LIVE_TOO.get(name, (name,))) or not (
                name.startswith(("v$", "gv$")) or name in _LIVE_TOO
            ):
                continue
            rows = self._live(name, session)
            if rows is None and name in _LIVE_TOO:
                continue
            connection.execute(f"DELETE FROM {sys_access.place(relation)}")
            if rows is not None:
                marks = ", ".join("?" * len(relation.columns))
                insert = f"INSERT INTO {sys_access.place(relation)} VALUES ({marks})"
                connection.executemany(insert, [tuple(row) for row in rows])

    # -- running ----------------------------------------------------------------------------------
    def _execute(
        self,
        connection: Connection,
        query: CatalogSql,
        bound: tuple[StorageValue, ...],
        *,
        only_describe: bool,
    ) -> tuple[list[_Column], list[StorageRow]]:
        cursor = connection.cursor()
        self._deadline_s = self._clock.now_s() + self._seconds_max
        described: list[Sequence[Any]] = []

        def before(using: Any, _sql: str, _bindings: Any) -> bool:
            described.extend(using.get_description())  # not to be had when no row comes
            return not only_describe

        cursor.exec_trace = before
        rows: list[StorageRow] = []
        try:
            for row in cursor.execute(query.sql, bound):
                rows.append(row)
                if len(rows) > _ROWS_MAX:
                    raise NotSupportedError("a catalog query gives too many rows")
        except GridError:
            raise
        except Exception as error:
            if not (only_describe and described):
                raise _translated(error) from error
        finally:
            cursor.close()
        return _result_columns(query, described), rows


def _databases_of(session: SessionFacts) -> tuple[str, ...]:
    databases = session.databases or (session.database,)
    return databases if session.database in databases else (session.database, *databases)


_Column = tuple[str, SqlType, Callable[[StorageValue], StorageValue] | None]


def _result_columns(query: CatalogSql, described: Sequence[Sequence[Any]]) -> list[_Column]:
    columns: list[_Column] = []
    shapes = query.shapes
    for number, (name, declared, *_rest) in enumerate(described):
        shape = shapes[number] if shapes is not None and number < len(shapes) else None
        if shape is not None and shape.array:
            columns.append((shape.name, *_array(shape.array)))
            continue
        if declared in ("ARRAY_TEXT", "VECTOR_TEXT"):
            kind_and_fix = _array(elements_of(name))
            if declared == "VECTOR_TEXT":
                kind_and_fix = VARCHAR, _vector_literal
            columns.append((shape.name if shape else name, *kind_and_fix))
            continue
        kind = shape.type if shape is not None else None
        kind = kind or _BY_DECLARED.get(declared or "", VARCHAR)
        shown_name = shape.name if shape is not None else name
        columns.append((shown_name, kind, _fix_of(kind)))
    return columns


def _array(element: int) -> tuple[SqlType, Callable[[StorageValue], StorageValue]]:
    """The type of an array, by the OID of its elements' type, and what makes its storage value."""
    type_ = _ELEMENTS.get(element, VARCHAR)
    fix = _fix_of(type_)

    def stored(value: StorageValue) -> StorageValue:
        items = to_list(value)
        return None if items is None else json.dumps([fix(item) if fix else item for item in items])

    return array_of(type_), stored


def _vector_literal(value: StorageValue) -> StorageValue:
    """int2vector: "1 2"."""
    items = to_list(value)
    return None if items is None else " ".join(str(item) for item in items)


def _to_integer(value: StorageValue) -> StorageValue:
    if value is None or isinstance(value, int):
        return value
    text = str(value)
    if text in ("t", "f", "true", "false"):
        return int(text in ("t", "true"))
    try:
        return int(float(text))
    except ValueError:
        return None


def _to_text(value: StorageValue) -> StorageValue:
    return value if value is None or isinstance(value, str) else str(value)


def _to_float(value: StorageValue) -> StorageValue:
    return value if value is None or isinstance(value, float) else float(value)


def _fix_of(kind: SqlType) -> Callable[[StorageValue], StorageValue] | None:
    """Makes sure that a value is a storage value of the type said before."""
    if kind.kind in _INTEGERS or kind.kind is Kind.TIMESTAMPTZ:
        return _to_integer
    if kind.kind in (Kind.BINARY_DOUBLE, Kind.BINARY_FLOAT):
        return _to_float
    return _to_text


def _fixed(
    row: StorageRow, fixes: list[tuple[int, Callable[[StorageValue], StorageValue]]]
) -> StorageRow:
    values = list(row)
    for at, fix in fixes:
        values[at] = fix(values[at])
    return tuple(values)


def _translated(error: Exception) -> GridError:
    """SQLite's complaint as ours."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, GridError):
        return cause
    text = str(error)
    if match := re.search(r"no such table: (\S+)", text):
        name = match[1].replace("v__", "v$")
        return UnknownTableError(f'relation "{name}" does not exist')
    if match := re.search(r"no such column: (\S+)", text):
        return UnknownColumnError(f'column "{match[1]}" does not exist')
    if match := re.search(r"no such function: (\S+)", text):
        return UnknownFunctionError(f"function {match[1].lower()} does not exist")
    if "interrupted" in text.lower():
        return CatalogQueryLateError("a catalog query runs too long")
    if "not authorized" in text or "readonly" in text:
        return PrivilegeError("system tables can only be read")
    return NotSupportedError(f"this catalog query is not supported: {text}")


def _check_access(query: CatalogSql, catalog: Catalog, session: SessionFacts) -> None:
    """Raises PrivilegeError if the query names what not everybody may read."""
    name = sys_access.restricted_in(query.relations)
    if name and not catalog.has_system_privilege(session.user, "SELECT ANY TABLE"):
        raise lacks(session.user, "SELECT ANY TABLE", used_for=f"read SYS.{name}")


# -- tables ----------------------------------------------------------------------------------------
def _create_table(relation: Relation) -> str:
    columns = ", ".join(f'"{name}" {_TYPES[kind][0]}' for name, kind in relation.columns)
    return f"CREATE TABLE {sys_access.place(relation)} ({columns})"


def _insert(connection: Connection, relation: Relation, rows: list[Row]) -> None:
    sparse = relation.schema in _SPARSE_SCHEMAS
    defaults = [(name, None if sparse else _DEFAULTS.get(kind)) for name, kind in relation.columns]
    marks = ", ".join("?" * len(defaults))
    known = {name for name, _default in defaults}
    for row in rows[:1]:
        assert set(row) <= known, (relation.name, set(row) - known)
    connection.executemany(
        f"INSERT INTO {sys_access.place(relation)} VALUES ({marks})",
        [tuple(row.get(name, default) for name, default in defaults) for row in rows],
    )
