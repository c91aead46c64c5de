"""Calls and words that must not be anywhere, or only where somebody may make them."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.tidy.source import ROOT, Module, modules, text_files

CONFIGURES_LOGGING = {"logging.basicConfig", "structlog.configure", "logging.config.dictConfig"}
READS_TIME = {"time.time", "time.monotonic", "time.time_ns", "time.monotonic_ns"}
MAY_READ_TIME = ("protocol.clock", "mgmt.cli", "deploy", "benchmarks", "tests")
MAY_PRINT = ("mgmt.cli", "daemons", "deploy", "benchmarks", "tests")
NEVER = {
    "asyncio.get_event_loop": "asyncio.get_running_loop",
    "datetime.now": "protocol.clock",
    "datetime.utcnow": "protocol.clock",
    "eval": "nothing",
    "os.system": "subprocess.run with a list",
    "os._exit": "sys.exit",
}
MAY_EXIT_AT_ONCE = ("membership.server.child",)  # between fork and exec there is nothing else
# In pieces, so that this file does not hold what it forbids.
REGISTRY_HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry.npm" + "js.org",
    "repo1." + "maven.org",
    "crates" + ".io",
    "proxy.golang" + ".org",
]
WORKPLACE = [".." + "/shared", "/work" + "/", "/tmp" + "/tg", "issues" + " show"]


@cache
def _calls(tree: ast.AST) -> tuple[tuple[str, ast.Call], ...]:
    """The calls in it, with the dotted name of what is called."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _dotted(node.func)):
            found.append((name, node))
    return tuple(found)


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=owner, attr=name):
            before = _dotted(owner)
            return f"{before}.{name}" if before else ""
    return ""


def _is_zero(call: ast.Call) -> bool:
    """sleep(0) gives others their turn; it waits for nothing."""
    return len(call.args) == 1 and ast.dump(call.args[0]) == ast.dump(ast.Constant(0))


def _is(module: Module, prefixes: tuple[str, ...]) -> bool:
    return any(module.name == p or module.name.startswith(p + ".") for p in prefixes)


def test_nothing_blocks_the_event_loop_by_sleeping() -> None:
    wrong = []
    for module in modules(around=True):
        for function in ast.walk(module.tree):
            if isinstance(function, ast.AsyncFunctionDef):
                wrong += [
                    f"{module.where}:{call.lineno}"
                    for name, call in _calls(function)
                    if name == "time.sleep"
                ]
    assert not wrong


def test_a_test_that_sleeps_says_why() -> None:
    wrong = []
    for module in modules(around=True):
        if not _is(module, ("tests",)):
            continue
        lines = module.text.splitlines()
        for name, call in _calls(module.tree):
            if name not in ("asyncio.sleep", "time.sleep"):
                continue
            if not _is_zero(call) and "#" not in lines[call.lineno - 1]:
                wrong.append(f"{module.where}:{call.lineno}")
    assert not wrong, f"await what happens, or say in a comment why that cannot be: {wrong}"


def test_time_comes_from_the_clock() -> None:
    wrong = [
        f"{module.where}:{call.lineno} {name}"
        for module in modules()
        if not _is(module, MAY_READ_TIME)
        for name, call in _calls(module.tree)
        if name in READS_TIME
    ]
    assert not wrong


def test_logging_is_configured_in_one_place() -> None:
    wrong = [
        f"{module.where}:{call.lineno} {name}"
        for module in modules()
        if module.name != "daemons.logs"
        for name, call in _calls(module.tree)
        if name in CONFIGURES_LOGGING
    ]
    assert not wrong


def test_only_commands_print() -> None:
    wrong = [
        f"{module.where}:{call.lineno}"
        for module in modules()
        if not _is(module, MAY_PRINT)
        for name, call in _calls(module.tree)
        if name == "print"
    ]
    assert not wrong


def test_banned_calls() -> None:
    wrong = []
    for module in modules(around=True):
        for name, call in _calls(module.tree):
            if name == "os._exit" and _is(module, MAY_EXIT_AT_ONCE):
                continue
            if name in NEVER:
                wrong.append(f"{module.where}:{call.lineno} {name}: use {NEVER[name]}")
    assert not wrong


def test_no_bare_except() -> None:
    wrong = [
        f"{module.where}:{node.lineno}"
        for module in modules(around=True)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not wrong


def test_no_package_registry_is_named() -> None:
    _nowhere(REGISTRY_HOSTS)


def test_nothing_refers_to_the_place_where_it_was_written() -> None:
    _nowhere(WORKPLACE)


def _nowhere(words: list[str]) -> None:
    pattern = re.compile("|".join(re.escape(word) for word in words))
    wrong = []
    for path in text_files():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            if pattern.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not wrong, "\n".join(wrong)
