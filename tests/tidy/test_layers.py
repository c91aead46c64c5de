"""Who may import whom: layout of the layers, doors of the outside libraries, pure modules.

The tables below are the rules; docs/architecture.md explains them. A port that a lower layer must
know stands in the tables by its own name, with the layer that it belongs to.
"""

from __future__ import annotations

import ast
import re

from tests.tidy.source import AROUND, PACKAGES, Module, modules

# The longest matching prefix of a module's name gives its rule: the prefixes it may import.
BASE = (
    "protocol.audit",
    "protocol.audit_file",
    "protocol.ids",
    "protocol.topology",
    "protocol.errors",
    "protocol.remedies",
    "protocol.limits",
    "protocol.clock",
    "protocol.sqltypes",
    "protocol.instance_file",
    "protocol.logins",
    "protocol.exporter_file",
    "protocol.metrics",
    "protocol.metric_names",
    "protocol.tls",
    "protocol.trace",
    "protocol.trace_id",
    "protocol.transactions",
)
MEMBERSHIP_PORT = ("membership.port", "membership.election")
ALLOWED: dict[str, tuple[str, ...]] = {
    "protocol": BASE,
    "protocol.messages": (*BASE, "protocol.messages"),
    "protocol.pgwire": (*BASE, "protocol.pgwire"),
    "protocol.rpc": (*BASE, "protocol.messages", "protocol.rpc"),
    "membership": ("membership", "protocol"),
    "data": ("data", "protocol", *MEMBERSHIP_PORT),
    "mgmt": ("mgmt", "protocol", *MEMBERSHIP_PORT),
    # Asks the membership servers how they are, for the picture of the grid.
    "mgmt.health.servers": (
        "mgmt",
        "protocol",
        *MEMBERSHIP_PORT,
        "membership.server.probe",
        "membership.tls",
    ),
    "mgmt.cli": (
        "mgmt.cli",
        "mgmt.api.schema",
        "protocol.audit_file",
        "protocol.errors",
        "protocol.instance_file",
        "protocol.limits",
        "protocol.trace",
    ),
    # mgmtExamine must advise also where no daemon answers: pure words, and the model pushed there.
    "mgmt.cli.nouns.management": (
        "mgmt.cli",
        "mgmt.api.schema",
        "mgmt.ha.advice",
        "mgmt.model.document",
        "protocol.errors",
        "protocol.instance_file",
    ),
    # The one command that works on other hosts before there is a grid.
    "mgmt.cli.nouns.ssh": (
        "mgmt.cli",
        "mgmt.api.schema",
        "mgmt.transport.ssh_setup",
        "protocol.errors",
    ),
    "mgmt.cli.exporter": (
        "mgmt.cli",
        "protocol.errors",
        "protocol.exporter_file",
        "protocol.instance_file",
    ),
    "mgmt.cli.status": (
        "mgmt.cli",
        "protocol.errors",
        "protocol.exporter_file",
        "protocol.instance_file",
    ),
    # The tool of the membership servers; it knows no grid (decision 0007).
    "mgmt.cli.membership": (
        "mgmt.cli",
        "protocol.errors",
        "protocol.instance_file",
        "membership.config",
        "membership.server.probe",
        "membership.tls",
    ),
    "mgmt.cli.membership_certificates": (
        "mgmt.cli",
        "mgmt.certificates",
        "membership.config",
        "membership.tls",
        "protocol.clock",
        "protocol.errors",
        "protocol.tls",
    ),
    "daemons": ("daemons", "data", "mgmt", "membership", "protocol"),
    "deploy": ("deploy", "daemons", "data", "mgmt", "membership", "protocol"),
}

# Inside data and mgmt: the longest matching prefix gives the level; imports go down or stay in
# their own folder.
DATA_LEVELS = {
    "data.instance": 10,
    "data.database": 9,
    "data.figures": 8,  # what monitoring is told
    "data.observed": 7,  # what system views tell of all below
    "data.session": 7,
    "data.session.engine": 1,  # the port between a client's session and what runs its statements
    "data.admin": 7,
    "data.admin.fence": 1,  # who may command: every part that management asks looks here
    "data.moving": 7,
    "data.moving.groups": 1,
    "data.exec": 6,
    "data.backup": 6,
    "data.txn": 5,
    "data.replication": 4,
    "data.distribution.mover": 4,
    "data.storage": 3,
    "data.catalog": 1,  # values and texts; DDL is planned with them
    "data.catalog.views": 3,
    "data.catalog.sys_views": 3,
    "data.catalog.pg_catalog": 3,  # answers catalog queries: rewrites SQL, drives a connection
    "data.sql": 2,
    "data.plsql": 3,
    "data.sql.regexps": 1,  # catalog queries have them too
    "data.config": 1,
    "data.access": 1,  # pure: the catalog asks it who may what
    "data.distribution": 1,
}
MGMT_LEVELS = {
    "mgmt.instance": 6,
    "mgmt.api": 5,
    "mgmt.api.schema": 1,
    "mgmt.service": 4,
    "mgmt.ops": 3,
    "mgmt.ha": 3,
    "mgmt.health": 3,
    "mgmt.transport": 3,
    "mgmt.model": 2,
    "mgmt.ops.operation": 2,  # pure; the journal of the model's store holds it
    "mgmt.placement": 2,
    "mgmt.config": 1,
    "mgmt.certificates": 2,
}

