"""Long work that management started on this instance, by name: how it gets on, how it is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from protocol.errors import GridError, InternalError
from protocol.messages.backup import (
    DONE,
    FAILED,
    RUNNING,
    UNKNOWN,
    FileFacts,
    JobReport,
    SetFacts,
)

log = structlog.get_logger(__name__)
KEPT_MAX = 200  # ended jobs that are remembered


@dataclass(slots=True)
class Told:
    """How far a job is; the work itself counts."""

    done_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What a job made."""

    facts: SetFacts | None = None
    files: tuple[FileFacts, ...] = ()


Work = Callable[[Told], Awaitable[Result]]


@dataclass(slots=True)
class _Job:
    told: Told
    task: asyncio.Task[Result]


class JobBook:
    """The jobs of one data instance."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}

    def start(self, name: str, work: Work) -> JobReport:
        """Begin it, unless a job of that name is known; how it is."""
        if name not in self._jobs:
            self._prune()
            told = Told()
            task = asyncio.create_task(_run(name, work(told)), name=f"job {name}")
            self._jobs[name] = _Job(told, task)
        return self.report(name)

    def report(self, name: str) -> JobReport:
        """How a job is."""
        job = self._jobs.get(name)
        if job is None:
            return JobReport(name, UNKNOWN)
        done, total = job.told.done_bytes, job.told.total_bytes
        if not job.task.done():
            return JobReport(name, RUNNING, done, total)
        if job.task.cancelled():
            return JobReport(name, UNKNOWN)
        error = job.task.exception()
        if error is not None:
            assert isinstance(error, GridError)
            return JobReport(name, FAILED, done, total, error=error.to_wire())
        result = job.task.result()
        return JobReport(name, DONE, done, total, result.facts, result.files)

    async def stop(self, prefix: str) -> int:
        """End the jobs whose names begin so, and forget them; how many there were."""
        names = [name for name in self._jobs if name.startswith(prefix)]
        tasks = [self._jobs.pop(name).task for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(names)

    def _prune(self) -> None:
        ended = [name for name, job in self._jobs.items() if job.task.done()]
        for name in ended[: max(0, len(ended) - KEPT_MAX)]:
            del self._jobs[name]


async def _run(name: str, work: Awaitable[Result]) -> Result:
    try:
        return await work
    except GridError as error:
        log.warning("job.failed", job=name, error=error.message)
        raise
    except Exception as error:
        log.exception("job.crashed", job=name)
        raise InternalError(f"{type(error).__name__}: {error}") from error
