"""The project's files as the tidy tests see them."""

from __future__ import annotations

import ast
import gc
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("daemons", "protocol", "mgmt", "data", "membership", "deploy")
AROUND = ("tests", "benchmarks")  # may use everything, are used by nothing
SKIPPED = {".venv", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


@dataclass(frozen=True, eq=False)  # one object per file: the same one is the same file
class Module:
    """One Python file. `imports`: (module, line) of everything of ours and of others it names."""

    path: Path
    name: str
    text: str
    tree: ast.Module

    @property
    def where(self) -> str:
        """For messages."""
        return str(self.path.relative_to(ROOT))

    @property
    def is_package(self) -> bool:
        """Whether it is an __init__.py."""
        return self.path.name == "__init__.py"

    def imports(self) -> list[tuple[str, int]]:
        """Full names: `from membership import paths` is membership.paths."""
        return _imports(self)


@cache
def _imports(module: Module) -> list[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {(_module_of(alias.name), node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {(_module_of(name), node.lineno) for name in names}
    return sorted(found, key=lambda item: (item[1], item[0]))


@cache
def _module_of(name: str) -> str:
    """`data.sql.plan.Plan` -> `data.sql.plan`: the longest part that is a file of ours."""
    parts = name.split(".")
    if parts[0] not in PACKAGES + AROUND:
        return name
    for length in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:length])
        if base.with_suffix(".py").exists() or (base / "__init__.py").exists():
            return ".".join(parts[:length])
    return name


@cache
def modules(*, around: bool = False) -> tuple[Module, ...]:
    """All Python files of the packages; with `around` those of tests and benchmarks too.

    A file that does not parse is left out: format, lint and types say so themselves.
    """
    found = tuple(
        module for top in PACKAGES + (AROUND if around else ()) for module in _parsed(top)
    )
    assert found
    return found


@cache
def _parsed(top: str) -> tuple[Module, ...]:
    found = []
    gc.disable()  # trees stay: looking for garbage in them takes longer than parsing
    try:
        for path in sorted((ROOT / top).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            try:
                tree = ast.parse(text)
            except SyntaxError:
                continue
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found.append(Module(path, name.removesuffix(".__init__"), text, tree))
    finally:
        gc.freeze()
        gc.enable()
    return tuple(found)


@cache
def text_files() -> tuple[Path, ...]:
    """Every text file of the project."""
    found = []
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if SKIPPED & set(parts) or parts[0].startswith(".grid") or "__pycache__" in parts:
            continue
        if any(part.endswith(".egg-info") for part in parts) or not path.is_file():
            continue
        if b"\0" not in path.read_bytes()[:1024]:
            found.append(path)
    return tuple(found)
