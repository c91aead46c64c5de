"""One run of a block: what its closures share. The host does what needs a session.

Closures are plain functions on a greenlet of their own; `Host` methods that wait switch to the
event loop and come back with the answer. So a loop costs no coroutine, and nobody else is held up:
every so often a run lets the loop go on (`tick`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from data.plsql.errors import PlError, predefined
from data.plsql.memory import Memory
from data.plsql.output import OutputBuffer
from data.plsql.values import Value
from protocol.pgwire.values import ResultColumn
from protocol.sqltypes import SqlType, StorageRow, StorageValue

TICKS = 500  # iterations and calls between two looks at the clock
SLICE_S = 0.005  # then others have their turn
CALLS_MAX = 180  # calls inside one another; Python's own stack is the limit

Params = Sequence[tuple[SqlType, StorageValue]]


class Rows(Protocol):
    """An open query."""

    columns: tuple[ResultColumn, ...]

    def fetch(self, count: int) -> list[StorageRow]:
        """The next rows, up to `count`; fewer: these are the last."""
        ...

    def close(self) -> None:
        """Give it up."""
        ...


class Host(Protocol):
    """The session a block runs in. Everything may raise GridError."""

    user: str

    def query(
        self, sql: str, types: tuple[SqlType | None, ...], values: Params, owner: str = ""
    ) -> Rows:
        """Open a query, or DML with RETURNING (it is run whole). `owner`: see SqlTemplate."""
        ...

    def execute(
        self, sql: str, types: tuple[SqlType | None, ...], values: Params, owner: str = ""
    ) -> int:
        """Run a statement without rows; how many rows it changed."""
        ...

    def many(
        self,
        sql: str,
        types: tuple[SqlType | None, ...],
        rows: Sequence[Params],
        keep: bool,
        owner: str = "",
    ) -> tuple[list[int], list[tuple[int, Exception]]]:
        """FORALL: counts, and (with keep) what failed by its place, from 1."""
        ...

    def is_block(self, sql: str, owner: str = "") -> bool:
        """Is this text of EXECUTE IMMEDIATE a block or CALL?"""
        ...

    def run_block(self, sql: str, given: list[Value], owner: str = "") -> list[Value]:
        """Run such a text with values for its bind variables; their values after it."""
        ...

    def commit(self) -> None:
        """End the transaction."""
        ...

    def roll_back(self) -> None:
        """Undo the transaction."""
        ...

    def pause(self, seconds: float) -> None:
        """Let others run, or sleep so long (seconds). A cancelled block ends here."""
        ...

    def files_folder(self) -> Path:
        """Of UTL_FILE. Raises PrivilegeError."""
        ...

    def aside(self, work: Callable[[], Any]) -> Any:
        """Do it on a thread. Raises what it raises."""
        ...

    def notice(self, text: str) -> None:
        """Show the client a line."""
        ...


class SqlState:
    """SQL%FOUND and the like."""

    __slots__ = ("bulk", "count", "failed")

    def __init__(self) -> None:
        self.count: int | None = None
        self.bulk: dict[int, int] = {}  # rows of each statement of FORALL, by its index
        self.failed: list[tuple[int, PlError]] = []


class Packages:
    """The package variables of one session; they live until it ends."""

    def __init__(self) -> None:
        self.frames: dict[str, tuple[object, list[Any]]] = {}
        self.output = OutputBuffer()
        self.output_on = True
        self.seed: Any = None
        self.cursors: dict[int, Any] = {}  # of DBMS_SQL
        self.files: dict[int, Any] = {}  # of UTL_FILE
        self.files_opened = 0
        self.memory = Memory()
        self.given_cursors = 0  # to the client

    def close_files(self) -> None:
        """The session ends; on a thread."""
        for file in self.files.values():
            with contextlib.suppress(OSError):
                file.close()


class Context:
    """One run."""

    def __init__(
        self,
        host: Host,
        packages: Packages,
        instantiate: Callable[[str, Context], tuple[object, list[Any]]],
        binds: dict[str, Value],
    ) -> None:
        self.host = host
        self.packages = packages
        self._instantiate = instantiate
        for _, frame in packages.frames.values():
            frame[1] = self
        self.binds = binds
        self.sql = SqlState()
        self.errors: list[PlError] = []  # those that are being handled, the innermost last
        self.depth = 0
        self._ticks = TICKS
        self._slice_s = monotonic() + SLICE_S
        self.line = ""  # what DBMS_OUTPUT.PUT gathers

    def package(self, key: str) -> list[Any]:
        """The frame of a package; made, and initialised, when it is first used."""
        found = self.packages.frames.get(key)
        if found is None:
            found = self._instantiate(key, self)
        return found[1]

    def tick(self) -> None:
        """Call it once per iteration and call."""
        self._ticks -= 1
        if self._ticks < 0:
            self._ticks = TICKS
            if monotonic() >= self._slice_s:
                self.host.pause(0)
                self._slice_s = monotonic() + SLICE_S

    def enter(self) -> None:
        """A call begins. Raises STORAGE_ERROR."""
        self.depth += 1
        if self.depth > CALLS_MAX:
            self.depth -= 1
            raise predefined("STORAGE_ERROR", f": {CALLS_MAX} calls inside one another")
        self.tick()
