"""What must hold at every instant, and when all is quiet (design §2)."""

from __future__ import annotations

from dataclasses import dataclass

from data.database import Database
from data.storage import changes as row_changes
from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, decode_epoch, decode_payload
from protocol.ids import TxnId
from protocol.limits import BUCKET_COUNT
from protocol.topology import DistributionMap
from tests.sim.grid import DATABASE, SimGrid, Site


class Guarantees:
    """Looks at the real objects after every turn of every event loop."""

    def __init__(self, grid: SimGrid) -> None:
        self._grid = grid
        self._newest: dict[int, tuple[int, int]] = {}  # set -> term, lsn committed at its lead
        self._serving: dict[int, tuple[int, int]] = {}  # set -> element, term
        self.takeovers = 0
        self.readers = 0  # looks at a copy that might answer reads
        self.turns = 0
        self.epochs = 0  # whole ones that `torn_epochs` looked at
        self.epoch_begun_s: dict[int, float] = {}  # number -> when anybody knew it first

    def look(self) -> None:
        """G1: what a lead committed is on all copies in sync. G4: one lead, and it has it all.

        G3: what a copy may answer reads of is as the lead shows it, or the last lead showed it.
        """
        self.turns += 1
        grid = self._grid
        serving: dict[int, tuple[Site, Database]] = {}
        databases = grid.databases()
        for site, database in databases:
            self.epoch_begun_s.setdefault(database.epochs.clock.seen, grid.scheduler.now)
            if not database.writer.leading or not database.member.lead_ok():
                continue
            rs = database.writer.rs
            if rs in serving:
                grid.problem(f"G4: {serving[rs][0].name} and {site.name} serve set {rs}")
            serving[rs] = (site, database)
        for rs, (site, database) in serving.items():
            self._lead(rs, site, database)
        for site, database in databases:
            if database.member._now() < database.member._copy_until_s:
                self._reader(site, database)
            lead = serving.get(database.writer.rs)
            if lead is None or lead[0] is site or database.element.closed:
                continue
            self._copy(site, database, lead[1])

    def forget(self) -> None:
        """All hosts lost power: what leads have committed may be gone."""
        self._newest.clear()
        self._serving.clear()

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

    def _reader(self, site: Site, database: Database) -> None:
        self.readers += 1
        rs, element = database.writer.rs, database.element
        tail = element.committed_tail
        newest = self._newest.get(rs, (tail.term, tail.lsn))
        if (tail.term, tail.lsn) == newest:
            return
        if tail.lsn < newest[1]:
            self._grid.problem(f"G3: {site.name} may be read at {tail}, its lead is at {newest}")
            return
        machine = database.member.machine
        assert machine is not None
        for entry in element.entries(newest[1], 1 << 24):
            for bucket in _buckets(element, entry):
                if element.touched.is_quiet(bucket, machine.lead_commit_lsn):
                    self._grid.problem(
                        f"G3: bucket {bucket} may be read at {site.name}; entry {entry.lsn} changes"
                        f" it, and its lead is at {newest}"
                    )

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

    def misplaced(self) -> list[str]:
        """G6: each bucket has one owner, each row is where its bucket is owned, the map agrees."""
        found = []
        distribution = DistributionMap.decode(self._grid.ensemble.facts.maps[DATABASE][1])
        table = distribution.bucket_table()
        owners: dict[int, int] = {}
        for site, database in self._grid.databases():
            if not database.writer.leading:
                continue
            element, rs = database.element, database.writer.rs
            rows = element.read("SELECT bucket FROM _own WHERE bucket >= 0 AND owner = ?", (rs,))
            own = {int(str(row[0])) for row in rows}
            found += [f"bucket {b} is owned by {owners[b]} and {rs}" for b in own if b in owners]
            owners.update(dict.fromkeys(own, rs))
            wrong = [b for b in own if table[b] != rs]
            if wrong:
                found.append(f"the map does not give {rs} its buckets {wrong[:5]}")
            for name in _tables(element):
                if element.column_names(name)[-1] != "_BUCKET":
                    continue
                there = element.read(f'SELECT DISTINCT _BUCKET FROM "{name}"')
                lost = {int(str(row[0])) for row in there} - own
                if lost:
                    found.append(f"{site.name}: {name} has rows of buckets {sorted(lost)[:5]}")
        if owners and len(owners) != BUCKET_COUNT:
            found.append(f"{BUCKET_COUNT - len(owners)} buckets have no owner")
        return found

    def torn_epochs(self) -> list[str]:
        """An epoch is a cut through the logs of all sets: what was decided before it at the anchor
        was prepared before it everywhere, and what was committed before it elsewhere was decided
        before it at the anchor. Where a set has no mark of an epoch, its next one is at the cut."""
        marks: dict[int, list[tuple[int, int]]] = {}  # set -> epochs and LSNs of their marks
        parts: dict[TxnId, dict[int, _Part]] = {}
        leads = {d.writer.rs: d for _, d in self._grid.databases() if d.writer.leading}
        for rs, database in leads.items():
            if database.element.log_start.lsn:
                return []
            marks[rs] = []
            for entry in database.element.entries(0, 1 << 30):
                if entry.kind == EntryKind.EPOCH:
                    marks[rs].append((decode_epoch(entry.payload), entry.lsn))
                elif entry.txn is not None and entry.kind in (EntryKind.PREPARE, EntryKind.COMMIT):
                    part = parts.setdefault(entry.txn, {}).setdefault(rs, _Part())
                    if entry.kind == EntryKind.PREPARE:
                        part.prepared = entry.lsn
                        part.sets = decode_payload(entry.payload).participants
                    else:
                        part.committed = entry.lsn
                        part.sets = part.sets or decode_payload(entry.payload).participants
        found = []
        newest = min((max(ones, default=(0, 0))[0] for ones in marks.values()), default=0)
        epochs = sorted({n for ones in marks.values() for n, _ in ones if n <= newest})
        for epoch in epochs:
            cut = {rs: min(lsn for n, lsn in ones if n >= epoch) for rs, ones in marks.items()}
            found += [
                f"epoch {epoch} at {cut} tears {txn}: {one}"
                for txn, one in parts.items()
                if _is_torn(one, cut)
            ]
        self.epochs = len(epochs)
        return found


