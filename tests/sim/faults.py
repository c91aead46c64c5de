"""What is done to a simulated grid: a seeded sequence of faults, and the end of all faults."""

from __future__ import annotations

from collections.abc import Callable

from data.storage.element import Element
from protocol.errors import GridError
from protocol.messages.moving import MoveBuckets
from tests.sim.grid import DATABASE, RESTART_S, SESSION_TIMEOUT_S, SimGrid, Site

T = SESSION_TIMEOUT_S


class Faults:
    """Does something every now and then, until `until_s`."""

    def __init__(self, grid: SimGrid, until_s: float, pause_s: float) -> None:
        """pause_s: the mean time between two faults."""
        self.grid = grid
        self.until_s = until_s
        self.count = 0
        self._pause_s = pause_s
        self._rng = grid.scheduler.rng
        kinds: list[tuple[int, Callable[[], None]]] = [
            (4, self.kill),
            (2, self.kill_silently),
            (2, self.power_cut),
            (4, self.pause),
            (4, self.cut_link),
            (2, self.cut_off),
            (3, self.reset),
            (2, self.cut_from_servers),
            (1, self.lose_quorum),
            (1, self.expire),
            (1, self.slow_view),
            (3, self.stop_in_order),
            (2, self.kill_twice),
            (4, self.move),
        ]
        # Each seed likes some kinds more than others.
        self._weights = [weight * self._rng.choice((0.2, 1.0, 3.0)) for weight, _ in kinds]
        self._kinds = [kind for _, kind in kinds]
        grid.network.slow_share = self._rng.choice((0.0, 0.0, 0.02, 0.1))
        grid.network.split_share = self._rng.choice((0.0, 0.05))
        grid.ensemble.fates = self._rng.choice((0.0, 0.1, 0.4))
        if self._rng.random() < 0.4:
            self._move_on()
        self._next()

    def _next(self) -> None:
        wait_s = self._rng.expovariate(1 / self._pause_s)
        self.grid.scheduler.later(wait_s, self._strike)

    def _strike(self) -> None:
        if self.grid.scheduler.now >= self.until_s:
            return
        kind = self._rng.choices(self._kinds, self._weights)[0]
        self.grid.note("fault", kind.__name__)
        self.count += 1
        kind()
        self._next()

    def heal(self) -> None:
        """All faults end."""
        grid = self.grid
        grid.note("fault", "all is healed")
        grid.network.slow_share = grid.network.split_share = 0.0
        grid.network.heal_all()
        grid.ensemble.heal_all()
        for site in grid.sites:
            grid.resume(site)
            if not site.up:
                grid.start(site)

    def move(self) -> None:
        """Buckets go from one replica set to another, while everything else happens."""
        leads = [s for s in self.grid.sites if s.database is not None and s.database.writer.leading]
        if not leads or self.grid.sets < 2:
            return
        site = self._rng.choice(leads)
        assert site.database is not None and site.loop is not None
        source = site.database.writer.rs
        target = self._rng.choice([n for n in range(1, self.grid.sets + 1) if n != source])
        own = site.database.writer.ownership.buckets()
        used = buckets_with_rows(site.database.element)
        count = self._rng.choice((1, 5, len(used)))
        chosen = self._rng.sample(used, min(count, len(used)))
        first = self._rng.randrange(max(1, len(own)))
        some = tuple({*chosen, *own[first : first + 20]})
        site.loop.deliver(self._begin_move, site, MoveBuckets(DATABASE, source, target, some))

    def _move_on(self) -> None:
        """In some seeds buckets move all the time."""
        if self.grid.scheduler.now < self.until_s:
            self.move()
            self.grid.scheduler.later(self._rng.uniform(0.1, 0.6), self._move_on)

    def _begin_move(self, site: Site, message: MoveBuckets) -> None:
        assert site.loop is not None
        site.loop.spawn(self._moving(site, message), "move")

    async def _moving(self, site: Site, message: MoveBuckets) -> None:
        if site.database is None:
            return
        moving = site.database.moving
        try:
            moved = await moving.run(moving.mover.move(message))
        except GridError as error:
            self.grid.note(site.name, f"buckets were not moved: {error.message}")
        else:
            self.grid.note(site.name, f"{moved.rows} rows were moved, {len(moved.left)} left")

    # -- kinds ------------------------------------------------------------------------------------
    def _a_site(self) -> Site | None:
        up = [site for site in self.grid.sites if site.up]
        return self._rng.choice(up) if up else None

    def _restart_later(self, site: Site) -> None:
        if self._rng.random() < 0.8:
            wait_s = self._rng.uniform(*RESTART_S)
        else:
            wait_s = self._rng.uniform(0.0, 3 * T)
        self.grid.scheduler.later(wait_s, lambda: self.grid.start(site))

    def kill(self) -> None:
        """SIGKILL; the supervisor sees it."""
        if site := self._a_site():
            self.grid.kill(site, silent=False)
            self._restart_later(site)

    def kill_silently(self) -> None:
        """The whole host goes: nobody tells."""
        if site := self._a_site():
            self.grid.kill(site, silent=True)
            self._restart_later(site)

    def kill_twice(self) -> None:
        """A daemon dies again while it comes back."""
        if site := self._a_site():
            self.grid.kill(site, silent=False)
            wait_s = self._rng.uniform(0.0, 0.1)
            self.grid.scheduler.later(wait_s, lambda: self.grid.start(site))
            again_s = wait_s + self._rng.uniform(0.0, 0.3)

            def again() -> None:
                if site.up:
                    self.grid.kill(site, silent=False)
                    self._restart_later(site)

            self.grid.scheduler.later(again_s, again)

    def power_cut(self) -> None:
        """Unflushed files are cut; only where the promise of Durability=0 covers it."""
        site = self._a_site()
        if site is None or not self._may_lose_power(site):
            return
        self.grid.kill(site, silent=True, power=True)
        self._restart_later(site)

    def _may_lose_power(self, site: Site) -> bool:
        """Another copy in sync has all and keeps its power, or this one flushes each commit."""
        database = site.database
        if database is None:
            return False
        state = self.grid.ensemble.facts.sets.get((DATABASE, database.writer.rs))
        if state is None:
            return False
        others = [s for s in self.grid.sites if s.number in state.in_sync and s is not site]
        if any(s.database is None or s.database.element.needs_recovery for s in others):
            return False
        return bool(others) or database.element._full

    def pause(self) -> None:
        """SIGSTOP, SIGCONT."""
        if site := self._a_site():
            self.grid.pause(site)
            life = site.life
            wait_s = self._rng.choice((0.05, 0.5 * T, T, 2.5 * T)) * self._rng.uniform(0.3, 1.5)

            def go_on() -> None:
                if site.life == life:
                    self.grid.resume(site)

            self.grid.scheduler.later(wait_s, go_on)

    def _cut(self, pairs: list[tuple[Site, Site]]) -> None:
        for one, other in pairs:
            self.grid.note("fault", f"cut {one.name} to {other.name}")
            self.grid.network.cut(one.host, other.host)

        def heal() -> None:
            for one, other in pairs:
                self.grid.network.heal(one.host, other.host)

        self.grid.scheduler.later(self._rng.uniform(0.05, 4 * T), heal)

    def cut_link(self) -> None:
        """Between two hosts, of one set more often than not; sometimes one way only."""
        sites = self.grid.sites
        one = self._rng.choice(sites)
        peers = [s for s in sites if s is not one]
        mine = [
            s for s in peers if (s.number - 1) // self.grid.k == (one.number - 1) // self.grid.k
        ]
        other = self._rng.choice(mine if mine and self._rng.random() < 0.6 else peers)
        way = self._rng.choice((1, 2, 3, 3))
        pairs = [(one, other)] if way & 1 else []
        pairs += [(other, one)] if way & 2 else []
        self._cut(pairs)

    def cut_off(self) -> None:
        """One host from all others; the membership servers stay in reach, or do not."""
        one = self._rng.choice(self.grid.sites)
        others = [s for s in self.grid.sites if s is not one]
        self._cut([pair for s in others for pair in ((one, s), (s, one))])
        if self._rng.random() < 0.5:
            self.cut_from_servers(one)

    def reset(self) -> None:
        """Connections between two hosts break."""
        one, other = self._rng.sample(self.grid.sites, 2)
        self.grid.network.reset(one.host, other.host)

    def cut_from_servers(self, site: Site | None = None) -> None:
        """A host does not reach the membership servers."""
        host = (site or self._rng.choice(self.grid.sites)).host
        self.grid.ensemble.cut(host)
        wait_s = self._rng.uniform(0.05, 3 * T)
        self.grid.scheduler.later(wait_s, lambda: self.grid.ensemble.heal(host))

    def lose_quorum(self) -> None:
        """Nobody is answered."""
        self.grid.ensemble.set_quorum(False)
        wait_s = self._rng.uniform(0.05, 2 * T)
        self.grid.scheduler.later(wait_s, lambda: self.grid.ensemble.set_quorum(True))

    def expire(self) -> None:
        """The servers end a session of somebody who is well."""
        self.grid.ensemble.expire(self._rng.choice(self.grid.sites).host)

    def slow_view(self) -> None:
        """A host hears late of what changes."""
        host = self._rng.choice(self.grid.sites).host
        views = self.grid.ensemble.slow_views
        views.symmetric_difference_update({host})

    def stop_in_order(self) -> None:
        """SIGTERM and start again; SIGKILL when it takes too long."""
        site = self._a_site()
        if site is None or site.instance is None or site.loop is None or site.loop.paused:
            return
        life = site.life
        site.loop.deliver(self._begin_stop, site)

        def end() -> None:
            if site.life == life and site.up:
                self.grid.kill(site, silent=False)
            self.grid.start(site)

        self.grid.scheduler.later(self._rng.uniform(0.5, 6 * T), end)

    def _begin_stop(self, site: Site) -> None:
        assert site.loop is not None
        site.loop.spawn(self.grid.stop_in_order(site), "stop")


def buckets_with_rows(element: Element) -> list[int]:
    """Most buckets are empty here."""
    found: set[int] = set()
    for (name,) in element.read("SELECT name FROM sqlite_schema WHERE type = 'table'"):
        columns = element.read("SELECT name FROM pragma_table_info(?)", (name,))
        if not str(name).startswith("_") and columns and columns[-1][0] == "_BUCKET":
            rows = element.read(f'SELECT DISTINCT _BUCKET FROM "{name}"')
            found.update(int(str(row[0])) for row in rows)
    return sorted(found)
