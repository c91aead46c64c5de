"""For all tests: what a test leaves running fails it; more seeds by an option.

A test that ends must not leave an asyncio task, a socket or a process behind. Things that belong
to a fixture of a wider scope (one grid for a whole module) are there before the test begins and
are not counted. Processes are found by a variable in their environment, so also detached ones.
"""

from __future__ import annotations

import asyncio.runners
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from daemons import compiled
from tests.support import compiled_form

RUN_VARIABLE = "TENGRID_TEST_RUN"
RUN_ID = f"{os.getpid()}-{time.monotonic_ns()}"
GRACE_S = 5.0  # for what is ending just now
TEARDOWN_S = 120.0  # pytest-timeout ends a test once; fixtures of a test that failed can hang too
SEEDS_DEFAULT = 50  # of a simulation, unless its module has a number SEEDS

_leaked_tasks: list[str] = []
_cancel_all_tasks = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]


def _note_and_cancel_all_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """What asyncio.Runner does when it closes, but the tasks it finds are noted."""
    for task in asyncio.all_tasks(loop):
        if not task.done():
            _leaked_tasks.append(f"{task.get_name()}: {task.get_coro()}")
    _cancel_all_tasks(loop)


asyncio.runners._cancel_all_tasks = _note_and_cancel_all_tasks  # type: ignore[attr-defined]
os.environ[RUN_VARIABLE] = RUN_ID


def _teardown_hangs(*_: object) -> None:
    """Show what asyncio waits for, and go on with the other tests."""
    with suppress(RuntimeError):  # a fixture without asyncio: the traceback says where it waits
        for task in asyncio.all_tasks():
            task.print_stack(file=sys.stderr)
    raise TimeoutError(f"the fixtures of this test did not end within {TEARDOWN_S:.0f} s")


@contextmanager
def _within_limit() -> Iterator[None]:
    """The main thread gets an error after TEARDOWN_S."""
    before = signal.signal(signal.SIGUSR1, _teardown_hangs)
    main = threading.get_ident()
    limit = threading.Timer(TEARDOWN_S, signal.pthread_kill, (main, signal.SIGUSR1))
    limit.start()
    try:
        yield
    finally:
        limit.cancel()
        limit.join()
        signal.signal(signal.SIGUSR1, before)


if os.environ.get(compiled.VARIABLE) == "on":  # else tests run the sources, daemons what is built
    compiled.install()
    from tests.support.compiled_form import (  # noqa: F401
        pytest_runtest_call,
        pytest_runtest_setup,
    )

    compiled_form.skip_what_replaces_functions()


def pytest_report_header() -> str:
    """Which form of the hot modules is tested."""
    here = compiled.form() if os.environ.get(compiled.VARIABLE) == "on" else "interpreted"
    return f"hot modules: {here} in tests, {compiled.form()} in daemons"


def pytest_addoption(parser: pytest.Parser) -> None:
    """--seeds N."""
    parser.addoption("--seeds", type=int, default=0, help="seeds of each simulation")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `seed` of its own runs once for each seed."""
    marked = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "seed" in metafunc.fixturenames and not any("seed" in names for names in marked):
        chosen = metafunc.config.getoption("--seeds")
        count = chosen or getattr(metafunc.module, "SEEDS", SEEDS_DEFAULT)
        metafunc.parametrize("seed", range(count))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `root` need to be root."""
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """After all fixtures of the test, its event loop included, are gone."""
    del _leaked_tasks[:]
    with _within_limit():
        result = yield
    if _leaked_tasks and not item.stash.get(compiled_form.CUT_SHORT, False):
        left = "\n  ".join(_leaked_tasks)
        pytest.fail(f"the test leaves asyncio tasks:\n  {left}", pytrace=False)
    return result


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sockets and processes. Set up first of all of a test's fixtures, torn down last."""
    is_quick = any(f"/{kind}/" in str(request.path) for kind in ("unit", "sim", "tidy"))
    sockets_before = _sockets()
    processes_before = {} if is_quick else _processes()
    yield
    if request.node.stash.get(compiled_form.CUT_SHORT, False):
        return
    left_sockets = _left(lambda: _sockets() - sockets_before)
    if left_sockets:
        pytest.fail(f"the test leaves sockets open: {_described(left_sockets)}", pytrace=False)
    if is_quick:
        return
    known = set(processes_before.values())
    # A daemon that was restarted meanwhile has another pid, but the same title and home.
    left = _left(lambda: {item for item in _processes().items() if item[1] not in known})
    if left:
        shown = "\n  ".join(f"{pid} {title}" for pid, title in sorted(left))
        pytest.fail(f"the test leaves processes running:\n  {shown}", pytrace=False)


def _left(look: Any) -> set[Any]:
    """What is still there after a while in which garbage was collected and things could end."""
    ends = time.monotonic() + GRACE_S
    left: set[Any] = look()
    while left and time.monotonic() < ends:
        gc.collect()
        time.sleep(0.02)  # other threads and processes are ending; nothing tells when
        left = look()
    return left


def _sockets() -> set[str]:
    """The sockets this process has open, as "socket:[inode]"."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def _described(sockets: set[str]) -> str:
    """Sockets with their addresses, where /proc/net/tcp knows them."""
    inodes = {name[len("socket:[") : -1] for name in sockets}
    lines = []
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes:
            port = int(fields[1].rpartition(":")[2], 16)
            lines.append(f"port {port} to {fields[2]} in state {fields[3]}")
    return ", ".join(lines) or ", ".join(sorted(sockets))


def _processes() -> dict[int, str]:
    """Processes started by this run of the tests, directly or not: pid -> command line."""
    wanted = f"{RUN_VARIABLE}={RUN_ID}".encode()
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = Path("/proc", entry, "environ").read_bytes()
            if wanted in environment.split(b"\0"):
                raw = Path("/proc", entry, "cmdline").read_bytes()
                found[int(entry)] = raw.replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
    return {pid: title for pid, title in found.items() if title}  # without title: a zombie
