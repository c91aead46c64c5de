"""The hot modules as machine code: which they are, where a build of them lies, how it is used.

`python -m deploy.compile` (make compiled) has mypyc turn the modules below into extension modules.
A build lies in a folder named by the fingerprint of the Python sources it was made of, outside of
the source tree. A data instance reckons the fingerprint of the sources it is about to run and takes
the build of exactly that name, or the sources themselves: a build of other sources cannot be found,
let alone shadow them. TENGRID_COMPILED chooses: auto (so), off (the sources), on (fail without), or
the absolute path of a build's folder (benchmarks/training.py runs one that counts what it does).
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import sysconfig
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

# What a statement meets between the client's socket and SQLite. Rules: docs/decisions/0116.
MODULES = (
    "data.distribution.hashing",
    "data.exec.coordination",
    "data.exec.copy_reads",
    "data.exec.fast",
    "data.exec.fast_txn",
    "data.exec.fragments",
    "data.exec.metering",
    "data.exec.router",
    "data.exec.session",
    "data.exec.shard",
    "data.replication.actions",
    "data.replication.agreement",
    "data.replication.ahead",
    "data.replication.copier",
    "data.replication.hub",
    "data.replication.later",
    "data.replication.leadership",
    "data.replication.log_shape",
    "data.replication.member",
    "data.replication.reading",
    "data.replication.replica_set",
    "data.replication.situation",
    "data.replication.yielding",
    "data.session.client",
    "data.session.ending",
    "data.session.names",
    "data.session.script",
    "data.session.session",
    "data.session.statements",
    "data.session.timers",
    "data.storage.element",
    "data.storage.later",
    "data.storage.log",
    "data.storage.tables",
    "data.storage.writer",
    "data.txn.batches",
    "data.txn.bulk_locks",
    "data.txn.committing",
    "data.txn.deciding",
    "data.txn.epochs",
    "data.txn.facts",
    "data.txn.foresight",
    "data.txn.gate",
    "data.txn.gathering",
    "data.txn.later",
    "data.txn.lead",
    "data.txn.locks",
    "data.txn.long_statements",
    "data.txn.move_steps",
    "data.txn.moving",
    "data.txn.ownership",
    "data.txn.parts",
    "data.txn.ports",
    "data.txn.reading",
    "data.txn.recent",
    "data.txn.sliced",
    "data.txn.steps",
    "data.txn.waiting",
    "data.txn.workspace",
    "protocol.clock",
    "protocol.metrics",
    "protocol.pgwire.codec",
    "protocol.pgwire.connection",
    "protocol.pgwire.messages",
    "protocol.pgwire.plain_rows",
    "protocol.rpc.client",
    "protocol.rpc.connection",
    "protocol.rpc.frame",
    "protocol.rpc.server",
    "protocol.rpc.ticker",
    "protocol.trace",
)
PACKAGES = ("data", "membership", "protocol")  # all that the modules are compiled against
VARIABLE = "TENGRID_COMPILED"
FOLDER = "tengrid-compiled"  # below sys.prefix; mgmt/transport/bundle.py takes it along
COMPLETE = "COMPLETE"  # the last file of a build
TRAINED = "TRAINED"  # beside it: compiled with a profile of benchmarks/training.py
ROOT = Path(__file__).resolve().parents[1]
_SUFFIX = str(sysconfig.get_config_var("EXT_SUFFIX"))


class CompiledError(Exception):
    """The build that was asked for cannot be used."""


def fingerprint(root: Path = ROOT) -> str:
    """Of interpreter, machine, list and sources: what a build was made of."""
    digest = hashlib.sha256(
        "\n".join((sys.version, platform.machine(), _SUFFIX, *MODULES)).encode()
    )
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            source = path.read_bytes()
            digest.update(f"\n{path.relative_to(root)} {len(source)}\n".encode())
            digest.update(source)
    return digest.hexdigest()[:32]


def folder_of(name: str) -> Path:
    """Where the build of this fingerprint lies, or would lie."""
    return Path(sys.prefix) / FOLDER / name


def build_for(root: Path = ROOT) -> Path | None:
    """The build of these sources, None without one."""
    folder = folder_of(fingerprint(root))
    return folder if (folder / COMPLETE).exists() else None


def wanted() -> str:
    """auto, off, on or an absolute path. Raises CompiledError for another word."""
    word = os.environ.get(VARIABLE, "") or "auto"
    if word not in ("auto", "off", "on") and not word.startswith("/"):
        raise CompiledError(f"{VARIABLE}={word}: it is auto, off, on or a folder's absolute path")
    return word


def _chosen() -> Path | None:
    """The build that TENGRID_COMPILED chooses, None for the sources. Raises CompiledError."""
    word = wanted()
    if word == "off":
        return None
    if word.startswith("/"):
        if not (Path(word) / COMPLETE).exists():
            raise CompiledError(f"{VARIABLE}={word}: there is no build")
        return Path(word)
    build = build_for()
    if build is None and word == "on":
        raise CompiledError("there is no build of these sources: run make compiled")
    return build


def form() -> str:
    """What a data instance that starts now runs, in words for people."""
    return _words(_chosen())


def running() -> str:
    """What this process runs."""
    builds = [finder.build for finder in sys.meta_path if isinstance(finder, _Finder)]
    return _words(builds[0] if builds else None)


def _words(build: Path | None) -> str:
    if build is None:
        return "interpreted"
    trained = ", trained" if (build / TRAINED).exists() else ""
    return f"compiled ({build.name[:12]}{trained})"


def install() -> str:
    """Use the build from now on, if there is one; "" or its fingerprint.

    Call it before any of the modules is imported. Raises CompiledError.
    """
    build = _chosen()
    if build is None:
        return ""
    early = [name for name in MODULES if name in sys.modules]
    if early:
        raise CompiledError(f"{early[0]} was imported before its build could be used")
    sys.meta_path.insert(0, _Finder(build))
    return build.name


class _Finder(MetaPathFinder):
    """Finds the modules of one build, and the library they share."""

    def __init__(self, build: Path) -> None:
        self.build = build
        libraries = [path.name.removesuffix(_SUFFIX) for path in build.glob(f"*__mypyc{_SUFFIX}")]
        self._names = frozenset((*MODULES, *libraries))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See MetaPathFinder."""
        if fullname not in self._names:
            return None
        file = str(self.build / f"{fullname.replace('.', '/')}{_SUFFIX}")
        return spec_from_file_location(fullname, file, loader=ExtensionFileLoader(fullname, file))
