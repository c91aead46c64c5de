"""Long statements are compiled in a process of their own, one at a time (compile_process.py)."""

from __future__ import annotations

import asyncio
import pickle
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

import structlog

from data.catalog.catalog import Catalog
from data.exec.compile_process import LENGTH, packed
from data.sql.plan_types import CompiledStatement
from protocol.errors import (
    CancelledError,
    GridError,
    InternalError,
    TooComplexError,
    TooManyStatementsError,
)
from protocol.sqltypes import SqlType

log = structlog.get_logger()

T = TypeVar("T")

INLINE_CHARS_MAX = 4000  # a longer text is compiled elsewhere: about 20 ms of the event loop
COMPILE_TIMEOUT_S = 10.0
WAITING_MAX = 64  # statements that wait for their turn


class Later(Generic[T]):
    """Work before a statement can run, in the shape of an Execution."""

    def __init__(self, work: Coroutine[Any, Any, T], done: Callable[[T | GridError], None]) -> None:
        self._done = done
        self._closed = False
        self._task = asyncio.get_running_loop().create_task(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, T]) -> None:
        result: T | GridError
        try:
            result = await work
        except asyncio.CancelledError:
            result = CancelledError("the statement was cancelled at the client's request")
        except GridError as error:
            result = error
        except Exception as error:
            log.exception("statement.not_prepared")
            result = InternalError(f"{type(error).__name__}: {error}")
        if not self._closed:
            self._done(result)

    def resume(self, max_rows: int) -> None:
        """There are no rows."""

    def cancel(self) -> None:
        """Give up: `done` gets a CancelledError."""
        self._task.cancel()

    def close(self) -> None:
        """Give up silently."""
        self._closed = True
        self._task.cancel()


class CompileProcess:
    """The child, started when it is needed first, and again when it was lost or stopped."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None
        self._catalog: Catalog | None = None  # what the child compiles with
        self._waiting = 0

    @property
    def busy(self) -> bool:
        """True: a statement is being compiled."""
        return self._turn.locked()

    async def compile(
        self,
        catalog: Catalog,
        sql: str,
        declared: tuple[SqlType | None, ...],
        schema: str,
        user: str,
    ) -> CompiledStatement:
        """Raises what the compiler raises, TooComplexError, TooManyStatementsError."""
        if self._waiting >= WAITING_MAX:
            raise TooManyStatementsError(
                "too many long statements wait to be compiled", hint="Retry a little later."
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await self._compile(catalog, (sql, declared, schema, user))
        finally:
            self._waiting -= 1

    async def _compile(self, catalog: Catalog, request: tuple[object, ...]) -> CompiledStatement:
        try:
            async with asyncio.timeout(COMPILE_TIMEOUT_S):
                done, answer = await self._ask(catalog, request)
        except TimeoutError:
            await self.close()
            raise TooComplexError(
                f"the statement was not compiled within {COMPILE_TIMEOUT_S:g} s",
                hint="Split it, or send values as parameters.",
            ) from None
        except (OSError, EOFError) as error:  # it ran out of memory, or somebody killed it
            await self.close()
            log.warning("compile_process.lost", error=type(error).__name__)
            raise TooComplexError(
                "the process that compiled the statement ended",
                hint="Split the statement, or send values as parameters.",
            ) from error
        except asyncio.CancelledError:
            await self.close()
            raise
        if done:
            assert isinstance(answer, CompiledStatement)
            return answer
        raise GridError.from_wire(answer)  # type: ignore[arg-type]

    async def _ask(self, catalog: Catalog, request: tuple[object, ...]) -> tuple[bool, object]:
        child = self._child
        if child is None:
            child = self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "data.exec.compile_process"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                close_fds=True,
            )
        assert child.stdin is not None
        assert child.stdout is not None
        if catalog is not self._catalog:
            child.stdin.write(packed(catalog))
            self._catalog = catalog
        child.stdin.write(packed(request))
        await child.stdin.drain()
        (length,) = LENGTH.unpack(await child.stdout.readexactly(LENGTH.size))
        answer: tuple[bool, object] = pickle.loads(await child.stdout.readexactly(length))
        return answer

    async def close(self) -> None:
        """Stop the child; the next statement starts another one."""
        child, self._child, self._catalog = self._child, None, None
        if child is not None:
            if child.returncode is None:
                child.kill()
            if child.stdin is not None:
                child.stdin.close()
                with suppress(OSError):  # what it had not read is lost, as is meant
                    await child.stdin.wait_closed()
            await child.wait()
