"""One seed: a grid, clients, faults, peace, the verdict."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field
from functools import cache

from data.storage.element import Element
from tests.drill.history import Outcome
from tests.sim import load
from tests.sim.blackout import Blackouts
from tests.sim.faults import Faults
from tests.sim.grid import SimGrid, Template, make_template
from tests.sim.guarantees import Guarantees
from tests.sim.loop import SimLoop
from tests.sim.patches import SMALL, small_limits

SHAPES = ((2, 2), (2, 2), (2, 1), (3, 1), (1, 2), (3, 2))  # k, sets
FAULTS_S = 6.0  # virtual seconds with faults
WHOLE_S = 40.0  # then the grid must be whole again within
QUIET_S = 120.0  # and nothing may be left of any transaction after


@dataclass
class Result:
    """What became of a seed."""

    seed: int
    shape: tuple[int, int]
    problems: list[str] = field(default_factory=list)
    trace: list[tuple[float, str, str]] = field(default_factory=list)
    operations: int = 0
    acknowledged: int = 0
    unknown: int = 0
    faults: int = 0
    blackouts: int = 0
    takeovers: int = 0
    epochs: int = 0
    turns: int = 0
    virtual_s: float = 0.0

    def fingerprint(self) -> int:
        """Equal for equal runs."""
        return zlib.crc32(
            "\n".join(f"{t:.9f} {who} {what}" for t, who, what in self.trace).encode()
        )


@cache
def template(k: int, sets: int) -> Template:
    """Made once per process."""
    return make_template(k, sets, load.fill)


def play(seed: int, shape: tuple[int, int] | None = None) -> Result:
    """One whole life. Nothing is raised for a violation: it is in the result."""
    k, sets = shape or SHAPES[seed % len(SHAPES)]
    result = Result(seed, (k, sets))
    grid = SimGrid(seed, k, sets, template(k, sets))
    chance = random.Random(f"limits {seed}")
    chosen = [name for name in SMALL if chance.random() < 0.3]
    with small_limits(chosen if chance.random() < 0.6 else []), grid.running():
        try:
            grid.note("limits", ", ".join(chosen))
            _live(grid, result)
        except Exception as error:
            grid.problem(f"the simulation broke: {error!r}")
            raise
        finally:
            result.problems = grid.problems
            result.trace = grid.trace
            result.turns = grid.scheduler.turns
            result.virtual_s = grid.scheduler.now - 1000.0
    return result


def _live(grid: SimGrid, result: Result) -> None:
    scheduler, rng = grid.scheduler, grid.scheduler.rng
    guarantees = Guarantees(grid)
    grid.after_turn = guarantees.look
    grid.log_bytes_kept = rng.choice((0, 0, 3_000, 15_000))
    for site in grid.sites:
        scheduler.later(rng.uniform(0.0, 0.3), lambda s=site: grid.start(s))
    if not scheduler.run_until(scheduler.now + WHOLE_S, grid.is_whole):
        grid.problem("the grid did not start")
        return
    until_s = scheduler.now + FAULTS_S
    recorder = load.Recorder()
    loop = SimLoop(scheduler, "clients")
    works = [w for w in load.WORKS if rng.random() < 0.7] or [load.transfer]
    if rng.random() < 0.25:
        works += load.RARE_WORKS
    think_s = rng.choice((0.01, 0.05, 0.15))
    clients = [load.Client(n, grid, loop, recorder) for n in range(rng.randint(2, 6))]
    for client in clients:
        loop.spawn(client.run(works, until_s + 1.0, think_s), f"client {client.number}")
    faults = Faults(grid, until_s, rng.choice((0.1, 0.3, 0.8)))
    blackouts = Blackouts(grid, guarantees)
    for _ in range(random.Random(f"blackouts {grid.seed}").choice((0, 0, 0, 1, 1, 2))):
        scheduler.later(rng.uniform(0.5, FAULTS_S), blackouts.strike)
    _until_problem(grid, until_s)
    faults.heal()
    _peace(grid, guarantees, clients)
    result.operations = len(recorder.history)
    result.acknowledged = sum(o.outcome is Outcome.OK for o in recorder.history)
    result.unknown = sum(o.outcome is Outcome.UNKNOWN for o in recorder.history)
    result.faults, result.takeovers = faults.count, guarantees.takeovers
    result.blackouts = len(blackouts.struck)
    if grid.problems:
        return
    for text in [
        *guarantees.differences(),
        *guarantees.misplaced(),
        *guarantees.torn_epochs(),
    ]:
        grid.problem(text)
    result.epochs = guarantees.epochs
    receipts = [int(str(number)) for (number,) in _rows(grid, "RECEIPTS", "ID")]
    verdicts = [blackouts.check_cut(recorder.history, receipts)]
    recorder.history = blackouts.as_promised(recorder.history)
    for verdict in verdicts + load.judge(recorder, lambda *words: _rows(grid, *words)):
        if verdict.is_promised:
            for text in verdict.violations:
                grid.problem(f"{verdict.checker}: {text}")


def _until_problem(grid: SimGrid, until_s: float) -> None:
    grid.scheduler.run_until(until_s, lambda: bool(grid.problems))


def _peace(grid: SimGrid, guarantees: Guarantees, clients: list[load.Client]) -> None:
    """Everything must come to rest by itself."""
    scheduler = grid.scheduler

    def stop() -> bool:
        return bool(grid.problems)

    if grid.problems:
        return
    began_s = scheduler.now
    if not scheduler.run_until(began_s + WHOLE_S, lambda: stop() or grid.is_whole()):
        roles = [(s.number, d.member.role) for s, d in grid.databases()]
        grid.problem(f"the grid is not whole {WHOLE_S} s after the last fault: {roles}")
        return
    done = scheduler.run_until(
        began_s + QUIET_S, lambda: stop() or all(client.done for client in clients)
    )
    if not done:
        waiting = [client.number for client in clients if not client.done]
        grid.problem(f"clients {waiting} are not answered")
        return
    look_s = scheduler.now
    while scheduler.now < began_s + QUIET_S and not grid.problems:
        look_s += 0.25
        scheduler.run_until(look_s, stop)
        if (
            not guarantees.leftovers()
            and grid.is_whole()
            and not guarantees.differences()
            and not guarantees.misplaced()
        ):
            return
    for text in guarantees.leftovers():
        grid.problem(f"left over: {text}")


def _rows(grid: SimGrid, table: str, *columns: str) -> list[tuple[object, ...]]:
    """The rows of one whole copy: what the leads have."""
    names = ", ".join(f'"{column}"' for column in columns)
    elements: list[Element] = [d.element for _, d in grid.databases() if d.writer.leading]
    return [row for e in elements for row in e.read(f'SELECT {names} FROM "TERRY.{table}"')]
