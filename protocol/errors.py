"""GridError and every code: what a SQL client, the command line and a peer process see."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Self

from protocol.remedies import Remedy


class Names(NamedTuple):
    """What an error is about, as clients see the names; "": nothing of that kind."""

    schema: str = ""
    table: str = ""
    column: str = ""
    constraint: str = ""


class GridError(Exception):
    """An error that may cross a process boundary. The attributes, not the text, are contract.

    `tt_number` is the TimesTen error number where there is one, 0 otherwise. `hint` says what to
    do next; `position` is the 1-based character of the SQL text the error is about, 0 if unknown.
    """

    code: ClassVar[str] = ""  # never renamed, never reused; listed in docs/reference/errors.md
    sqlstate: ClassVar[str] = "XX000"
    retriable: ClassVar[bool] = False  # True: the same request, sent again, may succeed
    tt_number: ClassVar[int] = 0
    remedy: ClassVar[Remedy] = Remedy.NONE  # TimesTen's class, and the hint if there is no better
    routine: ClassVar[str] = ""  # of PostgreSQL, where drivers look for it; none: they get `code`
    by_code: ClassVar[dict[str, type[GridError]]] = {}

    def __init__(self, message: str, *, detail: str = "", hint: str = "", position: int = 0):
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.position = position
        self.names: Names | None = None

    def about(self, names: Names | None) -> Self:
        """The same error, with what it is about."""
        self.names = names
        return self

    def __init_subclass__(
        cls,
        *,
        code: str,
        sqlstate: str,
        retriable: bool = False,
        tt_number: int = 0,
        remedy: Remedy = Remedy.NONE,
    ) -> None:
        assert code not in GridError.by_code, f"error code {code} is taken"
        assert len(sqlstate) == 5
        cls.code, cls.sqlstate, cls.retriable, cls.tt_number = code, sqlstate, retriable, tt_number
        cls.remedy = remedy
        GridError.by_code[code] = cls

    def to_wire(self) -> tuple[str, str, str, str, int]:
        """The positional form in which it crosses the internal network."""
        return (self.code, self.message, self.detail, self.hint, self.position)

    @staticmethod
    def from_wire(wire: tuple[str, str, str, str, int]) -> GridError:
        """The error a peer sent. A code this version does not know becomes InternalError."""
        code, message, detail, hint, position = wire
        kind = GridError.by_code.get(code, InternalError)
        return kind(message, detail=detail, hint=hint, position=position)


class InternalError(GridError, code="INTERNAL", sqlstate="XX000"):
    """A fault in TenGrid itself. The daemon goes on; the log has the trace."""


# -- transient: roll back, retry ------------------------------------------------------------------
class TransientError(
    GridError,
    code="TRANSIENT",
    sqlstate="40001",
    retriable=True,
    tt_number=57005,
    remedy=Remedy.TRANSACTION,
):
    """Roll the transaction back and run it again (TimesTen TT57005)."""


class SerializationError(
    GridError, code="SERIALIZATION", sqlstate="40001", retriable=True, remedy=Remedy.TRANSACTION
):
    """A row that the transaction writes has changed since its snapshot was taken."""


class RowChangedError(
    GridError, code="ROW_CHANGED", sqlstate="40001", retriable=True, remedy=Remedy.TRANSACTION
):
    """A row of a large statement that looks at its own table has changed while it ran."""


class SnapshotTooOldError(
    GridError, code="SNAPSHOT_TOO_OLD", sqlstate="40001", retriable=True, remedy=Remedy.TRANSACTION
):
    """The snapshot of a REPEATABLE READ transaction is not held any more."""


class TooManySnapshotsError(
    GridError,
    code="TOO_MANY_SNAPSHOTS",
    sqlstate="53400",
    retriable=True,
    remedy=Remedy.STATEMENT_LATER,
):
    """So many statements and transactions read in snapshots of one element already."""


class StaleMapError(
    GridError, code="STALE_MAP", sqlstate="40001", retriable=True, remedy=Remedy.TRANSACTION
):
    """The request was made with an older distribution map; the coordinator retries."""


class StaleSchemaError(
    GridError, code="STALE_SCHEMA", sqlstate="40001", retriable=True, remedy=Remedy.TRANSACTION
):
    """The request was planned with another schema version; the coordinator plans again."""


class NotLeadError(
    GridError,
    code="NOT_LEAD",
    sqlstate="57P03",
    retriable=True,
    tt_number=3512,
    remedy=Remedy.STATEMENT,
):
    """This element does not lead its replica set (now). Nothing was done."""


class WorkspaceLostError(
    GridError,
    code="WORKSPACE_LOST",
    sqlstate="40001",
    retriable=True,
    tt_number=1207,
    remedy=Remedy.TRANSACTION,
):
    """The transaction's changes at a replica set are gone with its lead: it can only roll back."""


