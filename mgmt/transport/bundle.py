"""Builds a self-contained installation: python -m mgmt.transport.bundle DIRECTORY.

A whole Python in `python/` (the interpreter of this process, its standard library, our packages and
the libraries they need) and programs in `bin/` that find it beside them. So the directory can be
moved and copied, and a host needs no package registry and no Python of its own: only the C library
and the few libraries that Python links (libssl, libffi, zlib, ...).
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from mgmt.cli.installation_check import write_manifest
from mgmt.transport.programs import DISTRIBUTION, ONLY_IN_INSTALLATIONS, PROGRAMS, readme

# Parts of the standard library that no daemon and no tool uses.
LEFT_OUT = (
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "site-packages",
    "dist-packages",
)
LEFT_OUT_PREFIXES = ("config-", "_sysconfigdata__d")  # static library; debug build
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_LAUNCHER = """\
#!/bin/sh
\'\'\':'
here=$(dirname "$(readlink -f "$0")")
libraries=$here/../python/lib
if ls "$libraries"/libpython* >/dev/null 2>&1; then
  LD_LIBRARY_PATH=$libraries${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}; export LD_LIBRARY_PATH
fi
exec "$here/../python/bin/python3" "$0" "$@"
\'\'\'
import sys

from {module} import {function}

sys.exit({function}())
"""


def build(directory: Path) -> None:
    """Make the installation; the directory must be absent or empty. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty")
    library = _copy_python(directory / "python")
    packages = library / "site-packages"
    packages.mkdir()
    (library / "dist-packages").symlink_to("site-packages")  # where Debian's Python looks
    for distribution in _needed(DISTRIBUTION):
        if distribution.metadata["Name"] == DISTRIBUTION:
            _copy_own(distribution, packages)
        else:
            _copy_distribution(distribution, packages)
    _copy_compiled(directory / "python")
    compileall.compile_dir(
        str(packages), quiet=2, workers=1, stripdir=str(packages), prependdir="tengrid"
    )
    _write_programs(directory)
    (directory / "README.html").write_text(readme(metadata.version(DISTRIBUTION)), "utf-8")
    write_manifest(directory)


def _copy_python(target: Path) -> Path:
    """The interpreter and its standard library; returns the library's directory."""
    base = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (target / "bin").mkdir(parents=True)
    shutil.copy2(base, target / "bin" / name)
    (target / "bin" / "python3").symlink_to(name)
    library = target / "lib" / name
    shutil.copytree(
        sysconfig.get_path("stdlib"), library, symlinks=False, ignore=_unneeded,
        ignore_dangling_symlinks=True,
    )  # fmt: skip
    for shared in _libpython(base):
        shutil.copy2(shared, target / "lib" / shared.name)
    return library


def _unneeded(folder: str, names: list[str]) -> set[str]:
    """Top-level parts to leave out; links that point out of the tree go as files."""
    if Path(folder) != Path(sysconfig.get_path("stdlib")):
        return set()
    return {n for n in names if n in LEFT_OUT or n.startswith(LEFT_OUT_PREFIXES)}


def _libpython(executable: Path) -> list[Path]:
    """The shared libpython, if the interpreter is linked with one."""
    done = subprocess.run(["ldd", str(executable)], capture_output=True, text=True, check=False)
    return [Path(path) for path in re.findall(r"=> (\S*/libpython\S+)", done.stdout)]


def _needed(root: str) -> list[metadata.Distribution]:
    """The distribution and all it requires, as far as they are installed here."""
    found: dict[str, metadata.Distribution] = {}
    pending = [(root, frozenset[str]())]
    done: set[tuple[str, frozenset[str]]] = set()
    while pending:
        name, extras = pending.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if (key, extras) in done:
            continue
        done.add((key, extras))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for other systems or other versions of Python
        found[key] = distribution
        for requirement in distribution.requires or ():
            match = _REQUIREMENT.match(requirement)
            assert match is not None, requirement
            wanted, its_extras, marker = match.groups()
            only_with = set(_EXTRA.findall(marker or ""))
            if only_with and not only_with & extras:
                continue
            words = frozenset(e.strip() for e in (its_extras or "").split(",") if e.strip())
            pending.append((wanted, words))
    return list(found.values())


def _copy_distribution(distribution: metadata.Distribution, packages: Path) -> None:
    for file in distribution.files or ():
        parts = file.parts
        if parts[0] == ".." or "__pycache__" in parts or file.suffix == ".pyc":
            continue  # programs of libraries are of no use here
        source = Path(str(distribution.locate_file(file)))
        if source.is_file():
            _copy_file(source, packages / Path(*parts))


def _copy_own(distribution: metadata.Distribution, packages: Path) -> None:
    """Our packages from where they are imported, and the facts about the distribution."""
    root = Path(__file__).resolve().parents[2]
    for package in _own_packages(root):
        for source in sorted((root / package).rglob("*")):
            relative = source.relative_to(root)
            if source.is_file() and "__pycache__" not in relative.parts:
                _copy_file(source, packages / relative)
    _write_facts(distribution, packages)


def _write_facts(distribution: metadata.Distribution, packages: Path) -> None:
    """Name, version and entry points, where importlib.metadata finds them."""
    facts = f"{DISTRIBUTION}-{distribution.version}.dist-info"
    # what pip left in the folder of the source (PKG-INFO) may be found before what it installed
    about = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    points = distribution.read_text("entry_points.txt") or ""
    (packages / facts).mkdir()
    (packages / facts / "METADATA").write_text(about, encoding="utf-8")
    (packages / facts / "entry_points.txt").write_text(points, encoding="utf-8")


def _copy_compiled(target: Path) -> None:
    """The hot modules as machine code, where they are (daemons/compiled.py tells which fit)."""
    for build in (Path(sys.prefix) / "tengrid-compiled").glob("*/COMPLETE"):
        shutil.copytree(build.parent, target / "tengrid-compiled" / build.parent.name)


def _own_packages(root: Path) -> Iterator[str]:
    for package in ("protocol", "membership", "mgmt", "data", "daemons", "deploy"):
        if (root / package / "__init__.py").exists():
            yield package


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _write_programs(directory: Path) -> None:
    points = {p.name: p.value for p in metadata.distribution(DISTRIBUTION).entry_points}
    (directory / "bin").mkdir()
    for program in (*PROGRAMS, *ONLY_IN_INSTALLATIONS):
        value = ONLY_IN_INSTALLATIONS.get(program) or points[program]
        module, _, function = value.partition(":")
        path = directory / "bin" / program
        path.write_text(_LAUNCHER.format(module=module, function=function), encoding="utf-8")
        path.chmod(0o755)


if __name__ == "__main__":
    build(Path(sys.argv[1]).absolute())
