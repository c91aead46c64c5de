"""The ports between a client session and the engine that runs its statements. Types only.

`data/exec` implements Engine, SqlSession, Prepared, Execution and CopyIn; `data/session/session.py`
implements ResultSink. Everything is called on the event loop; nothing here blocks or awaits. An
engine method raises GridError, and nothing else, for what a client did wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from protocol.errors import GridError
from protocol.pgwire.copy_rows import CopyFormat
from protocol.pgwire.values import ResultColumn, RowEncoder
from protocol.sqltypes import SqlType, StorageValue

__all__ = [
    "AuthInfo",
    "CopyFormat",
    "CopyIn",
    "Engine",
    "Execution",
    "Prepared",
    "ResultColumn",
    "ResultSink",
    "RowEncoder",
    "SqlSession",
]

IDLE = b"I"  # no transaction
IN_TRANSACTION = b"T"
FAILED = b"E"  # in a transaction that can only roll back


class AuthInfo(NamedTuple):
    """What is known of a user who wants to connect.

    `verifier`: PostgreSQL's text form SCRAM-SHA-256$iterations:salt$stored:server; None: no such
    user or one without a password (the client then fails after a mock exchange, indistinguishable).
    """

    verifier: str | None
    is_admin: bool = False  # may use the reserved connections
    trust: bool = False  # no password is asked (never over TCP in production)
    external: bool = False  # no password over the local socket, for the OS user of the same name


class Prepared(Protocol):
    """A compiled statement. Immutable as the session sees it; the engine plans anew on its own.

    `columns` should be the identical tuple for the same cached plan: encoders are cached by it.
    """

    @property
    def param_types(self) -> tuple[SqlType, ...]:
        """One per $n: the declared type, else the one the context asks for."""
        ...

    @property
    def columns(self) -> tuple[ResultColumn, ...] | None:
        """Of the result; None for a statement that returns no rows (also COPY)."""
        ...

    @property
    def tag_kind(self) -> str:
        """First words of the command tag ("SELECT", "INSERT"), or "COPY_IN", "COPY_OUT",
        "EMPTY"."""
        ...

    @property
    def copy(self) -> CopyFormat | None:
        """Of COPY_IN and COPY_OUT: format, options and column types."""
        ...


class ResultSink(Protocol):
    """Where the results of the one statement running on a session go.

    Per execute or resume: any number of rows() and notice(), then exactly one of done(),
    suspended(), fail(). After Execution.close() nothing more may be called for it.
    """

    @property
    def writable(self) -> bool:
        """False: the client reads too slowly; stop producing and use on_writable."""
        ...

    def on_writable(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once, from the event loop, when there is room again.

        Called before this method returns if there is room now. Not called for a closed session.
        """
        ...

    def rows(self, data: bytes | bytearray, count: int) -> None:
        """Send rows: DataRow (or, for COPY_OUT, CopyData) messages as the encoder made them."""
        ...

    def answer(self, data: bytes | bytearray, count: int, tag: str) -> None:
        """All its rows at once, and the end: as rows() and done()."""
        ...

    def done(self, tag: str) -> None:
        """The statement succeeded; `tag` is the whole command tag, e.g. "INSERT 0 1", "SELECT
        5"."""
        ...

    def suspended(self) -> None:
        """max_rows rows were sent and there may be more: Execution.resume or close follows."""
        ...

    def fail(self, error: GridError) -> None:
        """The statement failed; transaction_status already shows the consequence."""
        ...

    def notice(self, severity: str, message: str, sqlstate: str) -> None:
        """Tell the client something: severity is WARNING, NOTICE or INFO."""
        ...

    def parameter(self, name: str, value: str) -> None:
        """A setting changed; sent as ParameterStatus if it is one of those that drivers follow."""
        ...

    def open_cursor(
        self, name: str, query: Prepared, sql: str, values: tuple[StorageValue, ...], hold: bool
    ) -> None:
        """A cursor that the client may fetch from; without `hold` it ends with the transaction.

        Raises DuplicatePortalError, TooLargeError.
        """
        ...


class Execution(Protocol):
    """A statement that goes on after execute() returned, or that is suspended."""

    def resume(self, max_rows: int) -> None:
        """Send the next rows (0: all) of a suspended statement to the same sink; may finish
        inside."""
        ...

    def cancel(self) -> None:
        """Ask it to stop soon: the sink gets fail(CancelledError), or done() if that came first."""
        ...

    def close(self) -> None:
        """Release it at once, silently. Also allowed when it has finished."""
        ...


class CopyIn(Protocol):
    """COPY FROM STDIN in progress: bytes in, rows into the table; the tag comes through the sink.

    Decode with `prepared.copy.row_decoder()`. The sink gets done("COPY n") after finish(), or
    fail() at any time, after which no method but abort() is called.
    """

    @property
    def paused(self) -> bool:
        """True: send no more until the callback given to on_ready has been called."""
        ...

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once when the copy takes data again."""
        ...

    def feed(self, chunk: bytes) -> None:
        """The content of one CopyData message; it need not end at a row's end."""
        ...

    def finish(self) -> None:
        """All data was given."""
        ...

    def abort(self, reason: str) -> None:
        """The client gave up or is gone: undo. The sink gets fail() unless the session is
        closed."""
        ...