class DeadlockError(
    GridError,
    code="DEADLOCK",
    sqlstate="40P01",
    retriable=True,
    tt_number=6002,
    remedy=Remedy.TRANSACTION,
):
    """The transaction was chosen to break a cycle of lock waits."""


class LockTimeoutError(
    GridError,
    code="LOCK_TIMEOUT",
    sqlstate="55P03",
    retriable=True,
    tt_number=6003,
    remedy=Remedy.STATEMENT,
):
    """A lock was not to be had within LockWait seconds; only the statement is undone."""


class SystemLockError(
    LockTimeoutError,
    code="SYSTEM_LOCK",
    sqlstate="55P03",
    retriable=True,
    tt_number=6016,
    remedy=Remedy.STATEMENT,
):
    """Other DDL held the system tables for longer than LockWait seconds."""


class PeerUnreachableError(
    GridError,
    code="ELEMENT_UNREACHABLE",
    sqlstate="57P03",
    retriable=True,
    tt_number=3512,
    remedy=Remedy.STATEMENT,
):
    """An element or replica set cannot be reached just now. Nothing was done there."""


class ReplicaSetDownError(
    GridError,
    code="REPLICA_SET_DOWN",
    sqlstate="57P04",
    retriable=True,
    tt_number=3723,
    remedy=Remedy.STATEMENT_LATER,
):
    """No copy of a replica set is available."""


class CutOffError(
    ReplicaSetDownError,
    code="CUT_OFF",
    sqlstate="57P03",
    retriable=True,
    tt_number=3516,
    remedy=Remedy.TRANSACTION_LATER,
):
    """This data instance is cut off: the client should go to another one."""


class OutcomeUnknownError(GridError, code="OUTCOME_UNKNOWN", sqlstate="08007", remedy=Remedy.LOOK):
    """The outcome of a commit is unknown here. A retry could apply the work twice."""


class NotServingError(
    GridError,
    code="NOT_SERVING",
    sqlstate="57P03",
    retriable=True,
    tt_number=3516,
    remedy=Remedy.TRANSACTION_LATER,
):
    """This instance does not serve SQL now (no membership session, or starting, or stopping)."""


class DatabaseClosedError(
    GridError,
    code="DATABASE_CLOSED",
    sqlstate="57P03",
    retriable=True,
    remedy=Remedy.TRANSACTION_LATER,
):
    """The database is not open for clients."""


class NotInMapError(
    GridError,
    code="NOT_IN_MAP",
    sqlstate="57P03",
    retriable=True,
    tt_number=3502,
    remedy=Remedy.TRANSACTION_LATER,
):
    """This instance's element is not in the distribution map: it knows neither users nor tables."""


class NoMapError(GridError, code="NO_MAP", sqlstate="55000", tt_number=3493):
    """The database has no distribution map yet."""


class MembershipLostError(
    GridError,
    code="MEMBERSHIP_LOST",
    sqlstate="57P03",
    retriable=True,
    tt_number=3516,
    remedy=Remedy.TRANSACTION_LATER,
):
    """No quorum of membership servers answers: stop serving SQL."""


class PeerLostError(GridError, code="PEER_LOST", sqlstate="08006", remedy=Remedy.LOOK):
    """The connection to a peer broke after a request was sent: whether it was done is unknown."""


class DeadlineError(GridError, code="DEADLINE", sqlstate="08007", remedy=Remedy.LOOK):
    """The time allowed for a request is over; whether it was done is unknown to the caller."""


class PlsqlError(GridError, code="PLSQL", sqlstate="P0001"):
    """An exception of a PL/SQL block that no handler took; the message begins with its number."""


class NoDataFoundError(GridError, code="NO_DATA_FOUND", sqlstate="P0002"):
    """SELECT INTO found no row, or an element of a collection does not exist (ORA-01403)."""


class TooManyRowsError(GridError, code="TOO_MANY_ROWS", sqlstate="P0003"):
    """SELECT INTO found more than one row (ORA-01422)."""


class CancelledError(GridError, code="QUERY_CANCELLED", sqlstate="57014"):
    """The client asked to cancel the statement."""


