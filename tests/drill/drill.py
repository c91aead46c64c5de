"""One drill on a grid: load, faults, then the verdicts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.drill import faults, workloads
from tests.drill.clients import Client, Recorder, connect
from tests.drill.faults import Driver
from tests.drill.history import Verdict
from tests.drill.memory import Memory
from tests.drill.plan import WITHOUT_ROOT, Kind, plan
from tests.drill.quiet import Gate, Looker
from tests.drill.report import Run
from tests.support.copies import equal_copies, read_elements
from tests.support.real_grid import Observer, RealGrid

CALM_S = 2.0  # load before the first fault and after the last
EQUAL_S = 60.0


@dataclass(frozen=True)
class Wish:
    """What drill is wanted."""

    seed: int
    seconds: float
    command: str = ""
    kinds: tuple[Kind, ...] = WITHOUT_ROOT
    is_paired: bool = True  # two faults at a time now and then
    notes: tuple[str, ...] = ()  # for the report: what this machine cannot do


async def run(
    grid: RealGrid, watch: Observer, wish: Wish, tell: Callable[[str], None] = print
) -> Run:
    """Load and faults for about `seconds`, then all checks. A violation is in the verdicts."""
    recorder = Recorder()
    setup = await connect(grid, grid.addresses()[0])
    try:
        epochs = await workloads.make_tables(setup, wish.seconds)
        levels = await workloads.known_levels(setup)
    finally:
        await setup.close()
    began_s = time.monotonic()

    def say(text: str) -> None:
        tell(f"{time.monotonic() - began_s:7.1f} s  {text}")

    gate = Gate()
    driver = Driver(grid, watch, say)
    looker = Looker(grid, gate, workloads.TABLE_NAMES, lambda: driver.done[-1].what)
    driver.look = looker.look
    memory = Memory(grid)
    load = workloads.Load(began_s, levels, epochs, gate, Kind.DISK in wish.kinds)
    verdicts = await _under_load(driver, memory, recorder, load, wish)
    ended_s = time.monotonic()
    say(f"{len(recorder.history)} operations; comparing copies, judging the history")
    verdicts += await asyncio.to_thread(_judge, grid, recorder, load)
    verdicts += [*looker.verdicts(), memory.verdict()]
    return Run(
        *(wish.seed, wish.seconds, grid.plan.k, grid.plan.data, began_s, ended_s, wish.command),
        *(levels, recorder, driver.done, verdicts, memory.samples, wish.notes, gate.held),
    )


async def _under_load(
    driver: Driver, memory: Memory, recorder: Recorder, load: workloads.Load, wish: Wish
) -> list[Verdict]:
    """The clients work while the faults are done; whether the grid healed each time."""
    stop = asyncio.Event()
    until_s = load.began_s + wish.seconds - CALM_S
    some = plan(
        wish.seed,
        count=1000,
        kinds=wish.kinds,
        sets=len(driver.watch.replica_sets),
        is_paired=wish.is_paired,
    )
    wrong: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(memory.watch())
        for number, work in enumerate(workloads.clients()):
            client = Client(number, driver.grid, recorder, wish.seed)
            tasks.create_task(workloads.run(client, load, work, stop))
        try:
            await asyncio.sleep(CALM_S)  # load before the first fault
            await driver.run(some, until_s)
            left_s = load.began_s + wish.seconds - time.monotonic()
            await asyncio.sleep(max(CALM_S, left_s))  # load after the last fault
            await driver.watch.whole(faults.HEAL_S)
        except Exception as error:  # a drill always ends with a report
            wrong += [f"{_last(driver)}: {found}" for found in _each(error)]
        finally:
            stop.set()
            watching.cancel()
    return [Verdict("the grid heals after each fault", len(driver.done), tuple(wrong))]


def _each(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [text for inner in error.exceptions for text in _each(inner)]
    return [str(error) if isinstance(error, AssertionError) else repr(error)]


def _last(driver: Driver) -> str:
    return driver.done[-1].what if driver.done else "at the beginning"


def _judge(grid: RealGrid, recorder: Recorder, load: workloads.Load) -> list[Verdict]:
    wrong: tuple[str, ...] = ()
    try:
        elements = equal_copies(grid, EQUAL_S)
    except AssertionError as error:
        wrong = tuple(str(error).splitlines())
        elements = read_elements(grid)
    equal = Verdict("copies are equal, nothing is in doubt", len(elements), wrong)
    try:
        return [equal, *workloads.judge(recorder, elements, load)]
    except (KeyError, IndexError, ValueError) as error:  # a table that is not in every element
        return [equal, Verdict("the elements can be read", len(elements), (repr(error),))]