def _buckets(element: Element, entry: LogEntry) -> set[int]:
    """In which a COMMIT changes rows by its own changes or those of its PREPARE."""
    if entry.kind != EntryKind.COMMIT:
        return set()
    payload = decode_payload(entry.payload)
    state = element._log.txns.get(entry.txn) if entry.txn is not None else None
    if state is not None and state.prepare_lsn:
        payload = element._log.prepare_of(state)
    changes = row_changes.decode(payload.changes)
    return {
        int(str(row[-1]))
        for table, *rows in changes
        for row in rows
        if row is not None and element.column_names(table)[-1] == "_BUCKET"
    }


@dataclass
class _Part:
    """What one replica set's log says of a transaction."""

    prepared: int = 0
    committed: int = 0
    sets: tuple[int, ...] = ()


def _is_torn(parts: dict[int, _Part], marks: dict[int, int]) -> bool:
    sets = next((p.sets for p in parts.values() if p.sets), ())
    if len(sets) < 2:
        return False
    decided = 0 < parts.get(sets[0], _Part()).committed < marks[sets[0]]
    for rs in sets:
        part = parts.get(rs, _Part())
        if decided and rs != sets[0] and not 0 < part.prepared < marks[rs]:
            return True
        if not decided and 0 < part.committed < marks[rs]:
            return True
    return False


def _tables(element: Element) -> list[str]:
    """Without what depends on where the log was cut, and what has a comparison of its own."""
    rows = element.read("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    local = ("_meta", "_log", "_txn", "_past", "_dropped.", "sqlite_")
    return [str(name) for (name,) in rows if not str(name).startswith(local)]


def _compare(lead: Database, copy: Database) -> list[str]:
    if lead is copy:
        return []
    one, other = lead.element, copy.element
    found = []
    if one.committed_tail != other.committed_tail:
        found.append(f"ends at {other.committed_tail}, its lead at {one.committed_tail}")
    tables, others = _tables(one), _tables(other)
    if tables != others:
        lacks, has = sorted(set(tables) - set(others)), sorted(set(others) - set(tables))
        return [*found, f"has other tables: lacks {lacks}, has {has}"]
    for table in tables:
        if table == "_catalog_undo" and one.log_start != other.log_start:
            continue  # what they keep depends on where each log was cut
        rows = [sorted(e.read(f'SELECT * FROM "{table}"'), key=repr) for e in (one, other)]
        if rows[0] != rows[1]:
            mine, theirs = map(repr, rows[0]), map(repr, rows[1])
            missing = sorted(set(mine) - set(map(repr, rows[1])))[:3]
            extra = sorted(set(theirs) - set(map(repr, rows[0])))[:3]
            found.append(f"table {table} differs: lacks {missing}, has {extra}")
    for name, what in (("prepared", Element.prepared), ("decisions", Element.decisions)):
        if what(one) != what(other):
            found.append(f"{name} differ: {what(one)} and {what(other)}")
    after = max(one.log_start.lsn, other.log_start.lsn)
    logs = [e.entries(after, 1 << 24) for e in (one, other)]
    for mine, theirs in zip(*logs, strict=False):
        if mine != theirs:
            found.append(f"logs differ: {mine} and {theirs}")
            break
    return found