class StatementTimeoutError(GridError, code="STATEMENT_TIMEOUT", sqlstate="57014"):
    """The statement ran longer than statement_timeout allows."""


class IdleSessionError(GridError, code="IDLE_SESSION", sqlstate="57P05"):
    """The client was silent for longer than idle_session_timeout allows."""


class IdleInTransactionError(GridError, code="IDLE_IN_TRANSACTION", sqlstate="25P03"):
    """The client left a transaction alone for longer than the setting allows."""


class ShuttingDownError(
    GridError,
    code="SHUTTING_DOWN",
    sqlstate="57P01",
    retriable=True,
    tt_number=994,
    remedy=Remedy.TRANSACTION_LATER,
):
    """The instance is stopping; connect to another one."""


class DisconnectedError(
    GridError,
    code="DISCONNECTED",
    sqlstate="57P01",
    retriable=True,
    remedy=Remedy.TRANSACTION_LATER,
):
    """An administrator ended the connection (dbDisconnect)."""


class TooManyConnectionsError(
    GridError,
    code="TOO_MANY_CONNECTIONS",
    sqlstate="53300",
    retriable=True,
    remedy=Remedy.TRANSACTION_LATER,
):
    """The connection limit of this data instance is reached."""


# -- constraints ----------------------------------------------------------------------------------
class UniqueViolationError(GridError, code="UNIQUE", sqlstate="23505", tt_number=907):
    """A unique or primary key value exists already."""


class ForeignKeyError(GridError, code="FOREIGN_KEY", sqlstate="23503", tt_number=3001):
    """A parent row is missing, or child rows still refer to the row."""


class NotNullError(GridError, code="NOT_NULL", sqlstate="23502", tt_number=2201):
    """NULL in a column that does not allow it."""


class CheckViolationError(GridError, code="CHECK", sqlstate="23514", tt_number=2290):
    """A CHECK constraint is false for the row."""


class OutOfPermSizeError(GridError, code="PERM_SIZE", sqlstate="53100", tt_number=802):
    """The element is full: PermSize of the database definition bounds it."""


class OutOfTempSizeError(GridError, code="TEMP_SIZE", sqlstate="53100", tt_number=6221):
    """A query gathers more than TempSize of the database definition allows."""


class DiskFullError(GridError, code="DISK_FULL", sqlstate="53100"):
    """The file system of an element is full."""


# -- statements -----------------------------------------------------------------------------------
class SqlSyntaxError(GridError, code="SYNTAX", sqlstate="42601", tt_number=1001):
    """The SQL text cannot be parsed."""


class NotSupportedError(GridError, code="NOT_SUPPORTED", sqlstate="0A000"):
    """A feature refused by name."""


class CachedPlanError(GridError, code="CACHED_PLAN", sqlstate="0A000"):
    """The rows of a prepared statement would not be as they were described.

    asyncpg and JDBC know it by the routine, and prepare the statement again.
    """

    routine = "RevalidateCachedQuery"


class UnknownTableError(GridError, code="UNKNOWN_TABLE", sqlstate="42P01", tt_number=2206):
    """No such table, view or sequence."""


class UnknownColumnError(GridError, code="UNKNOWN_COLUMN", sqlstate="42703", tt_number=2211):
    """No such column."""


class UnknownParameterError(GridError, code="UNKNOWN_PARAMETER", sqlstate="42P02"):
    """A parameter ($1, ?, :name) in a statement that comes without values."""


class AmbiguousColumnError(GridError, code="AMBIGUOUS_COLUMN", sqlstate="42702", tt_number=2212):
    """A column name that fits several tables."""


class UnknownFunctionError(GridError, code="UNKNOWN_FUNCTION", sqlstate="42883"):
    """No such function, or not with these arguments."""


class UnknownObjectError(GridError, code="UNKNOWN_OBJECT", sqlstate="42704"):
    """No such user, index, constraint or other object."""


class DuplicateObjectError(GridError, code="DUPLICATE_OBJECT", sqlstate="42P07", tt_number=2207):
    """An object of that name exists already."""


class DependentObjectsError(GridError, code="DEPENDENT_OBJECTS", sqlstate="2BP01"):
    """Other objects depend on the one to be dropped or changed; the detail names them."""


class DefinitionError(GridError, code="INVALID_DEFINITION", sqlstate="42P16"):
    """A table, index or constraint definition that cannot be."""


class ReferenceNullableError(
    GridError, code="REFERENCE_NULLABLE", sqlstate="42P16", tt_number=1068
):
    """DISTRIBUTE BY REFERENCE needs a foreign key whose columns are NOT NULL."""


