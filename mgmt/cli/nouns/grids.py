"""gridCreate, gridDisplay, gridModify, gridClientExport."""

from __future__ import annotations

import getpass
import secrets
import sys
from pathlib import Path

import msgspec

from mgmt.api import schema
from mgmt.cli import daemon_control
from mgmt.cli.client import Client
from mgmt.cli.command import Arguments, Command, Option, Positional
from mgmt.cli.nouns.common import ADDRESS_OPTIONS, addresses, of_certify, read_text, write_or_show
from mgmt.cli.render import moment
from protocol import instance_file
from protocol.errors import GridError, ModelError, ParameterError, UsageError
from protocol.limits import K_MAX

GROUP = "Grid"


def _request(arguments: Arguments) -> schema.GridCreate:
    internal, external = addresses(arguments)
    if not arguments.has("membershipConfig"):
        raise UsageError("gridCreate wants -membershipConfig FILE")
    if not arguments.has("k"):
        raise UsageError(f"gridCreate wants -k N, the number of copies (1 to {K_MAX})")
    k = arguments.integer("k", 0)
    if not 1 <= k <= K_MAX:
        raise ParameterError(f"-k {k}: the number of copies must be 1 to {K_MAX}")
    return schema.GridCreate(
        name=arguments.word("NAME"),
        k=k,
        membership=read_text(arguments.value("membershipConfig")),
        host=arguments.value("host"),
        internal_address=internal,
        external_address=external,
        mgmt_port=arguments.integer("mgmtPort", instance_file.DEFAULT_MGMT_PORT),
        session_timeout_s=_seconds(arguments),
        retain_days=arguments.integer("retainDays", 30),
        retain_versions=arguments.integer("retainVersions", 10),
        warn_threshold_pct=arguments.integer("warnThresh", 90),
        internal_encryption=arguments.value("internalEncryption", "required").lower(),
        server_encryption=arguments.value("serverEncryption", "accepted").lower(),
        membership_user=arguments.value("membershipUser"),
        membership_password=_password(arguments),
        membership_root=of_certify(arguments, "root.crt"),
        membership_certificate=of_certify(arguments, "client.pem"),
    )


def _password(arguments: Arguments) -> str:
    """Asked for without an echo, or the first line of standard input; never a word of a command,
    which every user of the machine could see."""
    user = arguments.value("membershipUser")
    if not user:
        return ""
    if sys.stdin.isatty():
        return getpass.getpass(f"Password of membership user {user}: ")
    return sys.stdin.readline().rstrip("\n")


def _seconds(arguments: Arguments) -> float:
    text = arguments.value("sessionTimeout", str(instance_file.DEFAULT_SESSION_TIMEOUT_S))
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"-sessionTimeout wants seconds, not '{text}'") from None
    if not 0.5 <= value <= 60:
        raise ParameterError(f"-sessionTimeout {text}: 0.5 to 60 seconds")
    return value


def _create(arguments: Arguments, client: Client) -> schema.Done:
    """Prepare this instance, start its daemon, let it make the grid; undo all if that fails."""
    before = client.settings()
    if before.kind != "mgmt":
        raise ModelError(
            f"{before.name} is a data instance and cannot become a management instance",
            hint="Create an instance with ttInstanceCreate -grid and run gridCreate there.",
        )
    if before.grid:
        raise ModelError(f"this instance belongs to grid {before.grid} already")
    request = _request(arguments)
    _write_settings(
        client.home,
        msgspec.structs.replace(
            before,
            internal_address=request.internal_address,
            external_address=request.external_address,
            mgmt_port=request.mgmt_port,
        ),
    )
    token = client.home / instance_file.TOKEN_FILE
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32), encoding="ascii")
    try:
        daemon_control.stop(client.home)
        daemon_control.start(client.home)
        reply = client.call(request, schema.Done, lambda event: None)
        assert isinstance(reply, schema.Done)
    except GridError:
        daemon_control.stop(client.home, force=True)
        _write_settings(client.home, before)
        raise
    return reply


def _write_settings(home: Path, settings: instance_file.InstanceSettings) -> None:
    path = home / instance_file.INSTANCE_FILE
    beside = path.with_suffix(".new")
    beside.write_text(instance_file.render(settings), encoding="utf-8")
    beside.replace(path)


