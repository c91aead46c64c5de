"""Writes the generated pages of docs/: `python -m tests.support.reference`.

What the pages say is taken from the code; a test fails when one is out of date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from data.admin import settings as database_settings
from mgmt.api import schema
from mgmt.model import attributes
from protocol import errors, instance_file, limits
from protocol.errors import GridError
from tests.support import api_page, command_page, feature_page, metrics_page

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
NOTE = "*Made by `python -m tests.support.reference` from {}; do not edit.*"
# Attributes that mean something here, as they are written: default, meaning.
IN_FORCE = """
DataStore | required | folder of the element, absolute; `!!INSTANCE_NAME!!` and `!!HOST_NAME!!` are
    replaced. Fixed by dbCreate
DatabaseCharacterSet | required | text is stored as UTF-8 whatever is chosen. Fixed by dbCreate
Durability | 0 with K ≥ 2, 1 with K = 1 | 1: a commit is on the disk of every in-sync copy before
    it is acknowledged. 0: in the memory of the operating system of every one. Fixed by dbCreate
PermSize | {perm_size} | MiB for rows and indexes of one element; a full element refuses INSERT and
    UPDATE with error 802
TempSize | {temp_size} | MiB that one query may gather at its coordinator (joins and sorts over
    replica sets), else error 6221; 0: no limit but the file system
Connections | {connections} | clients at one data instance
LockWait | {lock_wait:g} | seconds a statement waits for a lock, then error 6003
EpochInterval | {epoch_interval:g} with Durability 0, else 0 | seconds between epochs: points that
    the whole database can be brought back to after a loss of power of all copies. 0: only those
    that are asked for
ReadAtCopies | 1 | 1: a plain SELECT by distribution key, in READ COMMITTED, is answered by a
    copy at hand while that has exactly what is committed; 0: by the lead only. Linearizable both
    ways
CreateEpochAtCommit | 0 | 1: a commit is answered when an epoch that holds it is on the disk of
    every in-sync copy of every replica set. Also `SET CreateEpochAtCommit = 1` in a session
AbortOnError | 0 | 0: a failed statement undoes only itself. 1: as in PostgreSQL, its
    transaction can only be rolled back. Also `SET tengrid.on_statement_error = abort` in a session
Isolation | {isolation} | 1: READ COMMITTED. 0: SERIALIZABLE
OptimizerHint | | hints for every statement of a session, as in `TT_PartialResult(1) TT_TblLock(1)`;
    those of a statement itself come first. Also `SET optimizer_hint = '...'` in a session
SQLQueryTimeout | 0 | seconds a statement may take, 0: any time
SQLQueryTimeoutMSec | 0 | the same in milliseconds
QueryThreshold | 0 | seconds; a statement that takes longer is logged as `statement.slow`; 0: none
Workers | 0 | no effect: a host with more cores runs more data instances (decision 0156)
Description | | for people
ConnectionName | | of a connectable: application_name of its clients
ConnectionCharacterSet | AL32UTF8 | of a connectable
UID | | of a connectable: user
PWD | | of a connectable: password; better leave it to the client
"""
ERRORS_HEAD = """
Every error has a code of ours, an SQLSTATE, the TimesTen number where there is one, and says
whether the same request, sent again, may succeed. SQL clients get the SQLSTATE, the message,
detail, hint and position; `ttGridAdmin` prints `Error <TimesTen number or code>: ...` and ends
with the exit code; the HTTP API answers with the status and a JSON body. Codes are never
renamed and never used again for something else.

**Retry** in SQL: class 40 means roll back and run the *transaction* again; `57P03` and `57P04`
that the statement was not done: try again, perhaps at another instance; `55P03` that only the
statement is undone. The class is TimesTen's for the same (shown in the detail): 57005 roll back and
retry the transaction (its SQLSTATE TT005), 57006 when the instance is back or at another one, 57007
retry the statement, 57008 when the element is back. Every one of them comes with a hint that says
what to do. `08007` is never to be repeated blindly: whether the commit happened is
unknown.
"""
DEFINITIONS_HEAD = """
## Database definitions (`.dbdef`) and connectables (`.connect`)

Lines `attribute=value`; names are case-insensitive; `#` and `;` begin comments; an optional
header `[name]` comes first. `ttGridAdmin dbdefCreate FILE` and `connectableCreate FILE -dbdef
NAME` add them to the model, `modelApply` puts them in force; a database takes changed attributes
at its next `dbLoad`.
"""
INSTANCES_HEAD = """
## Instances (`conf/instance.toml`)

Written by `ttInstanceCreate`, `gridCreate` and `modelApply`; read by every daemon and command of
the instance. To change a port, use `ttGridAdmin instanceModify` and `modelApply`.
"""
LIMITS_HEAD = """
## Limits

