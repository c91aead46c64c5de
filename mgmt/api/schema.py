"""Requests and replies of the HTTP API, shared by the server and the commands. No I/O.

Every request is a POST to /api/v1/<PATH> with the request's JSON as body. The answer is the JSON
of REPLY, or, for requests that STREAM, lines of JSON: any number of `Event`s, then one `Outcome`.
An error is an `ErrorBody` with the HTTP status of `http_status`.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from protocol import errors
from protocol.errors import GridError

API_PREFIX = "/api/v1/"
BODY_BYTES_MAX = 16 * 1024 * 1024  # of a request: a model or a script file

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3  # no (active) management instance answers
EXIT_RETRY = 4  # the same command may succeed later
EXIT_CHILD = 5  # hostExec, instanceExec: a command ran and failed somewhere


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all requests."""

    PATH: ClassVar[str] = ""  # noun/verb
    STREAM: ClassVar[bool] = False


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all replies."""


class Done(Reply, frozen=True, kw_only=True):
    """The reply of a command that only says what it did."""

    messages: tuple[str, ...] = ()


class TextFile(Reply, frozen=True, kw_only=True):
    """A file for the client to write, or to print when no file name was given."""

    text: str
    messages: tuple[str, ...] = ()  # printed when it was written; {file} stands for its name


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """A GridError in JSON."""

    code: str
    message: str
    detail: str = ""
    hint: str = ""
    tt_number: int = 0
    retriable: bool = False


class Event(msgspec.Struct, frozen=True, tag="event"):
    """Progress: step (a title begins), ok and failed (it ended), line (a whole line)."""

    kind: str
    text: str


class Outcome(msgspec.Struct, frozen=True, tag="outcome", omit_defaults=True):
    """The last line of a stream: the reply as raw JSON, or the error."""

    reply: msgspec.Raw = msgspec.Raw()  # empty: there is an error
    error: ErrorBody | None = None


def error_body(error: GridError) -> ErrorBody:
    """The form in which an error leaves the API."""
    return ErrorBody(
        code=error.code,
        message=error.message,
        detail=error.detail,
        hint=error.hint,
        tt_number=error.tt_number,
        retriable=error.retriable,
    )


def error_from(body: ErrorBody) -> GridError:
    """The error the API sent; an unknown code becomes InternalError."""
    return GridError.from_wire((body.code, body.message, body.detail, body.hint, 0))


_STATUS: tuple[tuple[type[GridError], int], ...] = (
    (errors.UsageError, 400),
    (errors.ParameterError, 400),
    (errors.AuthenticationError, 401),
    (errors.PrivilegeError, 403),
    (errors.UnknownModelObjectError, 404),
    (errors.UnknownObjectError, 404),
    (errors.UnknownDatabaseError, 404),
    (errors.DuplicateModelObjectError, 409),
    (errors.ModelError, 409),
    (errors.NotActiveManagementError, 421),
    (errors.TooLargeError, 413),
    (errors.NotSupportedError, 501),
)


def http_status(error: GridError) -> int:
    """HTTP status of an error."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return 503 if error.retriable or isinstance(error, errors.DeadlineError) else 500


def exit_code(error: GridError) -> int:
    """Exit code of a command that ended with this error."""
    if isinstance(error, errors.UsageError):
        return EXIT_USAGE
    if isinstance(error, errors.NotActiveManagementError | errors.PeerUnreachableError):
        return EXIT_UNREACHABLE
    if isinstance(error, errors.DeadlineError):  # it goes on, and one can wait for it again
        return EXIT_RETRY
    return EXIT_RETRY if error.retriable else EXIT_FAILED