def _display(reply: schema.GridReply, arguments: Arguments) -> str:
    facts = (
        ("Grid name", reply.name),
        ("Grid GUID", reply.guid),
        ("Created", moment(reply.created_us)),
        ("Major Release", reply.major_release),
        ("Created Release", reply.created_release),
        ("K", reply.k),
        ("Admin Userid", reply.admin_user),
        ("Admin UID", reply.admin_uid),
        ("Admin Group", reply.admin_group),
        ("Admin GID", reply.admin_gid),
        ("Retain Days", reply.retain_days),
        ("Retain Versions", reply.retain_versions),
        ("Warn Threshold", reply.warn_threshold_pct),
        ("Internal Encryption", reply.internal_encryption),
        ("Server Encryption", reply.server_encryption),
        ("Management Failover", reply.mgmt_failover),
        ("Replace After", f"{reply.replace_after_s} s" if reply.replace_after_s else "never"),
        ("Latest Model", reply.model_latest),
        ("Current Model", reply.model_current or "none"),
        ("Seq", reply.seq),
    )
    return "\n".join(f"{f'{name}:'.ljust(28)}{value}" for name, value in facts)


def _modify(arguments: Arguments) -> schema.GridModify:
    request = schema.GridModify(
        retain_days=arguments.optional_integer("retainDays"),
        retain_versions=arguments.optional_integer("retainVersions"),
        warn_threshold_pct=arguments.optional_integer("warnThresh"),
        server_encryption=arguments.value("serverEncryption").lower() or None,
        mgmt_failover=arguments.value("mgmtFailover").lower() or None,
        replace_after_s=arguments.optional_integer("replaceAfter"),
        membership_user=arguments.value("membershipUser"),
        membership_password=_password(arguments),
    )
    if request == schema.GridModify():
        raise UsageError(
            "gridModify wants -retainDays, -retainVersions, -warnThresh, -serverEncryption,"
            " -mgmtFailover, -replaceAfter or -membershipUser"
        )
    return request


def _client_export(arguments: Arguments) -> schema.GridClientExport:
    for option in ("database", "user", "passfile", "rootcert"):
        if arguments.has(option) and not arguments.has("service"):
            raise UsageError(f"-{option} goes with -service")
    return schema.GridClientExport(
        form="service" if arguments.has("service") else "ini",
        user=arguments.value("user"),
        passfile=arguments.value("passfile"),
        database=arguments.value("database"),
        rootcert=arguments.value("rootcert"),
    )


_LIMIT_OPTIONS = (
    Option("retainDays", "N", "keep old model versions so many days (30; 0: no such rule)"),
    Option("retainVersions", "N", "keep so many old model versions (10; 0: no such rule)"),
    Option("warnThresh", "PCT", "warn when the management store is so full (90)"),
)

_SERVER_ENCRYPTION = Option(
    "serverEncryption",
    "MODE",
    "TLS for SQL clients: accepted (default), rejected, requested or required",
)

COMMANDS = (
    Command(
        "gridCreate",
        GROUP,
        "Create a grid with this instance as its active management instance",
        (Positional("NAME"),),
        (
            Option("k", "N", f"number of copies of each row, 1 to {K_MAX}"),
            Option("membershipConfig", "FILE", "file with the membership servers"),
            *ADDRESS_OPTIONS,
            Option("host", "NAME", "name of this host (default: its own)"),
            Option("mgmtPort", "PORT", "management API (3754)"),
            Option("sessionTimeout", "SECS", "silence after which an instance counts as lost (2)"),
            Option("noDataSpaceGroup", "", "this host has no data space group (default)"),
            Option(
                "internalEncryption",
                "MODE",
                "between instances: required (default; mutual TLS) or off (loopback only)",
            ),
            _SERVER_ENCRYPTION,
            Option("membershipUser", "NAME", "user of the membership servers; asks the password"),
            Option("membershipTls", "DIR", "TLS to them: the folder of ttMembership certify"),
            *_LIMIT_OPTIONS,
        ),
        local=_create,
        reply=schema.Done,
    ),
    Command(
        "gridDisplay",
        GROUP,
        "Show the settings of the grid",
        build=lambda a: schema.GridDisplay(),
        reply=schema.GridReply,
        render=_display,
    ),
    Command(
        "gridModify",
        GROUP,
        "Change the settings of the grid",
        (),
        (
            *_LIMIT_OPTIONS,
            _SERVER_ENCRYPTION,
            Option("mgmtFailover", "automatic|manual", "how a standby becomes active (automatic)"),
            Option("replaceAfter", "SECS", "dead elements are replaced by spare ones (0: never)"),
            Option("membershipUser", "NAME", "another login there, everything goes on; asks it"),
        ),
        build=_modify,
        reply=schema.Done,
    ),
    Command(
        "gridClientExport",
        GROUP,
        "Write the file that clients connect with",
        (Positional("FILE", required=False),),
        (
            Option("service", "", "pg_service.conf for PostgreSQL clients instead of odbc.ini"),
            Option("database", "NAME", "with -service: only this database"),
            Option("user", "NAME", "with -service: user of the service"),
            Option("passfile", "FILE", "with -service: absolute path of the password file"),
            Option("rootcert", "FILE", "with -service: check servers with this certificate file"),
        ),
        build=_client_export,
        reply=schema.TextFile,
        render=lambda reply, a: write_or_show(reply, a.word("FILE")),
    ),
)
