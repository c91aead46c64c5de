"""Attributes of database definitions and connectables: .dbdef and .connect files. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from protocol.errors import ParameterError

Attributes = tuple[tuple[str, str], ...]
INTEGERS: Mapping[str, tuple[int, int]] = {  # lower-case name -> smallest, largest
    "permsize": (1, 1_000_000),  # MiB
    "tempsize": (1, 1_000_000),  # MiB
    "logbufmb": (1, 65_536),
    "logfilesize": (1, 65_536),
    "logbufparallelism": (1, 64),
    "connections": (1, 10_000),
    "durability": (0, 1),
    "epochinterval": (0, 86_400),  # seconds
    "ckptfrequency": (0, 86_400),
    "ckptlogvolume": (0, 1_000_000),
    "ckptrate": (0, 1_000_000),
    "ckptreadthreads": (1, 64),
    "memorylock": (0, 4),
    "isolation": (0, 1),
    "lockwait": (0, 1_000_000),  # seconds
    "locklevel": (0, 1),
    "sqlquerytimeout": (0, 1_000_000),
    "sqlquerytimeoutmsec": (0, 1_000_000_000),
    "querythreshold": (0, 1_000_000),
    "createepochatcommit": (0, 1),
    "abortonerror": (0, 1),
    "readatcopies": (0, 1),
    "waitforconnect": (0, 1),
    "workers": (0, 64),
}
TEXTS = (  # the other attributes a definition or connectable may have
    *("datastore", "logdir", "databasecharacterset", "connectioncharacterset", "description"),
    *("connectionname", "uid", "pwd", "pwdwallet", "optimizerhint", "driver"),
)
PREFIXES = ("nls_", "plsql_", "plscope_", "ttc_")  # families of attributes
MEANINGLESS = (  # accepted because TimesTen's own files have them; nothing here depends on them
    *("logdir", "logbufmb", "logfilesize", "logbufparallelism", "ckptfrequency", "ckptlogvolume"),
    *("ckptrate", "ckptreadthreads", "memorylock", "locklevel", "pwdwallet"),
    *("waitforconnect", "driver", "workers"),
)
REFUSED = ("autocreate", "overwrite", "rampolicy", "durablecommits", "replicationapplyordering")
DATA_STORE = ("datastore", "logdir", "databasecharacterset", "durability")  # fixed by dbCreate
OF_DATABASES = (  # not of connections: a connectable cannot change them
    *(*DATA_STORE, "permsize", "tempsize", "connections", "epochinterval"),
    *("logbufmb", "logfilesize", "logbufparallelism", "ckptfrequency", "ckptlogvolume"),
    *("ckptrate", "ckptreadthreads", "memorylock", "workers"),
)
CHARACTER_SETS = ("AL32UTF8", "UTF8", "US7ASCII", "TIMESTEN8")
_HINTS = re.compile(r"\s*(?:[A-Za-z_]\w*\s*(?:\([^)]*\))?\s*)*")
CLIENT_ONLY = ("ttc_server", "ttc_server_dsn", "ttc_server1")


def parse(text: str, *, name: str, what: str) -> Attributes:
    """Lines attribute=value with an optional [name] header. Raises ParameterError.

    what: "database definition" or "connectable", for messages. Comments begin with # or ;.
    """
    found: dict[str, tuple[str, str]] = {}
    header_seen = False
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            _check_header(line, name, what, first=not found and not header_seen)
            header_seen = True
            continue
        attribute, mark, value = line.partition("=")
        attribute, value = attribute.strip(), value.strip()
        if not mark or not attribute:
            raise ParameterError(f"{what} {name}, line {number}: '{line}' is not attribute=value")
        if attribute.lower() in found:
            raise ParameterError(f"{what} {name}: {attribute} is given twice")
        check_value(attribute, value, f"{what} {name}")
        found[attribute.lower()] = (attribute, value)
    return tuple(found.values())


def _check_header(line: str, name: str, what: str, *, first: bool) -> None:
    if not line.endswith("]") or line[1:-1].strip().lower() != name.lower():
        raise ParameterError(
            f"{what} {name}: the header {line} must be [{name}], as the file's name"
        )
    if not first:
        raise ParameterError(f"{what} {name}: the header must be the first line, once")


def check_value(attribute: str, value: str, where: str) -> None:
    """Raises ParameterError unless there is the attribute and it may have the value."""
    lowered = attribute.lower()
    if lowered in REFUSED:
        raise ParameterError(f"{where}: {attribute} is not supported in a grid")
    if lowered not in INTEGERS and lowered not in TEXTS and not lowered.startswith(PREFIXES):
        raise ParameterError(
            f"{where}: there is no attribute {attribute}",
            hint="Is it misspelt? docs/reference/settings.md lists all attributes.",
        )
    limits = INTEGERS.get(lowered)
    if limits is not None and not (value.isdigit() and limits[0] <= int(value) <= limits[1]):
        raise ParameterError(
            f"{where}: {attribute}={value} must be a number from {limits[0]} to {limits[1]}"
        )
    if lowered == "databasecharacterset" and value.upper() not in CHARACTER_SETS:
        raise ParameterError(
            f"{where}: DatabaseCharacterSet {value} is not supported",
            hint=f"Use one of {', '.join(CHARACTER_SETS)}.",
        )
    if lowered == "optimizerhint" and not _HINTS.fullmatch(value):
        raise ParameterError(
            f"{where}: OptimizerHint={value}: hints are names with arguments in parentheses",
            hint="For example: OptimizerHint=TT_PartialResult(1) TT_TblLock(1)",
        )
    if not value and lowered in ("datastore", "databasecharacterset"):
        raise ParameterError(f"{where}: {attribute} must not be empty")


def check_database(attributes: Attributes, *, name: str, k: int) -> None:
    """Required attributes, and what does not go together. Raises ParameterError."""
    present = {attribute.lower(): value for attribute, value in attributes}
    for required in ("DataStore", "DatabaseCharacterSet"):
        if required.lower() not in present:
            raise ParameterError(f"database definition {name}: {required} is required")
    for path in ("DataStore", "LogDir"):
        value = present.get(path.lower(), "/")
        if not value.startswith("/"):
            raise ParameterError(f"database definition {name}: {path}={value} must be absolute")
    if present.get("durability") == "0" and k == 1:
        raise ParameterError(
            f"database definition {name}: Durability=0 needs K of at least 2",
            hint="With one copy of each row a commit must reach the disk: use Durability=1.",
        )


def check_connectable(attributes: Attributes, *, name: str) -> None:
    """Raises ParameterError for what only a database definition decides."""
    for attribute, _ in attributes:
        if attribute.lower() in OF_DATABASES:
            raise ParameterError(
                f"connectable {name}: {attribute} is an attribute of databases, not of connections",
                hint="It belongs in the database definition: dbdefModify, then modelApply.",
            )


def without_meaning(attributes: Attributes) -> list[str]:
    """Attributes that are accepted but change nothing here."""
    return [
        name
        for name, _ in attributes
        if name.lower() in MEANINGLESS or name.lower().startswith(("nls_", "plsql_", "plscope_"))
    ]


def changed_data_store(old: Attributes, new: Attributes) -> list[str]:
    """Attributes fixed by dbCreate that differ."""
    before = {a.lower(): v for a, v in old}
    after = {a.lower(): v for a, v in new}
    return [name for name in DATA_STORE if before.get(name) != after.get(name)]


def render(attributes: Attributes, *, name: str, comment: str) -> str:
    """The text of a file that `parse` reads."""
    lines = [f"# {comment}", f"[{name}]", *(f"{a}={v}" for a, v in attributes)]
    return "\n".join(lines) + "\n"
