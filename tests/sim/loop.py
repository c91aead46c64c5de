"""Virtual time: one scheduler for a whole world, one event loop per simulated process.

`Scheduler` owns the clock and all chance; a `SimLoop` is an asyncio event loop whose turns are
events of the scheduler. So a process can be paused (its callbacks wait, its timers come late),
and killed (nothing of it runs any more), at any instant between two turns. Threads do not exist:
what real code gives to an executor runs whole, some virtual milliseconds later.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.sim.network import Network

START_S = 1000.0
TURN_S = 40e-6  # at most so long after something came does a loop have its turn
THREAD_S = (0.0002, 0.004)  # how long work on a thread takes

Action = Callable[[], None]


class Scheduler:
    """The clock, what will happen, and the dice. Everything follows from the seed."""

    current: Scheduler | None = None  # whose virtual time the patched clocks show

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = START_S
        self.turns = 0
        self.over = False
        self.loops: list[SimLoop] = []
        self.problem: Callable[[str], None] = print
        self._heap: list[tuple[float, int, Action]] = []
        self._order = itertools.count()

    def at(self, when_s: float, action: Action) -> None:
        """Do it then (at once, behind what is due already, if that is over)."""
        heapq.heappush(self._heap, (max(when_s, self.now), next(self._order), action))

    def later(self, delay_s: float, action: Action) -> None:
        """Do it after a while."""
        heapq.heappush(self._heap, (self.now + delay_s, next(self._order), action))

    def run_until(self, when_s: float, stop: Callable[[], bool] | None = None) -> bool:
        """Let time pass; True if `stop` became true first."""
        heap = self._heap
        while heap and heap[0][0] <= when_s:
            self.now, _, action = heapq.heappop(heap)
            action()
            if stop is not None and stop():
                return True
        self.now = max(self.now, when_s)
        return False

    @contextmanager
    def ruling(self) -> Generator[None]:
        """The patched clocks show this scheduler's time; abandoned generators end on their loop."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._end_generator)
        Scheduler.current = self
        try:
            yield
        finally:
            self.over = True
            for loop in self.loops:
                loop.kill()
            for loop in self.loops:
                loop.bury()
            sys.set_asyncgen_hooks(*hooks)
            Scheduler.current = None

    def _end_generator(self, generator: Any) -> None:
        loop = events._get_running_loop()
        if isinstance(loop, SimLoop) and not loop.dead:
            loop.create_task(generator.aclose())


class SimTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address."""

    _serials = itertools.count(1)

    def __new__(cls, *_args: Any, **_words: Any) -> SimTask:
        made = super().__new__(cls)
        made.serial = next(cls._serials)
        return made

    serial: int

    def __hash__(self) -> int:
        return self.serial


class SimLoop(asyncio.AbstractEventLoop):
    """The event loop of one life of one process on `host`."""

    def __init__(self, scheduler: Scheduler, host: str, network: Network | None = None) -> None:
        self.scheduler = scheduler
        self.host = host
        self.network = network
        self.dead = False
        self.paused = False
        self.after_turn: Action | None = None  # looks at what the turn did
        self.alive_tasks: dict[int, SimTask] = {}
        self._ready: deque[asyncio.Handle] = deque()
        self._input: list[asyncio.Handle] = []  # came while paused
        self._late: list[asyncio.Handle] = []  # timers that ran out while paused
        self._turn_due = False
        self._random = scheduler.rng.random
        scheduler.loops.append(self)

    # -- turns ------------------------------------------------------------------------------------
    def _wake(self) -> None:
        if not self._turn_due and not self.paused:
            self._turn_due = True
            self.scheduler.later(TURN_S * self._random(), self._turn)

    def _turn(self) -> None:
        self._turn_due = False
        if self.paused or self.dead:
            return
        ready = self._ready
        events._set_running_loop(self)
        try:
            for _ in range(len(ready)):
                if not ready:
                    break
                handle = ready.popleft()
                if not handle._cancelled:  # type: ignore[attr-defined]
                    handle._run()
        finally:
            events._set_running_loop(None)
        self.scheduler.turns += 1
        if ready:
            self._wake()
        if self.after_turn is not None:
            self.after_turn()

    @contextmanager
    def running(self) -> Generator[None]:
        """Code of this process runs."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(before)

    def deliver(self, function: Callable[..., Any], *args: Any) -> None:
        """Something reaches the process from outside: a socket is readable."""
        if self.dead:
            return
        handle = asyncio.Handle(function, args, self)
        if self.paused:
            self._input.append(handle)
        else:
            self._ready.append(handle)
            self._wake()

    def pause(self) -> None:
        """SIGSTOP."""
        self.paused = True

    def resume(self) -> None:
        """SIGCONT: what arrived meanwhile comes first, then the timers, all late."""
        self.paused = False
        self._ready.extend(self._input)
        self._ready.extend(self._late)
        self._input.clear()
        self._late.clear()
        if self._ready and not self.dead:
            self._wake()

    def kill(self) -> None:
        """SIGKILL: nothing runs here any more."""
        self.dead = True
        self._ready.clear()
        self._input.clear()
        self._late.clear()

    def bury(self) -> None:
        """At the end of the world: let go of what the dead process was doing, without a word."""
        while self.alive_tasks:  # what is closed may begin something more: it never runs
            _, task = self.alive_tasks.popitem()
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(BaseException), self.running():
                task.get_coro().close()  # type: ignore[union-attr]
        self.kill()

    # -- AbstractEventLoop ------------------------------------------------------------------------
    def time(self) -> float:
        return self.scheduler.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self.dead

    def is_closed(self) -> bool:
        return self.dead

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self._ready.append(handle)
            self._wake()
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.scheduler.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.dead:
            self.scheduler.at(when, partial(self._ran_out, handle))
        return handle

    def _ran_out(self, handle: asyncio.TimerHandle) -> None:
        if self.dead or handle._cancelled:  # type: ignore[attr-defined]
            return
        if self.paused:
            self._late.append(handle)
        else:
            self._ready.append(handle)
            self._wake()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        task = SimTask(coro, loop=self, name=name, context=context)
        self.alive_tasks[task.serial] = task
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: Any) -> None:
        self.alive_tasks.pop(task.serial, None)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        future = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except BaseException as error:
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

        self.call_later(self.scheduler.rng.uniform(*THREAD_S), work)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not self.dead and not self.scheduler.over:
            self.scheduler.problem(f"{self.host}: {context.get('message')}: {error!r}")

    async def create_connection(self, protocol_factory: Any, *args: Any, **words: Any) -> Any:
        assert self.network is not None
        return await self.network.connect(self, protocol_factory, *args)

    async def create_server(self, protocol_factory: Any, *args: Any, **_words: Any) -> Any:
        assert self.network is not None
        return self.network.listen(self, protocol_factory, *args)

    async def create_unix_server(self, protocol_factory: Any, path: Any = None, **_w: Any) -> Any:
        assert self.network is not None
        return self.network.listen_local(self, protocol_factory, Path(path))

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        """A task of this process, begun from outside of it."""
        return self.create_task(coroutine, name=name)


class _Later(Future[Any]):
    """What SimExecutor does later."""

    def __init__(self, fn: Callable[[], Any]) -> None:
        super().__init__()
        self._fn = fn

    def work(self) -> None:
        """Do it, unless it is done."""
        if self.done():
            return
        try:
            self.set_result(self._fn())
        except Exception as error:
            self.set_exception(error)


def finish_now(futures: list[_Later], timeout: float) -> None:
    """In the place of concurrent.futures.wait: who waits for a thread lets it do its work."""
    for future in futures:
        future.work()


class SimExecutor(Executor):
    """In the place of ThreadPoolExecutor: work is done a little later, by the loop."""

    def __init__(self, *_args: Any, **_words: Any) -> None:
        pass

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = _Later(partial(fn, *args, **kwargs))
        asyncio.get_running_loop().call_later(THREAD_S[0], future.work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass
