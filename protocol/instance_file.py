"""`<home>/conf/instance.toml`: who an instance is. Written by management, read by every daemon.

The format, with the file's two tables, is `InstanceSettings`; `render` and `parse` are inverse.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from protocol.errors import ParameterError
from protocol.logins import LoginFile

INSTANCE_FILE = "conf/instance.toml"  # all paths below are relative to the instance home
SECRET_FILE = "conf/grid.secret"  # hex text, mode 0600: proves identity on the internal network
CERTIFICATES = "conf/certificates"  # mode 0700; see protocol/tls.py
ROOT_FILE = f"{CERTIFICATES}/root.crt"  # the authority's certificates, the newest first
MEMBERSHIP_ROOT_FILE = f"{CERTIFICATES}/membership.crt"  # with TLS to the membership servers:
MEMBERSHIP_PEM_FILE = f"{CERTIFICATES}/membership.pem"  # their authority, own key and certificate
TOKEN_FILE = "conf/api.token"  # management instances only, mode 0600: the HTTP API's bearer token
MEMBERSHIP_FILE = "conf/membership.conf"
MODEL_FILE = "conf/model.json"  # the current model as modelApply pushed it
DEFAULT_SESSION_TIMEOUT_S = 2.0
DEFAULT_DAEMON_PORT = 6624
DEFAULT_CS_PORT = 6625
DEFAULT_MGMT_PORT = 3754


class MembershipSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [membership] table."""

    servers: tuple[str, ...] = ()  # "address:port" of every membership server
    session_timeout_s: float = DEFAULT_SESSION_TIMEOUT_S


class InstanceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The [instance] table, and [membership] below it."""

    name: str  # "host3.instance1"; of a management instance before gridCreate only "instance1"
    kind: str  # "data" | "mgmt"
    home: str  # absolute path of the instance home
    grid: str = ""  # grid name; "" before gridCreate
    grid_id: str = ""  # identity of the grid for ever; part of no path, "" before gridCreate
    host: str = ""
    internal_address: str = "127.0.0.1"
    external_address: str = "127.0.0.1"
    daemon_port: int = DEFAULT_DAEMON_PORT  # internal network (RPC)
    cs_port: int = DEFAULT_CS_PORT  # PostgreSQL protocol on the external address; data only
    mgmt_port: int = DEFAULT_MGMT_PORT  # HTTP API on the internal address; management only
    data_space_group: int = 0  # 1..K; 0: none
    secret_file: str = SECRET_FILE
    internal_encryption: str = "off"  # "required": mutual TLS between instances; "off"
    server_encryption: str = "rejected"  # of SQL clients; see gridCreate -serverEncryption
    installation: str = ""  # absolute path; <home>/install links to it
    membership: MembershipSettings = MembershipSettings()

    def path(self, relative: str) -> Path:
        """A file of this instance; an absolute argument stays as it is."""
        return Path(self.home) / relative

    def secret(self) -> str:
        """The grid secret. Raises OSError when the file is missing."""
        return self.path(self.secret_file).read_text(encoding="ascii").strip()

    def membership_logins(self) -> LoginFile:
        """Users and passwords for the membership servers. Raises OSError."""
        return LoginFile(Path(self.home), self.secret())

    def membership_tls(self) -> tuple[Path, Path] | None:
        """Files for TLS to the membership servers: authority, own; None: they are asked without."""
        root, own = self.path(MEMBERSHIP_ROOT_FILE), self.path(MEMBERSHIP_PEM_FILE)
        return (root, own) if own.exists() else None


def render(settings: InstanceSettings) -> str:
    """The text of instance.toml."""
    lines = ["# Written by TenGrid; changes by hand are lost at the next modelApply.", "[instance]"]
    for field in InstanceSettings.__struct_fields__:
        if field != "membership":
            lines.append(f"{field} = {_toml(getattr(settings, field))}")
    lines += ["", "[membership]"]
    for field in MembershipSettings.__struct_fields__:
        lines.append(f"{field} = {_toml(getattr(settings.membership, field))}")
    return "\n".join(lines) + "\n"


def parse(text: str) -> InstanceSettings:
    """The settings in the text. Raises ParameterError naming what is wrong."""
    try:
        tables = tomllib.loads(text)
        fields: dict[str, Any] = dict(tables.pop("instance", {}))
        fields["membership"] = tables.pop("membership", {})
        if tables:
            raise ParameterError(f"instance.toml: unknown table {', '.join(sorted(tables))}")
        return msgspec.convert(fields, InstanceSettings)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ParameterError(f"instance.toml: {error}") from error


def load(home: Path) -> InstanceSettings:
    """Read `<home>/conf/instance.toml`. Raises ParameterError when it is missing or wrong."""
    path = home / INSTANCE_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(
            f"{home} is not an instance home: {error.strerror} ({path})",
            hint="Source bin/ttenv.sh of an instance, or create one with ttInstanceCreate.",
        ) from error
    return parse(text)


def _toml(value: object) -> str:
    """JSON strings, numbers and lists of strings are TOML too."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)
