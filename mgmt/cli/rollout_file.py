"""The file of ttGridRollout: `key = value`, lists as JSON over several lines. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from protocol.errors import ParameterError

_KEY = re.compile(r"^([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$")
_TRAILING_COMMA = re.compile(r",(\s*[\]}])")
_LOOPBACK_FIRST = 10  # host n of a grid on one machine is 127.0.0.(10+n)
_HOST_KEYS = {  # keys of one entry of mgmt_instances and data_instances, in lower case
    "host": "host",
    "instance": "instance",
    "address": "address",
    "internaladdress": "internal_address",
    "externaladdress": "external_address",
    "dataspacegroup": "data_space_group",
    "daemonport": "daemon_port",
    "csport": "cs_port",
    "mgmtport": "mgmt_port",
}


class RolloutInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One instance on its host."""

    host: str
    instance: str = "instance1"
    address: str = ""  # stands for both
    internal_address: str = ""
    external_address: str = ""
    data_space_group: int = 0
    daemon_port: int = 6624
    cs_port: int = 6625
    mgmt_port: int = 3754


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    grid_name: str
    zoo_conf: str  # membership.conf
    instance_location: str
    dbdef_file: str
    k: int = 2
    cs_connect_files: tuple[str, ...] = ()
    direct_connect_files: tuple[str, ...] = ()
    init_script: str = ""
    install_location: str = ""  # "": instance_location
    mgmt_location: str = ""  # "": instance_location
    session_timeout: str = ""  # seconds; "": the default
    internal_encryption: str = ""  # as gridCreate's options; "": the default
    server_encryption: str = ""
    membership_tls: str = ""  # folder of ttMembership certify; "": no TLS to membership servers
    mgmt_instances: tuple[RolloutInstance, ...]
    data_instances: tuple[RolloutInstance, ...]


def parse(text: str) -> Rollout:
    """The settings in the text. Raises ParameterError naming what is wrong."""
    values = _values(text)
    known = {*Rollout.__struct_fields__, "shape"}
    for key in values:
        if key not in known:
            raise ParameterError(
                f"ttGridRollout file: unknown key {key}",
                hint=f"It may have {', '.join(sorted(known))}.",
            )
    for key in ("grid_name", "zoo_conf", "instance_location", "dbdef_file"):
        if not values.get(key):
            raise ParameterError(f"ttGridRollout file: {key} is missing")
    copies, sets = _shape(str(values.pop("shape", "")))
    k = _number("k", values.pop("k", copies))
    management = _instances(values.pop("mgmt_instances", []))
    data = _instances(values.pop("data_instances", []))
    if bool(management) != bool(data):
        raise ParameterError("ttGridRollout file: give both mgmt_instances and data_instances")
    if not data:
        management, data = _on_this_machine(k, sets)
    if len(management) > 2:
        raise ParameterError("ttGridRollout file: a grid has at most two management instances")
    data = _with_groups(data, k)
    for key in ("cs_connect_files", "direct_connect_files"):
        values[key] = _words(values.get(key, ""))
    try:
        return msgspec.convert(
            {**values, "k": k, "mgmt_instances": management, "data_instances": data}, Rollout
        )
    except msgspec.ValidationError as error:
        raise ParameterError(f"ttGridRollout file: {error}") from error


def _values(text: str) -> dict[str, Any]:
    """Key → string or parsed JSON; a value goes on until the next line that begins with a key."""
    raw: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        found = _KEY.match(line)
        if found:
            last = found[1].lower()
            if last in raw:
                raise ParameterError(f"ttGridRollout file: {last} is given twice")
            raw[last] = found[2]
        elif line.strip():
            if not last:
                raise ParameterError(f"ttGridRollout file: '{line.strip()}' belongs to no key")
            raw[last] += "\n" + line
    return {key: _value(key, value.strip()) for key, value in raw.items()}


def _value(key: str, text: str) -> Any:
    if text[:1] not in ("[", "{"):
        return text.strip("\"'")
    try:
        return json.loads(_TRAILING_COMMA.sub(r"\1", text))
    except ValueError as error:
        raise ParameterError(f"ttGridRollout file: {key}: {error}") from error


def _words(value: Any) -> tuple[str, ...]:
    """A list of file names: JSON, or separated by commas."""
    if isinstance(value, list):
        return tuple(str(word) for word in value)
    return tuple(word.strip() for word in str(value).split(",") if word.strip())


def _number(key: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise ParameterError(f"ttGridRollout file: {key} must be a number, not {value}") from None


def _shape(text: str) -> tuple[int, int]:
    """(copies, replica sets) of "2x3"; "" is two copies of two sets."""
    if not text:
        return 2, 2
    left, mark, right = text.lower().partition("x")
    if not mark:
        raise ParameterError(f"ttGridRollout file: shape {text}: copies x replica sets, like 2x3")
    return _number("shape", left), _number("shape", right)


def _instances(entries: Any) -> tuple[RolloutInstance, ...]:
    if not isinstance(entries, list):
        raise ParameterError("ttGridRollout file: the instances are a list [ {...}, {...} ]")
    found = []
    for entry in entries:
        fields: dict[str, Any] = {}
        for key, value in dict(entry).items():
            field = _HOST_KEYS.get(key.lower().replace("_", ""))
            if field is None:
                raise ParameterError(f"ttGridRollout file: an instance has no key {key}")
            number = field.endswith("port") or field == "data_space_group"
            fields[field] = _number(key, value) if number else str(value)
        try:
            found.append(msgspec.convert(fields, RolloutInstance))
        except msgspec.ValidationError as error:
            raise ParameterError(f"ttGridRollout file: instance {entry}: {error}") from error
    return tuple(found)


def _on_this_machine(
    k: int, sets: int
) -> tuple[tuple[RolloutInstance, ...], tuple[RolloutInstance, ...]]:
    """One management instance and k * sets data instances, each "host" a loopback address."""

    def one(number: int) -> RolloutInstance:
        return RolloutInstance(
            host=f"host{number}",
            internal_address=f"127.0.0.{_LOOPBACK_FIRST + number}",
            external_address=f"127.0.1.{_LOOPBACK_FIRST + number}",
        )

    return (one(1),), tuple(one(3 + index) for index in range(k * sets))


def _with_groups(data: tuple[RolloutInstance, ...], k: int) -> tuple[RolloutInstance, ...]:
    """Groups where none is given: 1, 2, .. k, 1, 2, .. in the order of the list."""
    return tuple(
        instance
        if instance.data_space_group
        else msgspec.structs.replace(instance, data_space_group=index % k + 1)
        for index, instance in enumerate(data)
    )
