"""A run of half an hour is not held up by one thing that does not answer."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from benchmarks import bulk, processes, run
from benchmarks.targets.base import Door, Login


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_what_takes_longer_ends(silent: socket.socket) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with (
        socket.create_connection(silent.getsockname()) as client,
        pytest.raises(RuntimeError, match=r"a word: not within 0 s"),
        processes.limited(0.05, "a word"),
    ):
        client.recv(1)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with processes.limited(60, "nothing"):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_ports_that_others_listen_on_are_not_taken(silent: socket.socket) -> None:
    taken = silent.getsockname()[1]
    assert processes.free_base(taken, 1, 1) > taken
    with pytest.raises(RuntimeError, match="no 1 free ports"):
        processes.free_base(taken, 1, 1, tries=1)


class _Connection:
    """Of a server that does not answer."""

    def __init__(self, server: socket.socket) -> None:
        self._socket = socket.create_connection(server.getsockname())
        self.waits = threading.Event()

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self) -> bytes:
        self.waits.set()
        return self._socket.recv(1)

    def close(self) -> None:
        self._socket.close()


def test_streams_end_with_what_waits_for_them(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _Connection(silent)
    monkeypatch.setattr(bulk, "connect", lambda door, login: made)
    door, login = Door("127.0.0.1", 1), Login("d", "u")
    with ThreadPoolExecutor(1) as pool, bulk.Lines() as lines:
        stream = pool.submit(lambda: lines.open(door, login).ask())  # type: ignore[attr-defined]
        made.waits.wait()
    assert stream.result() == b""
    assert lines.over
    made.close()


def test_a_stream_does_not_begin_again_when_all_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(door: Door, login: Login) -> None:
        lines.over = True
        raise psycopg.OperationalError("lost")

    monkeypatch.setattr(bulk, "connect", lost)
    (tmp_path / "part").write_text("1\n")
    lines = bulk.Lines()
    with pytest.raises(psycopg.OperationalError):
        bulk._load(lines, Door("127.0.0.1", 1), Login("d", "u"), [tmp_path / "part"])


def test_what_a_run_that_was_killed_has_left_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "tgbench-x").mkdir()
    (tmp_path / "other").mkdir()
    (text,) = run.left_over("tgbench-")
    assert text.startswith("tgbench-x (temporary files)")
