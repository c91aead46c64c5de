"""A small Engine on SQLite, so that the wire and the session can be tested without a grid.

Types of result columns come from the declared types of SQLite columns, else from a `::type` behind
a parameter. `pg_sleep(s)` and the comment /* later */ make a statement finish after execute()
returned.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import apsw

from data.session.engine import AuthInfo, CopyFormat, ResultColumn, ResultSink, RowEncoder
from protocol.errors import (
    CancelledError,
    DivisionByZeroError,
    GridError,
    InternalError,
    SqlSyntaxError,
    TransactionStateError,
    UniqueViolationError,
    UnknownDatabaseError,
    UnknownTableError,
)
from protocol.sqltypes import INTEGER_KINDS, Kind, SqlType, StorageRow, StorageValue

_NAMES = {
    "int": Kind.INTEGER, "int4": Kind.INTEGER, "integer": Kind.INTEGER, "tt_integer": Kind.INTEGER,
    "int2": Kind.SMALLINT, "smallint": Kind.SMALLINT, "tt_smallint": Kind.SMALLINT,
    "tt_tinyint": Kind.TINYINT, "bigint": Kind.BIGINT, "int8": Kind.BIGINT, "tt_bigint":
    Kind.BIGINT, "numeric": Kind.NUMBER, "number": Kind.NUMBER, "float4": Kind.BINARY_FLOAT,
    "binary_float": Kind.BINARY_FLOAT, "float8": Kind.BINARY_DOUBLE,
    "binary_double": Kind.BINARY_DOUBLE, "char": Kind.CHAR, "text": Kind.VARCHAR,
    "varchar": Kind.VARCHAR, "varchar2": Kind.VARCHAR, "nchar": Kind.NCHAR,
    "nvarchar2": Kind.NVARCHAR, "date": Kind.DATE, "timestamp": Kind.TIMESTAMP,
    "timestamptz": Kind.TIMESTAMPTZ, "tt_date": Kind.TT_DATE, "tt_time": Kind.TT_TIME,
    "tt_timestamp": Kind.TT_TIMESTAMP, "binary": Kind.BINARY, "varbinary": Kind.VARBINARY,
    "bytea": Kind.VARBINARY, "bool": Kind.BOOLEAN, "boolean": Kind.BOOLEAN, "clob": Kind.CLOB,
    "blob": Kind.BLOB, "interval": Kind.INTERVAL_DS, "interval_ym": Kind.INTERVAL_YM,
    "json": Kind.JSON,
}  # fmt: skip
_TYPE = re.compile(r"(\w+)\s*(?:\((\d+)\s*(?:,\s*(-?\d+))?\))?")
_PARAMETER = re.compile(r"\$(\d+)(?:::(\w+(?:\s*\(\s*\d+\s*(?:,\s*-?\d+)?\s*\))?))?")
_COPY = re.compile(
    r'\s*COPY\s+(?:\((?P<query>.+)\)|"?(?P<table>\w+)"?(?:\s*\((?P<columns>[^)]*)\))?)\s+'
    r"(?P<direction>FROM\s+STDIN|TO\s+STDOUT)(?:\s+WITH)?(?:\s*\((?P<options>.*)\))?"
    r"(?:\s+(?P<csv>CSV))?\s*",
    re.IGNORECASE | re.DOTALL,
)


def type_named(text: str) -> SqlType:
    """The type of a declaration such as NUMBER(10,2)."""
    match = _TYPE.fullmatch(text.strip().lower().removeprefix("blob_"))
    assert match is not None, text
    kind = _NAMES[match[1].lower()]
    first, second = match[2], match[3]
    if kind is Kind.NUMBER and first:
        return SqlType(kind, int(first), int(second or 0))
    if kind in (Kind.TIMESTAMP, Kind.TIMESTAMPTZ):
        return SqlType(kind, precision=int(first or 6))
    return SqlType(kind, length=int(first)) if first else SqlType(kind)


def _alike(one: SqlType, other: SqlType) -> bool:
    """True: the same bytes are a value of both types."""
    return one.kind is other.kind or {one.kind, other.kind} <= INTEGER_KINDS


@dataclass
class FakePrepared:
    """What prepare() gives."""

    sql: str
    param_types: tuple[SqlType, ...] = ()
    columns: tuple[ResultColumn, ...] | None = None
    tag_kind: str = "SELECT"
    copy: CopyFormat | None = None
    later: bool = False
    table: str = ""


class FakeExecution:
    """Rows in batches, on later turns of the loop, with the sink's back-pressure."""

    def __init__(
        self, session: FakeSession, rows: list[StorageRow], encoder: RowEncoder, sink: ResultSink,
        tag: str, batch: int = 500,
    ) -> None:  # fmt: skip
        self._session = session
        self._rows = rows
        self._encoder = encoder
        self._sink = sink
        self._tag = tag
        self._batch = batch
        self._at = 0
        self._over = False
        self.delay_s = 0.0

    def start(self, max_rows: int) -> None:
        self._session.engine.started += 1
        asyncio.get_running_loop().call_later(self.delay_s, self._step)

    def resume(self, max_rows: int) -> None:
        self.run_inline(max_rows)

    def run_inline(self, max_rows: int) -> None:
        """Everything at once; what a fast path does."""
        stop = min(self._at + max_rows, len(self._rows)) if max_rows else len(self._rows)
        chunk = self._rows[self._at : stop]
        self._at = stop
        if chunk:
            self._sink.rows(self._encoder(chunk), len(chunk))
        if max_rows and len(chunk) == max_rows:
            self._sink.suspended()
        else:
            self._over = True
            self._sink.done(f"{self._tag} {len(chunk)}")

    def _step(self) -> None:
        if self._over:
            return
        if not self._sink.writable:
            self._session.engine.stalls += 1
            self._sink.on_writable(self._step)
            return
        chunk = self._rows[self._at : self._at + self._batch]
        self._at += len(chunk)
        if chunk:
            self._sink.rows(self._encoder(chunk), len(chunk))
            asyncio.get_running_loop().call_soon(self._step)
        else:
            self._over = True
            self._session.settled()
            self._sink.done(f"{self._tag} {len(self._rows)}")

    def cancel(self) -> None:
        if not self._over:
            self._over = True
            self._session.failed()
            self._sink.fail(CancelledError("canceling statement due to user request"))

    def close(self) -> None:
        self._over = True
        self._session.engine.closed_executions += 1