# -- grid -----------------------------------------------------------------------------------------
class GridCreate(Request, frozen=True, kw_only=True):
    """Make a grid; this instance becomes its active management instance."""

    PATH: ClassVar[str] = "grids/create"
    name: str
    k: int
    membership: str  # text of membership.conf
    host: str = ""
    internal_address: str
    external_address: str
    mgmt_port: int
    session_timeout_s: float = 2.0
    no_data_space_group: bool = True
    retain_days: int = 30
    retain_versions: int = 10
    warn_threshold_pct: int = 90
    internal_encryption: str = "required"
    server_encryption: str = "accepted"
    membership_user: str = ""  # "": made of the grid's own secret
    membership_password: str = ""
    membership_root: str = ""  # texts of root.crt and client.pem of ttMembership certify
    membership_certificate: str = ""


class GridDisplay(Request, frozen=True, kw_only=True):
    """The grid's facts."""

    PATH: ClassVar[str] = "grids/display"


class GridReply(Reply, frozen=True, kw_only=True):
    """Answer of GridDisplay; times in microseconds since 1970 UTC."""

    name: str
    guid: str
    created_us: int
    major_release: str
    created_release: str
    k: int
    admin_user: str
    admin_uid: int
    admin_group: str
    admin_gid: int
    retain_days: int
    retain_versions: int
    warn_threshold_pct: int
    mgmt_failover: str  # automatic | manual
    replace_after_s: int = 0
    model_latest: int
    model_current: int
    seq: int
    internal_encryption: str
    server_encryption: str


class GridModify(Request, frozen=True, kw_only=True):
    """Change what may change; None leaves a setting as it is."""

    PATH: ClassVar[str] = "grids/modify"
    retain_days: int | None = None
    retain_versions: int | None = None
    warn_threshold_pct: int | None = None
    server_encryption: str | None = None  # in force with each instance's next start after apply
    mgmt_failover: str | None = None
    replace_after_s: int | None = None  # 0: never
    membership_user: str = ""  # with a password: the new login for the membership servers
    membership_password: str = ""


class GridClientExport(Request, frozen=True, kw_only=True):
    """The file clients connect with; form is ini (TimesTen) or service (libpq)."""

    PATH: ClassVar[str] = "grids/client-export"
    form: str = "ini"
    user: str = ""  # service form
    passfile: str = ""
    database: str = ""  # service form: only this database; "": all connectables
    rootcert: str = ""  # service form: file of the authority's certificate; clients check servers


# -- hosts ----------------------------------------------------------------------------------------
class VersionChoice(msgspec.Struct, frozen=True):
    """Which model version: latest, current, or one number."""

    which: str = "latest"  # latest | current | number
    number: int = 0


class HostCreate(Request, frozen=True, kw_only=True):
    """Add a host to the latest model; with like and cascade its installations and instances too."""

    PATH: ClassVar[str] = "hosts/create"
    name: str = ""
    internal_address: str
    external_address: str
    data_space_group: int | None = None  # None: as `like`, else none
    like: str = ""
    cascade: bool = False
    comment: str | None = None


class HostModify(Request, frozen=True, kw_only=True):
    """Change the group (before it was applied) or the comment."""

    PATH: ClassVar[str] = "hosts/modify"
    name: str
    data_space_group: int | None = None  # 0: none
    comment: str | None = None


class HostDelete(Request, frozen=True, kw_only=True):
    """Remove a host from the latest model."""

    PATH: ClassVar[str] = "hosts/delete"
    name: str
    cascade: bool = False


class HostList(Request, frozen=True, kw_only=True):
    """The hosts of a model version."""

    PATH: ClassVar[str] = "hosts/list"
    version: VersionChoice = VersionChoice()


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """One host."""

    name: str
    internal_address: str
    external_address: str
    data_space_group: int
    comment: str


class HostListReply(Reply, frozen=True, kw_only=True):
    """Answer of HostList."""

    hosts: tuple[HostRow, ...]


# -- commands on hosts and instances --------------------------------------------------------------
class Execute(Request, frozen=True, kw_only=True):
    """hostExec and instanceExec: run a command on hosts, or in the environment of instances."""

    PATH: ClassVar[str] = "exec/run"
    scope: str  # host | instance | installation
    command: tuple[str, ...] = ()
    script: str = ""  # text of a script, copied to each place and run with `command` as arguments
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    kind: str = "all"  # all | management | data
    up_only: bool = False
    parallel: int = 10


