"""Which build of the hot modules is used: only one of exactly these sources."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import compiled
from deploy import compile as compiling

ROOT = compiled.ROOT
HARMLESS = {"Protocol", "NamedTuple", "IntEnum", "Enum", "Exception", "Generic"}  # mypyc knows them


def _file(module: str) -> Path:
    return ROOT / f"{module.replace('.', '/')}.py"


def _classes(path: Path) -> list[ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def _bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).split("[")[0].rpartition(".")[2] for base in node.bases]


def test_the_modules_are_there() -> None:
    assert [m for m in compiled.MODULES if not _file(m).exists()] == []
    assert list(compiled.MODULES) == sorted(set(compiled.MODULES))


def test_classes_are_compiled_with_their_bases_and_heirs() -> None:
    """mypyc loses attributes where they are not; the keywords of a msgspec.Struct it drops."""
    inside = {c.name: (c, m) for m in compiled.MODULES for c in _classes(_file(m))}
    for node, _ in inside.values():
        bases = _bases(node)
        assert "Protocol" in bases or not node.keywords, f"{node.name} has keywords"
        made_anew = [d for d in node.decorator_list if "slots" in ast.unparse(d)]
        assert not made_anew, f"{node.name}: a dataclass with slots is another class"
        assert "Protocol" in bases or set(bases) <= HARMLESS | set(inside), f"{node.name}: {bases}"
    names = [name for name, (node, _) in inside.items() if "Protocol" not in _bases(node)]
    derives = re.compile(rf"^class \w+\((?:[^)]*[\s,.])?({'|'.join(names)})[,)\[]", re.M)
    listed = {_file(module) for module in compiled.MODULES}
    for package in ("daemons", "data", "membership", "mgmt", "protocol"):
        for path in {*(ROOT / package).rglob("*.py")} - listed:
            text = path.read_text(encoding="utf-8")
            for heir in derives.finditer(text):
                assert f"from {inside[heir[1]][1]} import" not in text, f"{path}: {heir[0]}"


HOT = (  # what each read by key meets
    *("data.distribution.hashing", "data.exec.copy_reads", "data.exec.fast", "data.exec.fragments"),
    *("data.exec.metering", "data.exec.router", "data.exec.shard", "data.session.client"),
    *("data.session.session", "data.session.statements", "protocol.clock", "protocol.metrics"),
    *("protocol.pgwire.connection", "protocol.pgwire.messages", "protocol.pgwire.plain_rows"),
    *("protocol.limits", "protocol.rpc.connection", "protocol.rpc.frame", "protocol.rpc.ticker"),
)


@pytest.mark.parametrize("module", HOT)
def test_constants_of_hot_modules_are_final(module: str) -> None:
    """Any other name of a module is looked up in a dictionary each time it is used."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    plain = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    used = {
        name.id
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        for statement in ast.walk(node)
        if isinstance(statement, ast.FunctionDef)
        for part in statement.body
        for name in ast.walk(part)
        if isinstance(name, ast.Name)
    }
    assert [name for name in plain & used if name.isupper() or name[0] == "_"] == []


def test_no_function_names_a_union_of_types() -> None:
    """mypyc builds that, and the name is unbound when it runs."""
    wrong = []
    for module in compiled.MODULES:
        tree = ast.parse(_file(module).read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                wrong += [f"{module}:{n.lineno}" for n in ast.walk(function) if _names_a_union(n)]
    assert not wrong


def _names_a_union(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.BinOp):
        return False
    leaves = [n for n in ast.walk(node.value) if isinstance(n, ast.Name)]
    are_types = all(leaf.id[:1].isupper() and not leaf.id.isupper() for leaf in leaves)
    return isinstance(node.value.op, ast.BitOr) and bool(leaves) and are_types


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [("kinds = Query | Update", True), ("flags = READ | WRITE", False), ("n = one | other", False)],
)
def test_a_name_for_a_union_is_seen(text: str, is_wrong: bool) -> None:
    assert _names_a_union(ast.parse(text).body[0]) is is_wrong