class SqlSession(Protocol):
    """One client's session in the engine: transaction, settings, current schema."""

    @property
    def transaction_status(self) -> bytes:
        """IDLE, IN_TRANSACTION or FAILED. An implicit block counts as IDLE."""
        ...

    @property
    def user(self) -> str:
        """The authenticated user as the catalog spells it."""
        ...

    @property
    def login_warning(self) -> str:
        """What the client is told at its start, e.g. that its password gets old; "" for nothing."""
        ...

    @property
    def parameters(self) -> dict[str, str]:
        """Settings in force that are reported to the client at its start (ParameterStatus
        names)."""
        ...

    def split(self, sql: str) -> list[str]:
        """The statements of one simple query, without their semicolons; comments stay."""
        ...

    def prepare(self, sql: str, param_types: tuple[SqlType | None, ...]) -> Prepared:
        """Compile one statement (cached). Raises GridError."""
        ...

    def prepare_later(
        self,
        sql: str,
        param_types: tuple[SqlType | None, ...],
        done: Callable[[Prepared | GridError], None],
    ) -> Execution | None:
        """`prepare` for a text that would hold the event loop up: `done` gets what comes of it.

        None, and nothing has begun: call `prepare`, which is quick enough.
        """
        ...

    def split_later(
        self, sql: str, done: Callable[[list[str] | GridError], None]
    ) -> Execution | None:
        """The same for `split`."""
        ...

    @property
    def statement_timeout_s(self) -> float:
        """A statement that takes longer is cancelled; 0: none."""
        ...

    @property
    def idle_in_transaction_timeout_s(self) -> float:
        """A client that leaves a transaction alone for so long is cut off; 0: never."""
        ...

    @property
    def idle_session_timeout_s(self) -> float:
        """The same for a client without a transaction."""
        ...

    def succeeded(self, tag: str) -> None:
        """The statement ended with this tag, or was suspended after so many rows: for counting."""
        ...

    def fail_transaction(self, error: GridError) -> None:
        """A statement failed, wherever: an open transaction may become FAILED, as the client's
        setting says. No effect when IDLE. Called before the client is told."""
        ...

    def begin_implicit(self) -> None:
        """More than one statement runs before the next Sync (or in this simple query): what follows
        is one transaction until end_implicit; inside a transaction it is one unit, which stays or
        goes as a whole. Without it execute() commits by itself. BEGIN inside turns the block into a
        transaction. Called once per block."""
        ...

    def end_implicit(self, commit: bool, sink: ResultSink) -> Execution | None:
        """End the implicit block or unit, if there is one (else only done("")). The sink gets
        done("") or fail(); None if that happened inside the call."""
        ...

    def execute(
        self,
        prepared: Prepared,
        values: tuple[StorageValue, ...],
        encoder: RowEncoder | None,
        max_rows: int,
        sink: ResultSink,
    ) -> Execution | None:
        """Run it; None if it finished inside the call (the fast path), else it goes on.

        values: one per param_types, as storage values of those types. encoder: for rows, None if
        the statement has no columns. max_rows: 0 for all. Errors go to the sink (raising is allowed
        too).
        """
        ...

    def copy_in(self, prepared: Prepared, sink: ResultSink) -> CopyIn:
        """Start COPY FROM STDIN."""
        ...

    def copy_out(self, prepared: Prepared, sink: ResultSink) -> Execution | None:
        """Run COPY TO STDOUT: rows made by `prepared.copy.row_encoder()` go to sink.rows()."""
        ...

    @property
    def outcome_is_open(self) -> bool:
        """A commit was sent and has not been answered: it may be done or not."""
        ...

    def cancel(self) -> None:
        """The client asked to cancel; running Executions have been told as well. May do nothing."""
        ...

    def close(self) -> None:
        """The client is gone: roll back, release everything. Called once."""
        ...


class Engine(Protocol):
    """All databases of this data instance."""

    def authenticate_info(self, database: str, user: str) -> AuthInfo:
        """Raises UnknownDatabaseError, NotServingError, DatabaseClosedError; not for unknown
        users."""
        ...

    def check_login(self, database: str, user: str) -> None:
        """Before a password is looked at. Raises LoginRefusedError for a locked account."""
        ...

    def login_failed(self, database: str, user: str) -> None:
        """The password was wrong."""
        ...

    def open_session(
        self,
        database: str,
        user: str,
        parameters: dict[str, str],
        backend_pid: int,
        is_superuser: bool = False,
    ) -> SqlSession:
        """After authentication. parameters: the start-up packet's settings, options included.

        is_superuser: the instance administrator over the local socket, who need not be a user of
        the database.
        """
        ...