class ReferenceParentDuplicateError(
    GridError, code="REFERENCE_PARENT_DUPLICATE", sqlstate="42P16", tt_number=1066
):
    """DISTRIBUTE BY REFERENCE to a DUPLICATE table makes no sense."""


class ReferenceParentKeyError(
    GridError, code="REFERENCE_PARENT_KEY", sqlstate="42P16", tt_number=1067
):
    """DISTRIBUTE BY REFERENCE needs a parent key that includes the parent's distribution key."""


class GeneratedAlwaysError(GridError, code="GENERATED_ALWAYS", sqlstate="428C9"):
    """A value for a column that is GENERATED ALWAYS AS IDENTITY."""


class TypeMismatchError(GridError, code="TYPE_MISMATCH", sqlstate="42804"):
    """Types that cannot be compared, assigned or combined."""


class InvalidTextError(GridError, code="INVALID_TEXT", sqlstate="22P02"):
    """Text that is not a value of the type it is wanted as."""


class InvalidEncodingError(GridError, code="INVALID_ENCODING", sqlstate="22021"):
    """Bytes that are not UTF-8 text, or a NUL in text."""


class CopyDataError(GridError, code="COPY_DATA", sqlstate="22P04"):
    """COPY data that does not have the form it was announced in."""


class OutOfRangeError(GridError, code="OUT_OF_RANGE", sqlstate="22003", tt_number=2932):
    """A number outside the type's range."""


class DatetimeError(GridError, code="DATETIME", sqlstate="22008"):
    """A date or time that does not exist or is out of range."""


class StringTooLongError(GridError, code="STRING_TOO_LONG", sqlstate="22001", tt_number=2929):
    """A string longer than its column."""


class DivisionByZeroError(GridError, code="DIVISION_BY_ZERO", sqlstate="22012"):
    """Division by zero."""


class NtileArgumentError(GridError, code="NTILE_ARGUMENT", sqlstate="22014"):
    """NTILE with a number of groups that is not positive."""


class NthValueArgumentError(GridError, code="NTH_VALUE_ARGUMENT", sqlstate="22016"):
    """NTH_VALUE with a place that is not positive."""


class CardinalityError(GridError, code="CARDINALITY", sqlstate="21000"):
    """A scalar subquery gave more than one row."""


class GroupingError(GridError, code="GROUPING", sqlstate="42803"):
    """A column that is neither grouped nor aggregated."""


class PrivilegeError(GridError, code="PRIVILEGE", sqlstate="42501", tt_number=15100):
    """The user may not do that."""


class AuthenticationError(GridError, code="AUTHENTICATION", sqlstate="28P01", tt_number=7001):
    """User or password is wrong."""


class LoginRefusedError(GridError, code="LOGIN_REFUSED", sqlstate="28000"):
    """The account may not be used: it is locked, its password has expired, or it was dropped."""


class PasswordRuleError(GridError, code="PASSWORD_RULE", sqlstate="22023"):
    """A new password that the user's profile does not allow."""


class UnknownDatabaseError(GridError, code="UNKNOWN_DATABASE", sqlstate="3D000"):
    """No such database in this grid."""


class TooLargeError(GridError, code="TOO_LARGE", sqlstate="54000"):
    """A message, row or statement beyond its limit."""


class LargeStatementError(TooLargeError, code="LARGE_STATEMENT", sqlstate="54000"):
    """A lead to a coordinator: an UPDATE or DELETE with so many rows is done some at a time."""


class TooManyStatementsError(
    GridError,
    code="TOO_MANY_STATEMENTS",
    sqlstate="53000",
    retriable=True,
    remedy=Remedy.STATEMENT_LATER,
):
    """Too many statements wait for something that works on one at a time."""


class TooComplexError(GridError, code="TOO_COMPLEX", sqlstate="54001"):
    """A statement or regular expression that would hold an instance up: simplify it."""


class CatalogQueryLateError(TooComplexError, code="CATALOG_QUERY_LATE", sqlstate="54001"):
    """A query of system tables that takes longer than they are worth."""


class ParameterError(GridError, code="PARAMETER", sqlstate="22023"):
    """A setting or argument with a value that cannot be."""


class FixedParameterError(GridError, code="FIXED_PARAMETER", sqlstate="55P02"):
    """SET of a setting that is what it is."""


class TransactionStateError(GridError, code="TRANSACTION_STATE", sqlstate="25000"):
    """The statement does not fit the state of the transaction."""