def _raises_after_waiting(handler: ast.ExceptHandler) -> bool:
    """A `raise` without an exception follows an await or yield in the same handler."""
    nodes = list(_own_nodes(handler))
    waits = [n.lineno for n in nodes if isinstance(n, (ast.Await, ast.Yield, ast.YieldFrom))]
    bare = [n.lineno for n in nodes if isinstance(n, ast.Raise) and n.exc is None]
    return bool(waits) and bool(bare) and min(waits) < max(bare)


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """What is in it, but for functions in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from _own_nodes(child)


def _finishes_waiting(node: ast.Try) -> bool:
    """Its `finally` has an await or yield."""
    return any(
        isinstance(n, (ast.Await, ast.Yield, ast.YieldFrom)) for s in node.finalbody for n in _in(s)
    )


def _in(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    yield from _own_nodes(node)


def _leaves_waiting(node: ast.AsyncWith) -> bool:
    """What it leaves may wait. asyncio.timeout does not."""
    return any(
        not ast.unparse(item.context_expr).startswith("asyncio.timeout(") for item in node.items
    )


def _forgets_what_it_raises(node: ast.AST) -> bool:
    return (
        (isinstance(node, ast.ExceptHandler) and _raises_after_waiting(node))
        or (isinstance(node, ast.Try) and _finishes_waiting(node))
        or (isinstance(node, ast.AsyncWith) and _leaves_waiting(node))
    )


def test_nothing_raises_again_what_it_caught_after_waiting() -> None:
    """mypyc asks the thread what is being handled: another exception by then, or none (a crash)."""
    wrong = []
    for module in compiled.MODULES:
        tree = ast.parse(_file(module).read_text(encoding="utf-8"))
        wrong += [f"{module}:{n.lineno}" for n in ast.walk(tree) if _forgets_what_it_raises(n)]  # type: ignore[attr-defined]
    assert not wrong


@pytest.mark.parametrize(
    ("body", "is_wrong"),
    [
        ("try: f()\n    except OSError:\n        await undo()\n        raise", True),
        ("try: f()\n    except OSError: raise", False),
        (
            "try: f()\n    except OSError as error:\n        await undo()\n        raise error",
            False,
        ),
        ("try: f()\n    finally: await undo()", True),
        ("try: await f()\n    finally: undo()", False),
        ("async with lock: f()", True),
        ("async with asyncio.timeout(1): await f()", False),
    ],
)
def test_what_waits_and_raises_again_is_seen(body: str, is_wrong: bool) -> None:
    tree = ast.parse(f"async def f():\n    {body}\n")
    assert any(_forgets_what_it_raises(n) for n in ast.walk(tree)) is is_wrong


def _compared_with_none(node: ast.AST) -> set[str]:
    """The attributes ("machine.leadership") that it compares with None."""
    return {
        ast.unparse(n.left)
        for n in _in(node)
        if isinstance(n, ast.Compare)
        and isinstance(n.left, ast.Attribute)
        and isinstance(n.comparators[0], ast.Constant)
        and n.comparators[0].value is None
    }


def _asks_again(node: ast.AST) -> set[str]:
    """Attributes that are not None by its test, and are asked in its body whether they are."""
    if not isinstance(node, (ast.If, ast.While)):
        return set()
    is_not = {
        name
        for name in _compared_with_none(node.test)
        if f"{name} is not None" in ast.unparse(node.test) and " or " not in ast.unparse(node.test)
    }
    again: set[str] = set().union(*(_compared_with_none(s) for s in node.body))
    stored = {ast.unparse(n) for s in node.body for n in _in(s) if _is_stored(n)}
    return (is_not & again) - stored


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)


def test_nothing_is_asked_for_none_that_is_taken_for_something() -> None:
    """The type checker thinks that a call between leaves it; mypyc then raises TypeError."""
    wrong = []
    for module in compiled.MODULES:
        tree = ast.parse(_file(module).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            wrong += [f"{module}:{getattr(node, 'lineno', 0)} {a}" for a in _asks_again(node)]
    assert not wrong


@pytest.mark.parametrize(
    ("body", "is_wrong"),
    [
        ("while m.lead is not None:\n    m.give()\n    if m.lead is not None: wait()", True),
        ("if m.lead is not None:\n    m.lead = f()\n    if m.lead is None: wait()", False),
        ("if m.lead is None:\n    m.take()\n    if m.lead is None: wait()", False),
        ("if m.lead is not None: m.lead.give()", False),
    ],
)
def test_an_attribute_asked_again_is_seen(body: str, is_wrong: bool) -> None:
    assert bool(_asks_again(ast.parse(body).body[0])) is is_wrong


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources that can be changed, and a place for builds of them."""
    for package in compiled.PACKAGES:
        (tmp_path / "source" / package).mkdir(parents=True)
        (tmp_path / "source" / package / "one.py").write_text("A = 1\n", encoding="utf-8")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    return tmp_path / "source"