Fixed. A value beyond one is refused with `TOO_LARGE` (54000) or `TOO_MANY_CONNECTIONS` (53300).
"""


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table in Markdown."""
    names = list(headings)
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def error_page() -> str:
    """docs/reference/errors.md."""
    lines = ["# Errors", "", NOTE.format("`protocol/errors.py`"), ERRORS_HEAD]
    for title, kinds in _sections():
        lines += [f"## {title[0].upper()}{title[1:]}", ""]
        rows = []
        for kind in kinds:
            example = kind("")
            rows.append(
                (
                    f"`{kind.code}`",
                    f"`{kind.sqlstate}`",
                    str(kind.tt_number or ""),
                    str(kind.remedy.number or ""),
                    "yes" if kind.retriable else "",
                    str(schema.http_status(example)),
                    str(schema.exit_code(example)),
                    " ".join((kind.__doc__ or "").split()),
                )
            )
        headings = ("code", "SQLSTATE", "TimesTen", "class", "retry", "HTTP", "exit", "meaning")
        lines += [*table(headings, rows), ""]
    return "\n".join(lines)


def _sections() -> list[tuple[str, list[type[GridError]]]]:
    """The classes under the section lines of the module, in its order."""
    sections: list[tuple[str, list[type[GridError]]]] = [("faults", [])]
    for line in Path(errors.__file__).read_text(encoding="utf-8").splitlines():
        if line.startswith("# -- "):
            sections.append((line.strip("# -"), []))
        elif match := re.match(r"class (\w+)\(", line):
            kind = getattr(errors, match[1])
            if issubclass(kind, GridError) and kind is not GridError:
                sections[-1][1].append(kind)
    return sections


def settings_page() -> str:
    """docs/reference/settings.md."""
    modules = "`mgmt/model/attributes.py`, `protocol/instance_file.py`, `protocol/limits.py`"
    lines = ["# Settings", "", NOTE.format(modules), DEFINITIONS_HEAD]
    lines += [*table(("attribute", "range", "default", "meaning"), _attributes()), ""]
    meaningless = ", ".join(f"`{name}`" for name in sorted(attributes.MEANINGLESS))
    prefixes = ", ".join(f"`{prefix.upper()}*`" for prefix in attributes.PREFIXES)
    lines += [
        f"`DatabaseCharacterSet` is one of {', '.join(attributes.CHARACTER_SETS)}.",
        "",
        f"Accepted without effect, because TimesTen's files have them: {meaningless}, and",
        f"the families {prefixes}.",
        "",
        f"Not in a connectable: {', '.join(f'`{name}`' for name in attributes.OF_DATABASES)}.",
        "",
        f"Refused by name: {', '.join(f'`{name}`' for name in attributes.REFUSED)}.",
        INSTANCES_HEAD,
        *_instance_rows(),
        LIMITS_HEAD,
        *table(("limit", "value"), _limits()),
        "",
    ]
    return "\n".join(lines)


def _attributes() -> list[tuple[str, ...]]:
    given = IN_FORCE.format(
        perm_size=database_settings.PERM_SIZE_MB,
        temp_size=database_settings.TEMP_SIZE_MB,
        connections=database_settings.CONNECTIONS,
        lock_wait=database_settings.LOCK_WAIT_S,
        epoch_interval=database_settings.EPOCH_INTERVAL_S,
        isolation=database_settings.READ_COMMITTED,
    )
    rows = []
    for line in given.replace("\n    ", " ").strip().splitlines():
        name, default, meaning = (part.strip() for part in line.split("|"))
        limits_of = attributes.INTEGERS.get(name.lower())
        between = f"{limits_of[0]} … {limits_of[1]:,}" if limits_of else ""
        rows.append((f"`{name}`", between, default, meaning))
    return rows


def _instance_rows() -> list[str]:
    texts = _comments(Path(instance_file.__file__))
    rows = []
    for kind, section in (
        (instance_file.InstanceSettings, "instance"),
        (instance_file.MembershipSettings, "membership"),
    ):
        defaults = kind.__struct_defaults__
        fields = kind.__struct_fields__
        first = len(fields) - len(defaults)
        for number, field in enumerate(fields):
            if field == "membership":
                continue
            default = defaults[number - first] if number >= first else "required"
            shown = "" if default in ("", ()) else str(default)
            rows.append((f"`[{section}]`", f"`{field}`", shown, texts.get(field, "")))
    return table(("table", "key", "default", "meaning"), rows)


def _comments(path: Path) -> dict[str, str]:
    """field → the comment behind its line."""
    found = re.findall(r"^    (\w+): [^#\n]+  # (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {name: comment.replace("|", "\\|") for name, comment in found}


def _limits() -> list[tuple[str, str]]:
    rows = []
    for name in (
        "K_MAX",
        "BUCKET_COUNT",
        "CLIENT_CONNECTIONS_MAX",
        "CLIENT_CONNECTIONS_RESERVED",
        "WIRE_MESSAGE_BYTES_MAX",
        "ROW_BYTES_MAX",
        "RPC_FRAME_BYTES_MAX",
        "RPC_IN_FLIGHT_MAX",
    ):
        value = getattr(limits, name)
        shown = f"{value // limits.MIB} MiB" if name.endswith("BYTES_MAX") else f"{value:,}"
        rows.append((f"`{name}`", shown))
    return rows


PAGES = {
    "api.md": api_page.page,
    "commands.md": command_page.page,
    "errors.md": error_page,
    "metrics.md": metrics_page.page,
    "settings.md": settings_page,
    "../feature-map.md": feature_page.page,
}


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
        print(FOLDER / name)


if __name__ == "__main__":
    main()