class ActiveTransactionError(GridError, code="ACTIVE_TRANSACTION", sqlstate="25001"):
    """The statement cannot stand in a transaction block."""


class ReadOnlyTransactionError(GridError, code="READ_ONLY_TRANSACTION", sqlstate="25006"):
    """A change in a transaction that was begun as READ ONLY."""


class NoTransactionError(GridError, code="NO_TRANSACTION", sqlstate="25P01"):
    """The statement needs a transaction, begun with BEGIN."""


class SavepointError(GridError, code="SAVEPOINT", sqlstate="3B001"):
    """No savepoint of that name."""


class FailedTransactionError(
    GridError, code="FAILED_TRANSACTION", sqlstate="25P02", remedy=Remedy.ROLL_BACK
):
    """The transaction lost its changes with a lead, or a statement of it failed in a session with
    tengrid.on_statement_error = abort: it can only roll back."""


class SequenceError(GridError, code="SEQUENCE", sqlstate="55000"):
    """CURRVAL before NEXTVAL, or a sequence that is used up."""


class UnknownStatementError(GridError, code="UNKNOWN_STATEMENT", sqlstate="26000"):
    """No prepared statement of that name."""


class DuplicateStatementError(GridError, code="DUPLICATE_STATEMENT", sqlstate="42P05"):
    """A prepared statement of that name exists already."""


class DuplicatePortalError(GridError, code="DUPLICATE_PORTAL", sqlstate="42P03"):
    """A portal or cursor of that name exists already."""


class UnknownPortalError(GridError, code="UNKNOWN_PORTAL", sqlstate="34000"):
    """No portal or cursor of that name."""


# -- wires ----------------------------------------------------------------------------------------
class PeerProtocolError(GridError, code="PEER_PROTOCOL", sqlstate="08P01"):
    """The other side broke the protocol; the connection ends."""


class PeerBusyError(
    PeerUnreachableError,
    code="PEER_BUSY",
    sqlstate="57P03",
    retriable=True,
    remedy=Remedy.STATEMENT_LATER,
):
    """Too much is waiting for that peer already (a flow limit). Nothing was done there."""


class HandshakeError(GridError, code="HANDSHAKE", sqlstate="08P01"):
    """Another grid, an unknown instance, a wrong secret or no common wire version."""


# -- replication ----------------------------------------------------------------------------------
class StaleTermError(
    GridError, code="STALE_TERM", sqlstate="57P03", retriable=True, remedy=Remedy.STATEMENT
):
    """A message of an older term: its sender no longer leads."""


class LogGapError(
    GridError, code="LOG_GAP", sqlstate="XX001", retriable=True, remedy=Remedy.STATEMENT_LATER
):
    """A copy lacks the records before the ones it was sent: it has to catch up."""


class CorruptElementError(GridError, code="CORRUPT_ELEMENT", sqlstate="XX001"):
    """An element's file is damaged; it is rebuilt from a good copy."""


class FormatTooNewError(GridError, code="FORMAT_TOO_NEW", sqlstate="XX001"):
    """An element file written by newer software; install that software to use it."""


class ElementInUseError(GridError, code="ELEMENT_IN_USE", sqlstate="55006"):
    """Another process has the element's files open."""


class ElementStateError(GridError, code="ELEMENT_STATE", sqlstate="55000"):
    """The element's state does not allow the command (create, load, open, ... in this order)."""


# -- management -----------------------------------------------------------------------------------
class ModelError(GridError, code="MODEL", sqlstate="55000"):
    """A change of the model or a command that its state does not allow."""


class UnknownModelObjectError(GridError, code="UNKNOWN_MODEL_OBJECT", sqlstate="42704"):
    """No such host, installation, instance, database definition or connectable."""


class DuplicateModelObjectError(GridError, code="DUPLICATE_MODEL_OBJECT", sqlstate="42710"):
    """A model object of that name exists already."""


class UsageError(GridError, code="USAGE", sqlstate="22023"):
    """A command line that cannot be understood."""


class OperationError(GridError, code="OPERATION", sqlstate="55000"):
    """A management operation failed; its message names the step and the way out."""


class CollectionError(GridError, code="COLLECTION", sqlstate="55000"):
    """A backup, an export or a repository is incomplete, damaged or cannot be read or written; the
    message names the file."""


class NotActiveManagementError(
    GridError, code="NOT_ACTIVE_MANAGEMENT", sqlstate="57P03", retriable=True
):
    """The command runs on the active management instance only."""
