"""What a daemon is told: the instance home on its command line, the settings in its file."""

from __future__ import annotations

import sys
from pathlib import Path

import structlog

from daemons.runtime import EXIT_CONFIG
from membership.tls import ClientFiles
from protocol import instance_file, tls
from protocol.errors import ParameterError
from protocol.instance_file import InstanceSettings
from protocol.tls import InternalTls

log = structlog.get_logger(__name__)


def home_from_arguments(title: str) -> Path:
    """The instance home, the only argument of a daemon; exits with EXIT_CONFIG without it."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(f"usage: {title} HOME", file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    return Path(sys.argv[1])


def load_settings(home: Path, kind: str) -> InstanceSettings:
    """The settings of a home that must be of this kind. Raises ParameterError."""
    settings = instance_file.load(home)
    if settings.kind != kind:
        raise ParameterError(f"{home} is the home of a {settings.kind} instance, not of {kind}")
    return settings


def client_files(settings: InstanceSettings) -> ClientFiles | None:
    """With which an instance asks membership servers that want TLS."""
    files = settings.membership_tls()
    return None if files is None else ClientFiles(*files)


def internal_tls(settings: InstanceSettings) -> InternalTls | None:
    """Both sides of the internal network; None in clear. Raises ParameterError without files."""
    if settings.internal_encryption == "off":
        log.warning(
            "network.unencrypted",
            address=settings.internal_address,
            meaning="instances of this grid talk in clear text; for loopback addresses only",
        )
        return None
    return InternalTls(settings.path(tls.ROOT_FILE), settings.path(tls.INSTANCE_FILE))


def membership_hosts(settings: InstanceSettings) -> str:
    """The membership servers as the ZooKeeper adapter wants them. Raises ParameterError."""
    if not settings.membership.servers:
        raise ParameterError(f"{settings.name}: instance.toml names no membership servers")
    return ",".join(settings.membership.servers)
