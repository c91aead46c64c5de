"""A program in a terminal (pty) of its own: what a person types, and what stands on the screen.

`until` waits for what must come. Control sequences are left out of what is compared, and kept in
`raw`.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

WAIT_S = 50
ROWS = 40
CTRL_C, CTRL_D, TAB, ENTER, UP, LEFT, HOME = "\x03", "\x04", "\t", "\r", "\x1b[A", "\x1b[D", "\x01"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[=>78]|[\r\x08\x07]")


class TerminalSession:
    """One program. Use `async with`."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], cwd: Path, columns: int = 100
    ) -> None:
        self._command = command
        self._environment = {**os.environ, "TERM": "xterm-256color", **environment}
        self._environment["PROMPT_TOOLKIT_NO_CPR"] = "1"  # nobody is here to answer it
        self._cwd = cwd
        self._columns = columns
        self._came = asyncio.Event()
        self._over = False
        self.raw = ""
        self._at = 0  # what was awaited ends there

    async def __aenter__(self) -> TerminalSession:
        self._start()
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    def _start(self) -> None:
        self._master, slave = pty.openpty()
        size = struct.pack("HHHH", ROWS, self._columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self._process = subprocess.Popen(
            self._command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=self._environment,
            cwd=self._cwd,
            start_new_session=True,
            preexec_fn=_as_in_a_terminal,
        )
        os.close(slave)

    async def __aexit__(self, *_: object) -> None:
        if not self._over:
            asyncio.get_running_loop().remove_reader(self._master)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            data = b""
        if data:
            self.raw += data.decode(errors="replace")
        else:
            self._over = True
            asyncio.get_running_loop().remove_reader(self._master)
        self._came.set()

    @property
    def shown(self) -> str:
        """Without control sequences."""
        return _CONTROL.sub("", self.raw)

    def type(self, text: str) -> None:
        """Keys."""
        os.write(self._master, text.encode())

    async def interrupt_input(self) -> None:
        """Ctrl-C at a prompt, when the program waits for keys.

        CPython's readline hears a signal that comes between prompt and wait only with the next key.
        """
        async with asyncio.timeout(WAIT_S):
            while not self._sleeps():
                await asyncio.sleep(0.002)  # nobody tells that a process waits
        self.type(CTRL_C)

    def _sleeps(self) -> bool:
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8")
        return stat.rpartition(")")[2].split()[0] == "S"

    async def until(self, pattern: str) -> re.Match[str]:
        """Wait for it, behind what was awaited before."""
        found = None
        try:
            async with asyncio.timeout(WAIT_S):
                while (found := re.compile(pattern).search(self.shown, self._at)) is None:
                    assert not self._over, f"it ended without {pattern!r}:\n{self.shown}"
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise AssertionError(f"no {pattern!r} in:\n{self.shown[self._at :]}") from None
        self._at = found.end()
        return found

    async def ended(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(WAIT_S):
            while not self._over:
                self._came.clear()
                await self._came.wait()
        return await asyncio.to_thread(self._process.wait)


def _as_in_a_terminal() -> None:
    """What a shell there would give the program: the terminal, and Ctrl-C (tests that run in the
    background inherit that it is ignored)."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