class ExecuteResult(msgspec.Struct, frozen=True, kw_only=True):
    """What happened at one place."""

    name: str
    rc: int
    output: str


class ExecuteReply(Reply, frozen=True, kw_only=True):
    """Answer of Execute; rc is 0, or that of the first failure."""

    rc: int
    results: tuple[ExecuteResult, ...]


# -- installations --------------------------------------------------------------------------------
class InstallationCreate(Request, frozen=True, kw_only=True):
    """Add an installation to the latest model."""

    PATH: ClassVar[str] = "installations/create"
    host: str
    name: str = "installation1"
    location: str
    source: str = ""
    comment: str = ""


class InstallationDelete(Request, frozen=True, kw_only=True):
    """Remove an installation from the latest model."""

    PATH: ClassVar[str] = "installations/delete"
    address: str  # HOST or HOST.NAME


class InstallationList(Request, frozen=True, kw_only=True):
    """Installations of a model version."""

    PATH: ClassVar[str] = "installations/list"
    version: VersionChoice = VersionChoice()


class InstallationRow(msgspec.Struct, frozen=True, kw_only=True):
    """One installation, with the instances that run from it."""

    host: str
    name: str
    location: str
    comment: str
    instances: tuple[str, ...]


class InstallationListReply(Reply, frozen=True, kw_only=True):
    """Answer of InstallationList."""

    installations: tuple[InstallationRow, ...]


class InstallationStatus(Request, frozen=True, kw_only=True):
    """What is physically there."""

    PATH: ClassVar[str] = "installations/status"


class InstallationStatusRow(msgspec.Struct, frozen=True, kw_only=True):
    """One placed installation."""

    host: str
    name: str
    usable: bool
    delete_pending: bool
    message: str
    when_us: int


class InstallationStatusReply(Reply, frozen=True, kw_only=True):
    """Answer of InstallationStatus."""

    installations: tuple[InstallationStatusRow, ...]


# -- instances ------------------------------------------------------------------------------------
class InstanceCreate(Request, frozen=True, kw_only=True):
    """Add an instance to the latest model."""

    PATH: ClassVar[str] = "instances/create"
    host: str
    name: str = "instance1"
    kind: str = "data"  # data | mgmt
    location: str
    installation: str = ""  # "": the only one of the host
    daemon_port: int = 6624
    cs_port: int = 6625
    mgmt_port: int = 3754
    comment: str = ""


class InstanceModify(Request, frozen=True, kw_only=True):
    """Change ports, installation or comment; in force after apply and restart."""

    PATH: ClassVar[str] = "instances/modify"
    address: str
    installation: str | None = None
    daemon_port: int | None = None
    cs_port: int | None = None
    mgmt_port: int | None = None
    comment: str | None = None


class InstanceDelete(Request, frozen=True, kw_only=True):
    """Remove an instance from the latest model."""

    PATH: ClassVar[str] = "instances/delete"
    address: str  # HOST or HOST.NAME


class InstanceList(Request, frozen=True, kw_only=True):
    """Instances of a model version."""

    PATH: ClassVar[str] = "instances/list"
    version: VersionChoice = VersionChoice()
    kind: str = "all"  # all | management | data


class InstanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One instance."""

    host: str
    name: str
    kind: str
    home: str
    daemon_port: int
    cs_port: int
    mgmt_port: int
    installation: str
    comment: str


class InstanceListReply(Reply, frozen=True, kw_only=True):
    """Answer of InstanceList."""

    instances: tuple[InstanceRow, ...]


class InstanceStatus(Request, frozen=True, kw_only=True):
    """The instances in force, and whether each is a member."""

    PATH: ClassVar[str] = "instances/status"
    kind: str = "all"


class InstanceStatusRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One instance; field names as TimesTen's JSON has them."""

    name: str
    guid: str
    instance_type: str
    instance_home: str
    daemon_port: int
    cs_port: int
    mgmt_port: int
    member: bool
    incarnation: str
    version: str