# Each outside library lives behind one door.
DOORS: dict[str, tuple[str, ...]] = {
    "apsw": ("data.storage", "mgmt.model.store"),
    "kazoo": ("membership.zookeeper", "membership.source_address", "membership.access"),
    "sqlglot": ("data.sql",),
    "aiohttp": ("mgmt.api", "mgmt.cli.client"),
    "uvloop": ("daemons",),
    "asyncssh": ("mgmt.transport",),
    "cryptography": ("mgmt.certificates",),
    "greenlet": ("data.exec.blocks",),
    "psycopg": ("deploy",),
    "prometheus_client": ("daemons.exposition",),
    "rich": ("mgmt.cli.watch_screen",),
    "asyncpg": ("deploy",),
    "threading": ("data.storage", "membership.zookeeper"),
    "concurrent": ("data.storage", "deploy.mypyc_build", "membership.zookeeper"),
    "multiprocessing": (),
    "pickle": ("data.exec.compile_process", "data.exec.compiling"),  # parent and child
}

IO_LIBRARIES = {
    "aiohttp",
    "apsw",
    "asyncio",
    "asyncssh",
    "concurrent",
    "kazoo",
    "logging",
    "multiprocessing",
    "select",
    "selectors",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "structlog",
    "subprocess",
    "threading",
    "uvloop",
}
PURE = re.compile(r"\bPure\b[.:;]")  # a module says so in its docstring
PURE_FOLDERS = ("protocol.messages", "mgmt.placement")


def _longest(table: dict[str, object] | dict[str, int], name: str) -> str:
    if name.startswith("mgmt.api.schema_"):
        name = "mgmt.api.schema"  # the same thing in several files
    fits = [prefix for prefix in table if name == prefix or name.startswith(prefix + ".")]
    return max(fits, key=len, default="")


def _within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(
        name == p or name.startswith(p + ".") or (p == "mgmt.api.schema" and name.startswith(p))
        for p in prefixes
    )


def test_imports_follow_the_layers() -> None:
    wrong = []
    for module in modules():
        rule = ALLOWED[_longest(dict(ALLOWED), module.name)]
        for name, line in module.imports():
            if name.split(".")[0] in PACKAGES + AROUND and not _within(name, rule):
                if name in PACKAGES or name in rule:
                    continue  # the package itself: a docstring
                wrong.append(f"{module.where}:{line} imports {name}")
    assert not wrong, "\n".join(["layers:", *wrong])


def _levels_hold(levels: dict[str, int], top: str) -> list[str]:
    wrong = []
    for module in modules():
        if not module.name.startswith(top + ".") or module.name.startswith("mgmt.cli"):
            continue
        own = _longest(levels, module.name)
        for name, line in module.imports():
            if not name.startswith(top + ".") or name.startswith("mgmt.cli"):
                continue
            other = _longest(levels, name)
            same_folder = name.split(".")[:2] == module.name.split(".")[:2]
            if not own or not other:
                wrong.append(f"{module.where}:{line} has no level, or {name} has none")
            elif same_folder and levels[own] == levels[other]:
                continue
            elif levels[other] > levels[own] or (
                levels[other] == levels[own] and not same_folder and levels[own] not in (1, 2)
            ):
                wrong.append(f"{module.where}:{line} imports {name} from above or beside")
    return wrong


def test_inside_data_imports_go_down() -> None:
    wrong = _levels_hold(DATA_LEVELS, "data")
    assert not wrong, "\n".join(["data:", *wrong])


def test_inside_management_imports_go_down() -> None:
    wrong = _levels_hold(MGMT_LEVELS, "mgmt")
    assert not wrong, "\n".join(["mgmt:", *wrong])


def test_each_outside_library_lives_behind_one_door() -> None:
    wrong = []
    for module in modules():
        for name, line in module.imports():
            door = DOORS.get(name.split(".")[0])
            if door is not None and not _within(module.name, door):
                wrong.append(f"{module.where}:{line} imports {name}")
    assert not wrong, "\n".join(["doors:", *wrong])


def _is_pure(module: Module) -> bool:
    if _within(module.name, PURE_FOLDERS):
        return True
    return bool(PURE.search(ast.get_docstring(module.tree) or ""))


def _io(module: Module) -> list[str]:
    return [
        f"{module.where}:{line} imports {name}"
        for name, line in module.imports()
        if name.split(".")[0] in IO_LIBRARIES
    ]


def test_pure_modules_do_no_io_and_import_none_that_does() -> None:
    by_name = {module.name: module for module in modules()}
    wrong = []
    for module in modules():
        if not _is_pure(module):
            continue
        wrong += _io(module)
        for name, line in module.imports():
            other = by_name.get(name)
            if other is not None and name != "protocol.clock" and _io(other):
                wrong.append(f"{module.where}:{line} is pure, {name} is not: {_io(other)[0]}")
    assert not wrong, "\n".join(["pure modules:", *wrong])


def test_nothing_imports_tests_benchmarks_or_deploy() -> None:
    wrong = [
        f"{module.where}:{line} imports {name}"
        for module in modules()
        for name, line in module.imports()
        if name.split(".")[0] in ("tests", "benchmarks", "deploy")
        and not module.name.startswith("deploy")
    ]
    assert not wrong