class FakeCopyIn:
    """COPY FROM: decodes as data comes, pauses after every `pause_every` chunks."""

    def __init__(self, session: FakeSession, prepared: FakePrepared, sink: ResultSink) -> None:
        assert prepared.copy is not None
        self._session = session
        self._prepared = prepared
        self._sink = sink
        self._decoder = prepared.copy.row_decoder()
        self._count = 0
        self._chunks = 0
        session.connection.execute("SAVEPOINT copying")

    @property
    def paused(self) -> bool:
        self._chunks += 1
        return self._chunks % 50 == 0

    def on_ready(self, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    def feed(self, chunk: bytes) -> None:
        try:
            self._insert(list(self._decoder.feed(chunk)))
        except GridError as error:
            self._undo(error)

    def finish(self) -> None:
        try:
            self._insert(self._decoder.finish())
        except GridError as error:
            self._undo(error)
            return
        self._session.connection.execute("RELEASE copying")
        self._session.settled()
        self._sink.done(f"COPY {self._count}")

    def abort(self, reason: str) -> None:
        self._undo(CancelledError(reason))

    def _insert(self, rows: list[StorageRow]) -> None:
        assert self._prepared.copy is not None
        marks = ", ".join("?" * len(self._prepared.copy.types))
        names = ", ".join(self._prepared.copy.names)
        sql = f"INSERT INTO {self._prepared.table} ({names}) VALUES ({marks})"
        try:
            self._session.connection.executemany(sql, rows)
        except apsw.ConstraintError as error:
            raise UniqueViolationError(str(error)) from None
        self._count += len(rows)

    def _undo(self, error: GridError) -> None:
        self._session.connection.execute("ROLLBACK TO copying; RELEASE copying")
        self._session.failed()
        self._sink.fail(error)


@dataclass
class FakeSession:
    """One SQLite connection per client session."""

    engine: FakeEngine
    user: str
    parameters: dict[str, str]
    connection: apsw.Connection
    transaction_status: bytes = b"I"
    implicit: bool = False
    closed: bool = False
    cache: dict[object, FakePrepared] = field(default_factory=dict)
    login_warning: str = ""
    statement_timeout_s: float = 0.0
    idle_in_transaction_timeout_s: float = 0.0
    idle_session_timeout_s: float = 0.0

    def split(self, sql: str) -> list[str]:
        parts = re.findall(r"(?:'(?:[^']|'')*'|\"[^\"]*\"|[^;'\"])+", sql)
        return [part.strip() for part in parts if part.strip()]

    def prepare_later(
        self, sql: str, param_types: tuple[SqlType | None, ...], done: Callable[..., None]
    ) -> None:
        """It compiles nothing that takes long."""

    def split_later(self, sql: str, done: Callable[..., None]) -> None:
        """Nor does it split."""

    def prepare(self, sql: str, param_types: tuple[SqlType | None, ...]) -> FakePrepared:
        if self.transaction_status == b"E" and not re.match(r"\s*(rollback|commit)", sql, re.I):
            raise TransactionStateError("current transaction is aborted")
        key = (sql, param_types)
        found = self.cache.get(key)
        if found is None:
            found = self.cache[key] = self._prepare(sql, param_types)
        return found

    def _prepare(self, sql: str, declared: tuple[SqlType | None, ...]) -> FakePrepared:
        if not sql.strip() or sql.strip().startswith("--"):
            return FakePrepared(sql, tag_kind="EMPTY")
        copy = _COPY.fullmatch(sql)
        if copy is not None:
            return self._prepare_copy(sql, copy)
        cast: dict[int, SqlType] = {}
        for number, name in _PARAMETER.findall(sql):
            known = declared[int(number) - 1] if int(number) <= len(declared) else None
            chosen = type_named(name) if name else cast.get(int(number))
            if known is not None and (chosen is None or not _alike(known, chosen)):
                chosen = known
            cast[int(number)] = chosen or SqlType(Kind.VARCHAR)
        types = tuple(cast[n] for n in range(1, len(cast) + 1))
        kinds = [type_named(name) if name else None for _, name in _PARAMETER.findall(sql)]
        text = _PARAMETER.sub(r"?\1", sql)
        word = text.split(None, 1)[0].upper()
        sleep = re.fullmatch(r"\s*select pg_sleep\(([\d.]+)\)\s*", text, re.I)
        columns = None
        if sleep:
            columns = (ResultColumn("pg_sleep", SqlType(Kind.VARCHAR)),)
        elif word in ("SELECT", "WITH", "VALUES"):
            columns = self._columns(text, len(types), kinds)
        later = bool(sleep) or "/* later */" in sql
        return FakePrepared(text, types, columns, word, later=later)

    def _columns(
        self, text: str, params: int, kinds: list[SqlType | None]
    ) -> tuple[ResultColumn, ...]:
        try:
            cursor = self.connection.execute(text, (None,) * params)
            described = cursor.get_description()
            first = next(cursor, None)
        except apsw.ExecutionCompleteError:
            return self._empty_columns(text, params)
        except apsw.SQLError as error:
            raise _mapped(error, text) from None
        columns = []
        for position, (name, declared) in enumerate(described):
            if declared:
                kind = type_named(declared)
            elif position < len(kinds) and kinds[position] is not None:
                kind = kinds[position] or SqlType(Kind.VARCHAR)
            else:
                value = first[position] if first else ""
                kind = SqlType(
                    Kind.BIGINT if isinstance(value, int)
                    else Kind.BINARY_DOUBLE if isinstance(value, float)
                    else Kind.VARBINARY if isinstance(value, bytes)
                    else Kind.VARCHAR
                )  # fmt: skip
            columns.append(ResultColumn(name, kind))
        return tuple(columns)

    def _empty_columns(self, text: str, params: int) -> tuple[ResultColumn, ...]:
        """SQLite describes a result only while it has rows: join a row of NULLs to it."""
        cursor = self.connection.cursor()
        seen: list[ResultColumn] = []

        def trace(cur: apsw.Cursor, sql: str, bindings: object) -> bool:
            for name, declared in cur.get_description():
                kind = type_named(declared) if declared else SqlType(Kind.VARCHAR)
                seen.append(ResultColumn(name, kind))
            return False

        cursor.exec_trace = trace
        try:
            cursor.execute(text, (None,) * params)
        except apsw.ExecTraceAbort:
            pass
        return tuple(seen)

    def _prepare_copy(self, sql: str, match: re.Match[str]) -> FakePrepared:
        table = match["table"] or ""
        query = match["query"] or f"SELECT {match['columns'] or '*'} FROM {table}"
        columns = self._empty_columns(query, 0)
        options = match["options"] or ""
        form = re.search(r"format\s+'?(\w+)'?|(csv|binary)\b", options, re.I)
        name = (form[1] or form[2]).lower() if form else ("csv" if match["csv"] else "text")
        null = re.search(r"null\s+'([^']*)'", options, re.I)
        delimiter = re.search(r"delimiter\s+'([^']*)'", options, re.I)
        copy = CopyFormat(
            tuple(column.type for column in columns),
            tuple(column.name for column in columns),
            name,
            header="header" in options.lower(),
            null=null[1] if null else None,
            delimiter=delimiter[1] if delimiter else "",
        )
        kind = "COPY_IN" if "FROM" in match["direction"].upper() else "COPY_OUT"
        return FakePrepared(query, tag_kind=kind, copy=copy, table=table)

    outcome_is_open = False

    def succeeded(self, tag: str) -> None:
        """Nothing is counted."""

    def fail_transaction(self, error: GridError) -> None:
        self.failed()

    def failed(self) -> None:
        """A statement failed: a transaction is aborted, an implicit block undone."""
        if self.transaction_status == b"T":
            self.transaction_status = b"E"
        elif self.implicit and self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def settled(self) -> None:
        """A statement that ran over several turns is over."""

    def begin_implicit(self) -> None:
        if self.transaction_status == b"I" and not self.implicit:
            self.implicit = True
            self.connection.execute("BEGIN")

    def end_implicit(self, commit: bool, sink: ResultSink) -> None:
        if self.implicit:
            self.implicit = False
            if self.transaction_status == b"I" and self.connection.in_transaction:
                self.connection.execute("COMMIT" if commit else "ROLLBACK")
        sink.done("")

    def execute(
        self,
        prepared: FakePrepared,
        values: tuple[StorageValue, ...],
        encoder: RowEncoder | None,
        max_rows: int,
        sink: ResultSink,
    ) -> FakeExecution | None:
        if prepared.columns is not None:
            assert encoder is not None
            return self._query(prepared, values, encoder, max_rows, sink)
        try:
            tag = self._command(prepared, values, sink)
        except GridError as error:
            self.failed()
            sink.fail(error)
            return None
        sink.done(tag)
        return None

    def _query(
        self, prepared: FakePrepared, values: tuple[StorageValue, ...], encoder: RowEncoder,
        max_rows: int, sink: ResultSink,
    ) -> FakeExecution | None:  # fmt: skip
        sleep = re.search(r"pg_sleep\(([\d.]+)\)", prepared.sql)
        try:
            if sleep:
                rows: list[StorageRow] = [("",)]
            else:
                rows = self.connection.execute(prepared.sql, values).fetchall()
        except apsw.Error as error:
            self.failed()
            sink.fail(_mapped(error, prepared.sql))
            return None
        if not prepared.later and not max_rows:
            if rows:
                sink.rows(encoder(rows), len(rows))
            sink.done(f"SELECT {len(rows)}")
            return None
        execution = FakeExecution(self, rows, encoder, sink, "SELECT")
        if prepared.later:
            execution.delay_s = float(sleep[1]) if sleep else 0.0
            execution.start(max_rows)
        else:
            execution.run_inline(max_rows)
        return execution

    def _command(
        self, prepared: FakePrepared, values: tuple[StorageValue, ...], sink: ResultSink
    ) -> str:
        word = prepared.tag_kind
        if word in ("BEGIN", "START"):
            if self.transaction_status == b"I" and not self.connection.in_transaction:
                self.connection.execute("BEGIN")
            self.transaction_status = b"T"
            return "BEGIN"
        if word in ("COMMIT", "ROLLBACK", "END"):
            if word == "ROLLBACK" and re.search(r"\bto\b", prepared.sql, re.I):
                self.connection.execute(prepared.sql)
                self.transaction_status = b"T"
                return "ROLLBACK"
            commit = word != "ROLLBACK" and self.transaction_status == b"T"
            if self.connection.in_transaction:
                self.connection.execute("COMMIT" if commit else "ROLLBACK")
            elif self.transaction_status == b"I":
                sink.notice("WARNING", "there is no transaction in progress", "25P01")
            self.transaction_status = b"I"
            return "COMMIT" if commit else "ROLLBACK"
        if word in ("SET", "RESET"):
            match = re.match(r"set\s+(\w+)\s*(?:=|to)\s*'?([^']*)'?", prepared.sql, re.I)
            if match:
                sink.parameter(match[1], match[2])
            return word
        try:
            self.connection.execute(prepared.sql, values)
        except apsw.Error as error:
            raise _mapped(error, prepared.sql) from None
        count = self.connection.changes()
        if word in ("CREATE", "DROP"):
            return f"{word} TABLE"
        if word in ("SAVEPOINT", "RELEASE"):
            return word
        return f"INSERT 0 {count}" if word == "INSERT" else f"{word} {count}"

    def copy_in(self, prepared: FakePrepared, sink: ResultSink) -> FakeCopyIn:
        return FakeCopyIn(self, prepared, sink)

    def copy_out(self, prepared: FakePrepared, sink: ResultSink) -> FakeExecution:
        assert prepared.copy is not None
        rows = self.connection.execute(prepared.sql).fetchall()
        execution = FakeExecution(self, rows, prepared.copy.row_encoder(), sink, "COPY")
        execution.start(0)
        return execution

    def cancel(self) -> None:
        self.engine.cancels += 1

    def close(self) -> None:
        assert not self.closed, "closed once"
        self.closed = True
        self.connection.close()
        self.engine.open_sessions -= 1


def _mapped(error: apsw.Error, sql: str) -> GridError:
    text = str(error)
    if isinstance(error, apsw.ConstraintError):
        return UniqueViolationError(text)
    missing = re.search(r"no such table: (\S+)", text)
    if missing:
        return UnknownTableError(f"table {missing[1]} not found", position=sql.find(missing[1]) + 1)
    if "tg_divide" in text or isinstance(error, ZeroDivisionError):
        return DivisionByZeroError("division by zero")
    if isinstance(error, apsw.SQLError):
        return SqlSyntaxError(text, position=max(1, error.error_offset + 1))
    return InternalError(text)


class FakeEngine:
    """Databases in memory; users are given with their verifiers."""

    def __init__(self, users: dict[str, str | None], admins: frozenset[str] = frozenset()) -> None:
        self.users = {name.lower(): verifier for name, verifier in users.items()}
        self.admins = admins
        self.open_sessions = 0
        self.started = 0  # executions that went on after execute() returned
        self.cancels = 0
        self.stalls = 0
        self.closed_executions = 0
        self.failed_logins = 0
        self.parameters: dict[str, str] = {}
        self.last_session: FakeSession | None = None
        self._anchor = self._connect()

    def _connect(self) -> apsw.Connection:
        uri = f"file:/fake{id(self)}?vfs=memdb"
        connection = apsw.Connection(uri, flags=_OPEN_FLAGS)
        connection.set_busy_timeout(1000)
        connection.create_scalar_function("version", lambda: "PostgreSQL 15.0 (fake)", 0)
        return connection

    def run(self, sql: str) -> list[StorageRow]:
        """Straight to the database, for tests' set-up and checks."""
        return self._anchor.execute(sql).fetchall()

    def authenticate_info(self, database: str, user: str) -> AuthInfo:
        if database.lower() != "database1":
            raise UnknownDatabaseError(f'database "{database}" does not exist')
        name = user.lower()
        return AuthInfo(self.users.get(name), name in self.admins, trust=name == "trusted")

    def check_login(self, database: str, user: str) -> None:
        """No account is locked here."""

    def login_failed(self, database: str, user: str) -> None:
        self.failed_logins += 1

    def open_session(
        self,
        database: str,
        user: str,
        parameters: dict[str, str],
        backend_pid: int,
        is_superuser: bool = False,
    ) -> FakeSession:
        self.open_sessions += 1
        self.parameters = parameters
        self.last_session = FakeSession(self, user.upper(), {"TimeZone": "UTC"}, self._connect())
        return self.last_session


_OPEN_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