class InstallationStatusNode(msgspec.Struct, frozen=True, kw_only=True):
    """An installation with its instances."""

    name: str
    location: str
    release: str
    instances: tuple[InstanceStatusRow, ...]


class HostStatusNode(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A host with its installations."""

    name: str
    internal_address: str
    external_address: str
    installations: tuple[InstallationStatusNode, ...]


class InstanceStatusReply(Reply, frozen=True, kw_only=True):
    """Answer of InstanceStatus."""

    hosts: tuple[HostStatusNode, ...]


# -- membership configuration ---------------------------------------------------------------------
class MembershipConfigImport(Request, frozen=True, kw_only=True):
    """Replace the list of membership servers in the latest model."""

    PATH: ClassVar[str] = "membership/config-import"
    text: str
    file: str  # name, for the message


class MembershipConfigExport(Request, frozen=True, kw_only=True):
    """The membership configuration file of a version."""

    PATH: ClassVar[str] = "membership/config-export"
    version: VersionChoice = VersionChoice()


# -- model ----------------------------------------------------------------------------------------
class ModelApply(Request, frozen=True, kw_only=True):
    """Make the latest model come true."""

    PATH: ClassVar[str] = "models/apply"
    STREAM: ClassVar[bool] = True
    start: bool = True
    details: bool = False
    parallel: int = 10  # hosts worked on at a time


class ModelList(Request, frozen=True, kw_only=True):
    """All model versions."""

    PATH: ClassVar[str] = "models/list"


class ModelVersionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One version; applied_us is 0 if it never was."""

    version: int
    state: str
    created_us: int
    applied_us: int


class ModelListReply(Reply, frozen=True, kw_only=True):
    """Answer of ModelList."""

    versions: tuple[ModelVersionRow, ...]


class ModelExport(Request, frozen=True, kw_only=True):
    """A version as a JSON document."""

    PATH: ClassVar[str] = "models/export"
    version: VersionChoice = VersionChoice()


class ModelImport(Request, frozen=True, kw_only=True):
    """Replace the latest model; script: only say which commands would do it."""

    PATH: ClassVar[str] = "models/import"
    text: str
    script: bool = False


class ModelSide(msgspec.Struct, frozen=True):
    """One side of a comparison: a kept version, or the text of an exported file."""

    version: VersionChoice = VersionChoice()
    text: str = ""


class ModelCompare(Request, frozen=True, kw_only=True):
    """Differences between two models."""

    PATH: ClassVar[str] = "models/compare"
    left: ModelSide
    right: ModelSide


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One object that differs; change is added, removed or changed."""

    change: str
    kind: str
    name: str
    details: tuple[str, ...] = ()


class ModelCompareReply(Reply, frozen=True, kw_only=True):
    """Answer of ModelCompare."""

    differences: tuple[Difference, ...]


class ModelDelete(Request, frozen=True, kw_only=True):
    """Forget an old version."""

    PATH: ClassVar[str] = "models/delete"
    number: int


# -- database definitions and connectables --------------------------------------------------------
class DbdefCreate(Request, frozen=True, kw_only=True):
    """Add a database definition to the latest model."""

    PATH: ClassVar[str] = "dbdefs/create"
    name: str  # the file's name without .dbdef
    text: str


class DbdefModify(Request, frozen=True, kw_only=True):
    """Replace all attributes of a definition."""

    PATH: ClassVar[str] = "dbdefs/modify"
    name: str
    text: str


class DbdefExport(Request, frozen=True, kw_only=True):
    """A definition as a file."""

    PATH: ClassVar[str] = "dbdefs/export"
    name: str
    version: VersionChoice = VersionChoice()


class DbdefList(Request, frozen=True, kw_only=True):
    """Names of the definitions of a version."""

    PATH: ClassVar[str] = "dbdefs/list"
    version: VersionChoice = VersionChoice()


class NamesReply(Reply, frozen=True, kw_only=True):
    """A list of names."""

    names: tuple[str, ...]


class DbdefDelete(Request, frozen=True, kw_only=True):
    """Remove a definition and its connectables from the latest model."""

    PATH: ClassVar[str] = "dbdefs/delete"
    name: str


class ConnectableCreate(Request, frozen=True, kw_only=True):
    """Add a connectable to the latest model."""

    PATH: ClassVar[str] = "connectables/create"
    name: str
    database: str
    client_server: bool
    only: tuple[str, ...] = ()
    text: str


class ConnectableModify(Request, frozen=True, kw_only=True):
    """Replace a connectable's attributes."""

    PATH: ClassVar[str] = "connectables/modify"
    name: str
    only: tuple[str, ...] = ()
    text: str


class ConnectableExport(Request, frozen=True, kw_only=True):
    """A connectable as a file."""

    PATH: ClassVar[str] = "connectables/export"
    name: str
    version: VersionChoice = VersionChoice()


class ConnectableList(Request, frozen=True, kw_only=True):
    """Connectables of a version."""

    PATH: ClassVar[str] = "connectables/list"
    version: VersionChoice = VersionChoice()


class ConnectableRow(msgspec.Struct, frozen=True, kw_only=True):
    """One connectable; only is empty when it serves all data instances."""

    name: str
    database: str
    kind: str
    only: tuple[str, ...]


class ConnectableListReply(Reply, frozen=True, kw_only=True):
    """Answer of ConnectableList."""

    connectables: tuple[ConnectableRow, ...]


class ConnectableDelete(Request, frozen=True, kw_only=True):
    """Remove a connectable from the latest model."""

    PATH: ClassVar[str] = "connectables/delete"
    name: str


# -- management instances and operations ----------------------------------------------------------
class MgmtStatus(Request, frozen=True, kw_only=True):
    """The management instances, as this one sees them."""

    PATH: ClassVar[str] = "mgmt/status"


class MgmtRow(msgspec.Struct, frozen=True, kw_only=True):
    """One management instance."""

    host: str
    instance: str
    reachable: bool
    rep_role: str  # Active | Standby | Unknown
    role: str
    seq: int | None
    rep_agent: bool
    rep_active: bool
    message: str = ""
    home: str = ""
    address: str = ""


class MgmtStatusReply(Reply, frozen=True, kw_only=True):
    """Answer of MgmtStatus; msgs and cmds advise an operator or a script (mgmtExamine)."""

    instances: tuple[MgmtRow, ...]
    msgs: tuple[str, ...] = ()
    cmds: tuple[str, ...] = ()
    warning: str = ""  # that nothing is encrypted
    status: int = 0


class MgmtActiveStart(Request, frozen=True, kw_only=True):
    """Make this management instance the active one."""

    PATH: ClassVar[str] = "mgmt/active-start"


class MgmtActiveStop(Request, frozen=True, kw_only=True):
    """Stop being active, in order."""

    PATH: ClassVar[str] = "mgmt/active-stop"


class OperationList(Request, frozen=True, kw_only=True):
    """Operations that run or ran."""

    PATH: ClassVar[str] = "operations/list"


class OperationRow(msgspec.Struct, frozen=True, kw_only=True):
    """One operation; `step` is 1-based, ended_us 0 while it runs."""

    id: int
    kind: str
    subject: str
    state: str
    step: int
    steps: int
    title: str
    started_us: int
    ended_us: int
    message: str
    by: str = ""  # who asked for it, as the client said; "": unknown


class OperationListReply(Reply, frozen=True, kw_only=True):
    """Answer of OperationList."""

    operations: tuple[OperationRow, ...]


class OperationCancel(Request, frozen=True, kw_only=True):
    """Ask an operation to end."""

    PATH: ClassVar[str] = "operations/cancel"
    id: int
