"""Names of model objects: what is allowed, and how users point at objects. Pure."""

from __future__ import annotations

import re
from typing import TypeVar

from mgmt.model.types import Host, Installation, Instance, Model
from protocol.errors import ModelError, ParameterError, UnknownModelObjectError

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}\Z")
_ADDRESS = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,252}\Z")


def check_name(name: str, kind: str) -> None:
    """Raises ParameterError unless the text can name an object."""
    if not _NAME.match(name):
        raise ParameterError(
            f"'{name}' cannot be the name of a {kind}",
            hint="Names have up to 64 letters, digits, underscores and hyphens.",
        )


def check_address(address: str, option: str) -> None:
    """Raises ParameterError unless it can be a host name, an IPv4 or an IPv6 address."""
    if not _ADDRESS.match(address):
        raise ParameterError(
            f"-{option} '{address}' cannot be the address of a host",
            hint="Give a host name, an IPv4 address or an IPv6 address without brackets.",
        )


def host_of(model: Model, name: str) -> Host:
    """The host of that name. Raises UnknownModelObjectError."""
    host = model.host(name)
    if host is None:
        raise UnknownModelObjectError(
            f"host {name} does not exist in the model",
            hint="ttGridAdmin hostList shows the hosts.",
        )
    return host


def installation_at(model: Model, address: str) -> Installation:
    """HOST.NAME, or HOST when it has only one installation."""
    host, _, name = address.partition(".")
    host_of(model, host)
    found = [i for i in model.installations if i.host == host and name in ("", i.name)]
    return _only(found, f"installation {address}", "installationList")


def instance_at(model: Model, address: str) -> Instance:
    """HOST.NAME, or HOST when it has only one instance."""
    host, _, name = address.partition(".")
    host_of(model, host)
    found = [i for i in model.instances if i.host == host and name in ("", i.name)]
    return _only(found, f"instance {address}", "instanceList")


def _only(found: list[T], what: str, command: str) -> T:
    if not found:
        raise UnknownModelObjectError(
            f"{what} does not exist in the model", hint=f"See ttGridAdmin {command}."
        )
    if len(found) > 1:
        raise ModelError(f"{what}: there are {len(found)}, name one as HOST.NAME")
    return found[0]
