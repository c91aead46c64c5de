"""Jobs on data instances (protocol/messages/backup.py): started together, watched, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import structlog

from mgmt.service.context import Management
from protocol.clock import boottime_s
from protocol.errors import (
    DeadlineError,
    GridError,
    PeerLostError,
    PeerUnreachableError,
)
from protocol.messages import backup as m
from protocol.rpc.node import RpcNode

log = structlog.get_logger(__name__)

T = TypeVar("T")
CONNECT_S = 5.0
ANSWER_S = 30.0
STOP_S = 60.0  # a thread ends after the piece in hand, the removal of an image takes its time
POLL_S = 0.2
AWAY_S = 30.0  # so long an instance may not answer before its job counts as lost
AWAY = (PeerUnreachableError, PeerLostError, DeadlineError)

Watcher = Callable[[int, m.JobReport], None]  # key of the job, how it is


async def together(works: Mapping[int, Coroutine[Any, Any, T]]) -> dict[int, T]:
    """Do them at once; the first error ends the others and is raised as it is."""
    tasks = {key: asyncio.create_task(work) for key, work in works.items()}
    try:
        await asyncio.gather(*tasks.values())
    except BaseException:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        raise
    return {key: task.result() for key, task in tasks.items()}


class DataJobs:
    """Calls to data instances."""

    def __init__(self, management: Management) -> None:
        self._management = management

    def _rpc(self) -> RpcNode:
        rpc = self._management.rpc
        assert rpc is not None
        return rpc

    async def call(self, instance: str, message: Any, timeout_s: float = ANSWER_S) -> Any:
        """Ask one instance. Raises GridErrors that name it."""
        try:
            peer = await self._rpc().wait_connected(instance, CONNECT_S)
            return await peer.call(message, timeout_s)
        except AWAY as error:
            raise type(error)(f"{instance} does not answer: {error.message}") from error

    async def run(
        self, jobs: Mapping[int, tuple[str, Any]], watch: Watcher, at_once: int = 0
    ) -> dict[int, m.JobReport]:
        """Start a job each (instance, message), wait until all are done; their last reports.

        No more than `at_once` at a time; 0: all.

        Raises the error of the first one that fails, naming its instance; the others go on then:
        `stop` them.
        """
        room = asyncio.Semaphore(at_once or len(jobs) or 1)

        async def one(key: int, instance: str, message: Any) -> m.JobReport:
            async with room:
                return await self._one(key, instance, message, watch)

        return await together(
            {key: one(key, instance, message) for key, (instance, message) in jobs.items()}
        )

    async def _one(self, key: int, instance: str, message: Any, watch: Watcher) -> m.JobReport:
        await self._management.secured()  # what it is done for must outlive this instance
        life = self._life(instance)
        report: m.JobReport = await self.call(instance, message)
        heard_s = boottime_s()
        while report.state == m.RUNNING:
            watch(key, report)
            await asyncio.sleep(POLL_S)
            if self._life(instance) != life:
                raise PeerLostError(
                    f"{instance} stopped meanwhile", hint="Repeat the command when it is back."
                )
            try:
                report = await self.call(instance, m.AskJob(message.job))
                heard_s = boottime_s()
            except AWAY:
                if boottime_s() - heard_s > AWAY_S:
                    raise
        watch(key, report)
        if report.state == m.FAILED:
            assert report.error is not None
            error = GridError.from_wire(report.error)
            error.message = f"{instance}: {error.message}"
            raise error
        if report.state != m.DONE:
            raise PeerLostError(
                f"{instance} was restarted meanwhile", hint="Repeat the command when it is back."
            )
        return report

    def _life(self, instance: str) -> str:
        """Names one start of the instance's process; "": it does not run."""
        membership = self._management.membership
        info = membership.view().instances.get(instance) if membership else None
        return info.incarnation if info else ""

    async def stop(self, prefix: str, instances: Iterable[str]) -> None:
        """End all jobs of this name on these instances; who is away has none any more."""
        names = sorted(set(instances))
        answers = await asyncio.gather(
            *(self.call(name, m.StopJobs(prefix), STOP_S) for name in names),
            return_exceptions=True,
        )
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, BaseException):
                log.warning("jobs.not_stopped", instance=name, error=str(answer))
