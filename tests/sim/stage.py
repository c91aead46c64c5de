"""A whole grid at rest, for scenarios: act on it step by step, then see that nothing is broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

from data.database import Database
from tests.sim.grid import SimGrid, Site
from tests.sim.guarantees import Guarantees
from tests.sim.loop import SimLoop
from tests.sim.simulation import template
from tests.sim.sql import ConnectionLostError, SqlConnection, SqlError

WHOLE_S = 40.0


class Stage:
    """Made by `staged`."""

    def __init__(self, grid: SimGrid) -> None:
        self.grid = grid
        self.scheduler = grid.scheduler
        self.guarantees = Guarantees(grid)
        self.loop = SimLoop(grid.scheduler, "clients")

    # -- time -------------------------------------------------------------------------------------
    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.scheduler.run_until(self.scheduler.now + seconds)

    def until(self, condition: Callable[[], Any], within_s: float = WHOLE_S) -> None:
        """Let time pass until something is so."""
        end_s = self.scheduler.now + within_s
        assert self.scheduler.run_until(end_s, lambda: bool(condition())), self.grid.trace[-20:]

    def wait(self, work: Any, within_s: float = 100.0) -> Any:
        """Run a client's coroutine to its end."""
        task = self.loop.spawn(work)
        self.until(task.done, within_s)
        return task.result()

    def background(self, work: Any) -> Any:
        """Begin a client's coroutine."""
        return self.loop.spawn(work)

    # -- who is who -------------------------------------------------------------------------------
    def lead(self, rs: int) -> Site:
        """The host whose element leads the set now."""
        return next(s for s, d in self.grid.databases() if d.writer.leading and d.writer.rs == rs)

    def copies(self, rs: int) -> list[Site]:
        """The other hosts of the set."""
        return [s for s, d in self.grid.databases() if d.writer.rs == rs and not d.writer.leading]

    def database(self, site: Site) -> Database:
        """Its database."""
        assert site.database is not None
        return site.database

    def account(self, rs: int) -> int:
        """A bank account in that set."""
        rows = self.database(self.lead(rs)).element.read('SELECT ID FROM "TERRY.BANK" ORDER BY ID')
        return int(str(rows[0][0]))

    def balance(self, account: int) -> int:
        """As the leads have it."""
        for _, database in self.grid.databases():
            if database.writer.leading:
                rows = database.element.read(
                    'SELECT BALANCE FROM "TERRY.BANK" WHERE ID = ?', (account,)
                )
                if rows:
                    return int(str(rows[0][0]))
        raise AssertionError(f"no account {account}")

    def connect(self, site: Site) -> SqlConnection:
        """A client's connection there."""
        connection = SqlConnection(self.grid, site, self.loop)
        self.wait(connection.open(5.0))
        return connection

    async def pay(self, connection: SqlConnection, account: int, amount: int) -> None:
        """One statement of a transaction."""
        await connection.execute(
            "UPDATE bank SET balance = balance + $1 WHERE id = $2", amount, account
        )

    def hold(self, site: Site, kind: type) -> list[tuple[Any, Any]]:
        """Requests of this type that reach the host are kept, as (message, request)."""
        assert site.rpc is not None
        held: list[tuple[Any, Any]] = []
        table = site.rpc._handlers.by_type
        table[kind] = lambda message, request: held.append((message, request))
        return held

    def finish(self) -> None:
        """Everything runs again and comes to rest: nothing is left, nothing differs or is torn."""
        grid = self.grid
        grid.network.heal_all()
        grid.ensemble.heal_all()
        for site in grid.sites:
            grid.resume(site)
            grid.start(site)
        self.until(grid.is_whole)
        guarantees = self.guarantees
        end_s = self.scheduler.now + 90.0
        while left := (guarantees.leftovers() + guarantees.differences() + guarantees.misplaced()):
            assert self.scheduler.now < end_s, left
            self.run(0.25)
        problems = [*grid.problems, *guarantees.torn_epochs()]
        assert not problems, problems


@contextmanager
def staged(seed: int = 0, k: int = 2, sets: int = 2) -> Generator[Stage]:
    """A grid of its own, whole; afterwards it must be whole again."""
    grid = SimGrid(seed, k, sets, template(k, sets))
    with grid.running():
        stage = Stage(grid)
        grid.after_turn = stage.guarantees.look
        for site in grid.sites:
            grid.start(site)
        stage.until(grid.is_whole)
        yield stage
        stage.finish()


async def outcome(work: Awaitable[Any]) -> str:
    """ "" if it was done, else the SQLSTATE, or "lost"."""
    try:
        await work
    except SqlError as error:
        return error.state
    except ConnectionLostError:
        return "lost"
    return ""
