"""Differences between two models, and the commands that turn one into the other. Pure."""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

import msgspec

from mgmt.model.types import Host, Installation, Instance, Model

IGNORED = ("guid", "changed_us")


class Difference(NamedTuple):
    """One object that was added, removed or changed."""

    change: str
    kind: str
    name: str
    details: tuple[str, ...] = ()


def compare(left: Model, right: Model) -> list[Difference]:
    """What one has to do to `left` to get `right`; identities and times do not count."""
    found: list[Difference] = []
    before, after = _objects(left), _objects(right)
    for key, value in after.items():
        if key not in before:
            found.append(Difference("added", *key))
        elif details := _details(before[key], value):
            found.append(Difference("changed", *key, details))
    found += [Difference("removed", *key) for key in before if key not in after]
    return found


def _objects(model: Model) -> dict[tuple[str, str], Any]:
    objects: dict[tuple[str, str], Any] = {}
    for host in model.hosts:
        objects["host", host.name] = host
    for installation in model.installations:
        objects["installation", f"{installation.host}.{installation.name}"] = installation
    for instance in model.instances:
        objects["instance", instance.full_name] = instance
    for definition in model.databases:
        objects["database definition", definition.name] = definition
    for connectable in model.connectables:
        objects["connectable", connectable.name] = connectable
    objects["membership configuration", "membership.conf"] = model.membership_servers
    return objects


def _details(old: Any, new: Any) -> tuple[str, ...]:
    if isinstance(old, tuple):
        return () if old == new else (f"{','.join(old)} -> {','.join(new)}",)
    details = []
    before, after = msgspec.structs.asdict(old), msgspec.structs.asdict(new)
    for field, value in before.items():
        if field in IGNORED or value == after[field]:
            continue
        if field == "attributes":
            details += _attribute_details(dict(value), dict(after[field]))
        else:
            details.append(f"{field}: {value} -> {after[field]}")
    return tuple(details)


def _attribute_details(old: dict[str, str], new: dict[str, str]) -> list[str]:
    names = dict.fromkeys((*old, *new))
    return [
        f"{name}: {old.get(name, '(unset)')} -> {new.get(name, '(unset)')}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def script(left: Model, right: Model) -> str:
    """A shell script of ttGridAdmin commands that makes the latest model `right` from `left`.

    Definitions and connectables are written to files beside the script first.
    """
    lines = ["#!/bin/sh", "set -e"]
    differences = compare(left, right)
    for kind in ("connectable", "database definition", "instance", "installation", "host"):
        lines += [_removal(d) for d in differences if d.kind == kind and d.change == "removed"]
    for host in right.hosts:
        lines += _for_host(host, left.host(host.name))
    for installation in right.installations:
        if left.installation(installation.host, installation.name) is None:
            lines.append(_for_installation(installation))
    for instance in right.instances:
        lines += _for_instance(instance, left.instance(instance.full_name))
    lines += _for_databases(left, right)
    if left.membership_servers != right.membership_servers:
        servers = ",".join(right.membership_servers)
        lines += _file("membership.conf", f"Servers {servers}")
        lines.append("ttGridAdmin membershipConfigImport membership.conf")
    return "\n".join(lines) + "\n"


def _removal(difference: Difference) -> str:
    command = {
        "connectable": "connectableDelete",
        "database definition": "dbdefDelete",
        "instance": "instanceDelete",
        "installation": "installationDelete",
        "host": "hostDelete",
    }[difference.kind]
    return f"ttGridAdmin {command} {shlex.quote(difference.name)}"


def _for_host(host: Host, old: Host | None) -> list[str]:
    group = (
        f"-dataSpaceGroup {host.data_space_group}" if host.data_space_group else "-noDataSpaceGroup"
    )
    comment = f" -comment {shlex.quote(host.comment)}" if host.comment else ""
    if old is None:
        return [
            f"ttGridAdmin hostCreate {host.name} -internalAddress {host.internal_address}"
            f" -externalAddress {host.external_address} {group}{comment}"
        ]
    if (old.data_space_group, old.comment) == (host.data_space_group, host.comment):
        return []
    return [f"ttGridAdmin hostModify {host.name} {group} -comment {shlex.quote(host.comment)}"]


def _for_installation(installation: Installation) -> str:
    return (
        f"ttGridAdmin installationCreate {installation.host}.{installation.name}"
        f" -location {shlex.quote(installation.location)}"
    )


def _for_instance(instance: Instance, old: Instance | None) -> list[str]:
    ports = f"-daemonPort {instance.daemon_port} -csPort {instance.cs_port}"
    if instance.kind == "mgmt":
        ports += f" -mgmtPort {instance.mgmt_port}"
    kind = "management" if instance.kind == "mgmt" else "data"
    if old is None:
        return [
            f"ttGridAdmin instanceCreate {instance.full_name} -type {kind}"
            f" -location {shlex.quote(instance.location)}"
            f" -installation {instance.installation} {ports}"
        ]
    if not _details(old, instance):
        return []
    return [
        f"ttGridAdmin instanceModify {instance.full_name} -installation {instance.installation}"
        f" {ports}"
    ]


def _for_databases(left: Model, right: Model) -> list[str]:
    lines: list[str] = []
    for definition in right.databases:
        old = left.database(definition.name)
        if old is None or old.attributes != definition.attributes:
            text = "\n".join(f"{a}={v}" for a, v in definition.attributes)
            lines += _file(f"{definition.name}.dbdef", text)
            command = "dbdefCreate" if old is None else "dbdefModify"
            lines.append(f"ttGridAdmin {command} {definition.name}.dbdef")
    for connectable in right.connectables:
        before = left.connectable(connectable.name)
        made_with_dbdef = connectable.kind == "direct" and connectable.name == connectable.database
        if made_with_dbdef or (before is not None and not _details(before, connectable)):
            continue
        text = "\n".join(f"{a}={v}" for a, v in connectable.attributes)
        lines += _file(f"{connectable.name}.connect", text)
        only = "".join(f" -only {name}" for name in connectable.only)
        if before is None:
            lines.append(
                f"ttGridAdmin connectableCreate -dbdef {connectable.database}"
                f" -{connectable.kind}{only} {connectable.name}.connect"
            )
        else:
            lines.append(f"ttGridAdmin connectableModify{only} {connectable.name}.connect")
    return lines


def _file(name: str, text: str) -> list[str]:
    return [f"cat > {name} <<'END_OF_FILE'", text, "END_OF_FILE"]