def _pretend_to_build(root: Path) -> Path:
    folder = compiled.folder_of(compiled.fingerprint(root))
    folder.mkdir(parents=True)
    (folder / compiled.COMPLETE).touch()
    return folder


def test_a_build_serves_the_sources_it_was_made_of_alone(tree: Path) -> None:
    assert compiled.build_for(tree) is None
    folder = _pretend_to_build(tree)
    assert compiled.build_for(tree) == folder
    changed = tree / "data" / "one.py"
    changed.write_text("A = 2\n", encoding="utf-8")
    assert compiled.build_for(tree) is None
    changed.write_text("A = 1\n", encoding="utf-8")
    assert compiled.build_for(tree) == folder
    (tree / "protocol" / "new.py").write_text("", encoding="utf-8")
    assert compiled.build_for(tree) is None


def test_an_unfinished_build_is_none(tree: Path) -> None:
    (_pretend_to_build(tree) / compiled.COMPLETE).unlink()
    assert compiled.build_for(tree) is None


def test_the_variable_chooses(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled.install() == ""  # auto, and there is no build
    monkeypatch.setenv(compiled.VARIABLE, "on")
    with pytest.raises(compiled.CompiledError, match="make compiled"):
        compiled.install()
    folder = _pretend_to_build(ROOT)
    import data.exec.fast  # noqa: F401 - too early

    with pytest.raises(compiled.CompiledError, match="was imported before"):
        compiled.install()
    assert compiled.form() == f"compiled ({folder.name[:12]})"
    monkeypatch.setenv(compiled.VARIABLE, "off")
    assert compiled.install() == ""
    assert compiled.form() == "interpreted"
    monkeypatch.setenv(compiled.VARIABLE, "maybe")
    with pytest.raises(compiled.CompiledError, match="auto, off, on or"):
        compiled.install()


def test_a_folder_can_be_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tree / "counting"
    monkeypatch.setenv(compiled.VARIABLE, str(folder))
    with pytest.raises(compiled.CompiledError, match="there is no build"):
        compiled.install()
    folder.mkdir()
    (folder / compiled.COMPLETE).touch()
    assert compiled.form() == "compiled (counting)"
    (folder / compiled.TRAINED).touch()
    assert compiled.form() == "compiled (counting, trained)"


def test_a_new_build_takes_the_place_of_the_one_before(tree: Path) -> None:
    name = compiled.fingerprint()
    (_pretend_to_build(ROOT) / "plain").touch()
    made = tree / "made"
    made.mkdir()
    (made / compiled.COMPLETE).touch()
    assert not compiling.put(made, "of other sources")
    assert compiling.put(made, name)
    assert [path.name for path in compiled.folder_of(name).iterdir()] == [compiled.COMPLETE]


_RUN = """
import sys
from daemons import compiled
used = compiled.install()
import daemons.data_daemon
files = [sys.modules[name].__file__ for name in compiled.MODULES]
assert used and all(f.startswith(sys.prefix) and f.endswith(".so") for f in files), files
"""


def test_a_data_instance_runs_the_build_that_is_there() -> None:
    if compiled.build_for() is None:
        pytest.skip("these sources are not compiled: make compiled")
    environment = {**os.environ, compiled.VARIABLE: "on"}
    subprocess.run([sys.executable, "-c", _RUN], cwd=ROOT, env=environment, check=True)


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, capfd: object) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert compiling.main() == 1
    assert isinstance(capfd, pytest.CaptureFixture)
    assert "there is no C compiler" in capfd.readouterr().err
