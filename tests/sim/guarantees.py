"""What must hold at every instant, and when all is quiet (design §2)."""

from __future__ import annotations

from data.database import Database
from tests.sim.grid import DATABASE, SimGrid, Site


class Guarantees:
    """Looks at the real objects after every turn of every event loop."""

    def __init__(self, grid: SimGrid) -> None:
        self._grid = grid
        self._newest: dict[int, tuple[int, int]] = {}  # set -> term, lsn committed at its lead
        self._serving: dict[int, tuple[int, int]] = {}  # set -> element, term
        self.takeovers = 0
        self.turns = 0

    def look(self) -> None:
        """G1: what a lead committed is on all copies in sync. G4: one lead, and it has it all."""
        self.turns += 1
        grid = self._grid
        serving: dict[int, tuple[Site, Database]] = {}
        databases = grid.databases()
        for site, database in databases:
            if not database.writer.leading or not database.member.lead_ok():
                continue
            rs = database.writer.rs
            if rs in serving:
                grid.problem(f"G4: {serving[rs][0].name} and {site.name} serve set {rs}")
            serving[rs] = (site, database)
        for rs, (site, database) in serving.items():
            self._lead(rs, site, database)
        for site, database in databases:
            lead = serving.get(database.writer.rs)
            if lead is None or lead[0] is site or database.element.closed:
                continue
            self._copy(site, database, lead[1])

    def _lead(self, rs: int, site: Site, database: Database) -> None:
        tail = database.element.committed_tail
        newest = self._newest.get(rs, (0, 0))
        name = (site.number, database.writer.term)
        if self._serving.get(rs) != name:
            self._serving[rs] = name
            self.takeovers += 1
            self._has_everything(rs, site, database, newest)
        if tail.lsn < newest[1]:
            self._grid.problem(f"G1: {site.name} leads set {rs} to {tail}, known was {newest}")
        if tail.lsn > newest[1]:
            self._newest[rs] = (tail.term, tail.lsn)

    def _has_everything(
        self, rs: int, site: Site, database: Database, newest: tuple[int, int]
    ) -> None:
        term, lsn = newest
        element = database.element
        if not lsn or element.log_start.lsn >= lsn:
            return
        entry = element.entry_at(lsn)
        if entry is None or entry.term != term:
            self._grid.problem(
                f"G1: {site.name} leads set {rs} without {newest}, it has"
                f" {None if entry is None else entry.term} there, tail {element.committed_tail}"
            )

    def _copy(self, site: Site, database: Database, lead: Database) -> None:
        state = self._grid.ensemble.facts.sets.get((DATABASE, lead.writer.rs))
        element = database.element
        if state is None or element.needs_recovery or site.number not in state.in_sync:
            return
        if element.committed_tail.lsn < lead.element.committed_tail.lsn:
            self._grid.problem(
                f"G1: {site.name} is in sync with {element.committed_tail},"
                f" its lead has {lead.element.committed_tail}"
            )

    # -- when all is quiet ------------------------------------------------------------------------
    def leftovers(self) -> list[str]:
        """What is still held anywhere: locks, workspaces, waits, cursors, open transactions."""
        found = []
        for site, database in self._grid.databases():
            writer = database.writer
            kept = {
                "workspaces": len(writer._workspaces),
                "locks": int(bool(writer.locks)),
                "waits": len(writer.waits._waits),
                "prepared": len(database.element.prepared()),
                "open": len(database.space.manager.open),
                "cursors": len(database.shard._cursors),
                "resolving": len(database._resolving),
                "batch": len(writer._batch) + len(writer._queue) + len(writer._between),
                "sessions": database.space.sessions,
            }
            found += [f"{site.name}: {count} {what}" for what, count in kept.items() if count]
        return found

    def differences(self) -> list[str]:
        """Copies of a set have equal logs and equal rows."""
        found = []
        by_set: dict[int, list[tuple[Site, Database]]] = {}
        for site, database in self._grid.databases():
            by_set.setdefault(database.writer.rs, []).append((site, database))
        for rs, copies in by_set.items():
            leads = [c for c in copies if c[1].writer.leading]
            if len(leads) != 1:
                found.append(f"set {rs} has {len(leads)} leads")
                continue
            first = leads[0][1]
            for site, other in copies:
                found += [f"{site.name}: {text}" for text in _compare(first, other)]
        return found


def _compare(lead: Database, copy: Database) -> list[str]:
    if lead is copy:
        return []
    one, other = lead.element, copy.element
    found = []
    if one.committed_tail != other.committed_tail:
        found.append(f"ends at {other.committed_tail}, its lead at {one.committed_tail}")
    names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
    tables = [str(name) for (name,) in one.read(names)]
    if tables != [str(name) for (name,) in other.read(names)]:
        found.append("has other tables")
        return found
    for table in tables:
        if table in ("_meta", "_log", "sqlite_sequence") or table.startswith("sqlite_"):
            continue
        rows = [sorted(e.read(f'SELECT * FROM "{table}"'), key=repr) for e in (one, other)]
        if rows[0] != rows[1]:
            missing = [r for r in rows[0] if r not in rows[1]][:3]
            extra = [r for r in rows[1] if r not in rows[0]][:3]
            found.append(f"table {table} differs: lacks {missing}, has {extra}")
    after = max(one.log_start.lsn, other.log_start.lsn)
    logs = [e.entries(after, 1 << 24) for e in (one, other)]
    for mine, theirs in zip(*logs, strict=False):
        if mine != theirs:
            found.append(f"logs differ: {mine} and {theirs}")
            break
    return found
