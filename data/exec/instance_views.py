"""Rows of the V$ views about one element and its instance, and of their GV$ twins.

Every value is what this instance knows; what TimesTen has and we have not is NULL. Sizes are in
kilobytes where TimesTen has them so. Positions in the log are LSNs: there are no log files.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from data.catalog.catalog import SYS
from data.catalog.pg_schema import SYS_RELATIONS
from data.catalog.settings import RELEASE
from data.catalog.sys_views import Drawn, dba_sequence_row, sequence_row, user_row
from data.exec.router import MAYBE_DONE, NOTHING_DONE, RETRY_PAUSE_S
from data.exec.sequences import number_of
from data.exec.unit_views import UnitViews
from data.sql.plan_types import QueryPlan
from protocol.clock import wall_us
from protocol.errors import GridError, StaleMapError, StaleSchemaError
from protocol.messages.views import AskViews, ViewsTold
from protocol.metrics import histogram_rows, quantile_s
from protocol.rpc.node import RpcNode
from protocol.rpc.server import Request
from protocol.sqltypes import StorageRow, StorageValue

if TYPE_CHECKING:
    from data.exec.coordination import Coordination
    from data.exec.session import Session
    from data.storage.element import Element

ANSWER_TIMEOUT_S = 2.0
KIB = 1024
TEXT_CHARS_MAX = 32_768  # of a statement in V$SQL_CMD_CACHE
_COLUMNS = {r.name: tuple(name for name, _ in r.columns) for r in SYS_RELATIONS}
_TAKEN = "SELECT id, next_value FROM sys.sequence_state"
_SEQUENCES = re.compile(r"\bsys\.sequences\b|(?:all|user|dba)_sequences\b", re.IGNORECASE)
_PAGES = (
    "SELECT page_size, page_count, freelist_count"
    " FROM pragma_page_size, pragma_page_count, pragma_freelist_count"
)
_GLOBAL = re.compile(r"\bg(v\$\w+)", re.IGNORECASE)
RUNNING, DONE, FAILED = 1, 2, 3  # V$BACKUP_STATUS


@dataclass(slots=True)
class Counts:
    """What happened since the database was loaded here. Nothing of it is on the way of a read or
    a write."""

    first_connect_us: int = 0
    connects: int = 0
    disconnects: int = 0
    prepares: int = 0
    reprepares: int = 0

    def connected(self) -> None:
        """Another session."""
        self.connects += 1
        self.first_connect_us = self.first_connect_us or wall_us()


class Instance(Protocol):
    """What lies above this package (data/database.py, data/instance.py)."""

    def configuration(self) -> list[tuple[str, str]]:
        """Attributes of the database definition, and what they come to."""

    def log_holds(self) -> list[tuple[int, str, str]]:
        """From which LSN on the log is kept, TimesTen's type of hold, for whom."""

    def stats(self) -> dict[str, int]:
        """Numbers of replication, locks and epochs, by name."""

    def backups(self) -> list[tuple[int, str, int, str]]:
        """Status, name, percent, error of the backups of this element, oldest first."""


class InstanceViews:
    """The rows; those of GV$ views as of the newest `refresh`."""

    def __init__(self, space: Coordination) -> None:
        self._space = space
        self.instance: Instance | None = None  # set when the database is assembled
        self._told: dict[str, list[StorageRow]] = {}
        self._taken: dict[int, int] = {}  # sequence → what the next batch begins with
        self._makers: dict[str, Callable[[], list[StorageRow]]] = {
            "v$monitor": self._monitor,
            "v$systemstats": lambda: self._numbers(self._statistics()),
            "v$gridstats": lambda: self._numbers(self._grid_statistics()),
            "v$configuration": self._configuration,
            "v$db_config": self._db_config,
            "v$version": lambda: [("ttVersion", RELEASE, self._element)],
            "v$host_name": lambda: [(socket.gethostname(), self._element)],
            "v$datastore_status": self._datastore_status,
            "v$sql_cmd_cache": self._commands,
            "v$cmd_cache": self._commands,
            "v$sql_cmd_cache_info": self._command_times,
            "v$sql_execution_time": self._execution_times,
            "v$ckpt_history": self._checkpoints,
            "v$log_holds": self._log_holds,
            "v$bookmark": self._bookmark,
            "v$block_info": self._blocks,
            "v$backup_status": self._backups,
        }
        self._units = UnitViews(space)

    @property
    def _element(self) -> int:
        return self._space.element.identity.element

    # -- asking ------------------------------------------------------------------------------------
    def rows(self, view: str) -> list[StorageRow] | None:
        """Of one of the views (lower case), None if it is another one."""
        if view in ("monitor", "systemstats"):
            return [row[:-1] for row in self.rows(f"v${view}") or []]
        if view == "dba_users":
            return self._users()
        if view in ("sequences", "dba_sequences"):
            return self._sequence_rows(view)
        of_units = self._units.rows(view)
        if of_units is not None:
            return of_units
        if view.startswith("gv$"):
            return self._told.get(view[1:]) if view[1:] in self._makers else None
        maker = self._makers.get(view)
        return maker() if maker is not None else None

    def is_named_in(self, text: str) -> bool:
        """True: the query needs `refresh`."""
        return bool(self._wanted(text))

    @staticmethod
    def names_sequences(text: str) -> bool:
        """True: the query needs `ask_sequences`."""
        return _SEQUENCES.search(text) is not None

    def _wanted(self, text: str) -> list[str]:
        return sorted({v.lower() for v in _GLOBAL.findall(text)} & self._makers.keys())

    async def ask_sequences(self, session: Session) -> str:
        """What all elements have taken of the sequences; a warning, or ""."""
        self._taken = {}
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                rows = await self._all_taken(session)
        except (GridError, TimeoutError):
            return "how far sequences are is not known: the replica set that keeps them is away"
        self._taken = {int(number or 0): int(following or 0) for number, following in rows}
        return ""

    async def _all_taken(self, session: Session) -> list[StorageRow]:
        """Where the lead changes, the next one is asked."""
        from data.exec.queries import QueryRunner  # here, because they import this
        from data.exec.values import Specials

        while True:
            compiled = self._space.compiler.compile(_TAKEN, (), SYS, "")
            assert isinstance(compiled.plan, QueryPlan)
            runner = QueryRunner(self._space, Specials(session), None)
            try:
                return await runner.all_rows(compiled.plan, ())
            except (*NOTHING_DONE, *MAYBE_DONE, StaleMapError, StaleSchemaError):
                await self._space.router.wait_for_change(RETRY_PAUSE_S)

    def _sequence_rows(self, view: str) -> list[StorageRow]:
        made = []
        for sequence in self._space.catalog.sequences():
            following = self._taken.get(sequence.id)
            everywhere = None
            if following is not None:
                everywhere = number_of(sequence, following - sequence.increment)
            drawn = Drawn(*self._space.sequences.drawn(sequence), everywhere)
            row = (sequence_row if view == "sequences" else dba_sequence_row)(sequence, drawn)
            made.append(tuple(row[name] for name in _COLUMNS[view]))
        return made

    async def refresh(self, text: str) -> str:
        """Ask all elements of the map what their V$ views show; a warning, or "".

        Never fails: who does not answer in ANSWER_TIMEOUT_S has no rows, and is named.
        """
        wanted = tuple(self._wanted(text))
        router = self._space.router
        others = {e: i for e, i in router.instances().items() if e != self._element}
        ask = AskViews(self._space.name, wanted)
        answers = await asyncio.gather(
            *(router.call_instance(name, ask, ANSWER_TIMEOUT_S) for name in others.values()),
            return_exceptions=True,
        )
        told = [a for a in answers if isinstance(a, ViewsTold)]
        told.append(self.told(wanted))
        told.sort(key=lambda one: one.element)
        for number, view in enumerate(wanted):
            self._told[view] = [row for one in told for row in one.rows[number]]
        silent = sorted(others.keys() - {one.element for one in told})
        names = ", ".join(f"element {number} ({others[number]})" for number in silent)
        return f"rows are missing of those that did not answer: {names}" if silent else ""

    def told(self, views: Iterable[str]) -> ViewsTold:
        """What this element tells."""
        rows = tuple(tuple(self._makers[v]()) if v in self._makers else () for v in views)
        return ViewsTold(self._element, rows)

    # -- rows --------------------------------------------------------------------------------------
    def _row(self, view: str, **values: StorageValue) -> StorageRow:
        """What is not said is NULL."""
        columns = _COLUMNS[view.replace("v$", "v__")]
        unknown = values.keys() - set(columns)
        assert not unknown, unknown
        values.setdefault("elementid", self._element)
        return tuple(values.get(name) for name in columns)

    def _numbers(self, numbers: dict[str, int]) -> list[StorageRow]:
        return [(name, value, self._element) for name, value in sorted(numbers.items())]

    def _users(self) -> list[StorageRow]:
        catalog, logins, now_us = self._space.catalog, self._space.logins, wall_us()
        made = []
        for user in catalog.users.values():
            row = user_row(catalog, user, now_us=now_us, is_locked=logins.is_locked(user))
            made.append(tuple(row[name] for name in _COLUMNS["dba_users"]))
        return made

    def _monitor(self) -> list[StorageRow]:
        element, counts = self._space.element, self._space.counts
        size, pages, free = pages_of(self._space.element)
        stats = self._stats()
        row = self._row(
            "v$monitor",
            time_of_1st_connect=counts.first_connect_us or None,
            ds_connects=counts.connects,
            ds_disconnects=counts.disconnects,
            ds_checkpoints=element.checkpoints.total,
            ds_checkpoints_fuzzy=element.checkpoints.total,
            perm_allocated_size=element.settings.perm_size_mb * KIB,
            perm_in_use_size=(pages - free) * size // KIB,
            perm_in_use_high_water=pages * size // KIB,
            deadlocks=stats.get("lock.deadlocks"),
            lock_timeouts=stats.get("lock.timeouts"),
            lock_grants_wait=stats.get("lock.granted_after_wait"),
            xact_commits=self._space.meters.commits.count,
            xact_rollbacks=self._space.meters.kinds["rollback"].count,
            cmd_prepares=counts.prepares,
            cmd_reprepares=counts.reprepares,
            checkpoint_bytes_written=element.checkpoints.bytes,
        )
        return [row]

    def _stats(self) -> dict[str, int]:
        return self.instance.stats() if self.instance is not None else {}

    def _statistics(self) -> dict[str, int]:
        element, counts = self._space.element, self._space.counts
        size, pages, free = pages_of(self._space.element)
        return {
            "ckpt.bytes_written": element.checkpoints.bytes,
            "ckpt.completed": element.checkpoints.total,
            "connections.current": self._space.sessions,
            "connections.established": counts.connects,
            "connections.ended": counts.disconnects,
            "db.perm_allocated_kb": element.settings.perm_size_mb * KIB,
            "db.perm_in_use_kb": (pages - free) * size // KIB,
            "log.kept_bytes": element.log_bytes,
            "log.lsn": element.tail.lsn,
            "log.oldest_lsn": element.log_start.lsn,
            "stmt.cached": self._space.cached_statements,
            "stmt.prepares": counts.prepares,
            "stmt.reprepares": counts.reprepares,
            "stmt.slow": self._space.meters.slow,
            **{f"stmt.executes.{k}": h.count for k, h in self._space.meters.kinds.items()},
            "txn.commits": self._space.meters.commits.count,
            **self._stats(),
        }

    def _grid_statistics(self) -> dict[str, int]:
        router = self._space.router
        return {
            "grid.elements": len(router.instances()),
            "grid.map_version": router.map.version,
            "grid.replica_sets": len(router.map.replica_sets()),
            "grid.transactions_open": len(self._space.manager.open),
            **{name: value for name, value in self._stats().items() if "lock" not in name},
        }

    def _configuration(self) -> list[StorageRow]:
        """TTGrid and TTGridEnable tell Scaleout from Classic."""
        fixed = [("TTGrid", "1"), ("TTGridEnable", "1")]
        given = self.instance.configuration() if self.instance is not None else []
        return [(name, value, self._element) for name, value in sorted([*fixed, *given])]

    def _db_config(self) -> list[StorageRow]:
        settings = self._space.element.settings
        known = {
            "Durability": str(settings.durability),
            "LogBytesMax": str(settings.log_bytes_max),
            "PermSize": str(settings.perm_size_mb),
        }
        return [(name, value, self._element) for name, value in known.items()]

    def _datastore_status(self) -> list[StorageRow]:
        space = self._space
        state = "open" if space.is_open else "closed"
        return [(space.name, self._element, state, space.sessions)]

    def _commands(self) -> list[StorageRow]:
        made = []
        for number, (key, statement) in enumerate(self._space.statements(), 1):
            text = key[0][:TEXT_CHARS_MAX]
            owner = statement.user
            row = self._row(
                "v$sql_cmd_cache",
                sqlcmdid=number,
                executions=sum(statement.stats.slots),
                prepares=1,
                reprepares=0,
                freeable=1,
                owner=owner,
                querytext=text,
            )
            made.append(row)
        return made

    def _command_times(self) -> list[StorageRow]:
        """Times in seconds. Values that nobody keeps are NULL."""
        made = []
        for number, (key, statement) in enumerate(self._space.statements(), 1):
            stats = statement.stats
            row = self._row(
                "v$sql_cmd_cache_info",
                sqlcmdid=number,
                executions=sum(stats.slots),
                prepares=1,
                reprepares=0,
                freeable=1,
                size=len(key[0]),
                owner=statement.user,
                querytext=key[0][:TEXT_CHARS_MAX],
                fetchcount=stats.rows,
                maxexecutetime=stats.longest_ns / 1e9,
                kind=stats.kind,
                plan=stats.plan or None,
                totalexecutetime=stats.total_ns / 1e9,
                p50executetime=quantile_s(stats.slots, 0.5),
                p99executetime=quantile_s(stats.slots, 0.99),
                errors=stats.errors,
            )
            made.append(row)
        return made

    def _execution_times(self) -> list[StorageRow]:
        """How many executions took at most so long: of all together (-1), and of each statement
        where there are any."""
        space = self._space
        every = [
            sum(column)
            for column in zip(*(h.slots for h in space.meters.kinds.values()), strict=True)
        ]
        told = [(-1, every)]
        told += [(n, s.stats.slots) for n, (_, s) in enumerate(space.statements(), 1)]
        return [
            (number, limit_s, count, self._element)
            for number, slots in told
            for limit_s, count in histogram_rows(slots)
            if count or number < 0
        ]

    def _checkpoints(self) -> list[StorageRow]:
        return [
            self._row(
                "v$ckpt_history",
                starttime=one.start_us,
                endtime=one.end_us,
                type="Fuzzy",
                status="Failed" if one.failed else "Completed",
                initiator="Checkpointer",
                ckptvno=one.number,
                blocks=one.pages,
                bytes=one.bytes,
                percentcomplete=None if one.failed else 100,
            )
            for one in self._space.element.checkpoints.newest.copy()
        ]

    def _log_holds(self) -> list[StorageRow]:
        holds = self.instance.log_holds() if self.instance is not None else []
        return [
            self._row("v$log_holds", holdlfo=lsn, type=kind, description=why)
            for lsn, kind, why in holds
        ]

    def _bookmark(self) -> list[StorageRow]:
        element = self._space.element
        row = self._row("v$bookmark", writelfo=element.tail.lsn, holdlfo=element.log_start.lsn)
        return [row]

    def _blocks(self) -> list[StorageRow]:
        size, pages, free = pages_of(self._space.element)
        room = (self._space.element.settings.perm_size_mb << 20) - (pages - free) * size
        row = self._row("v$block_info", totalblocks=pages, freeblocks=free, freebytes=max(0, room))
        return [row]

    def _backups(self) -> list[StorageRow]:
        known = self.instance.backups() if self.instance is not None else []
        return [
            self._row(
                "v$backup_status",
                status=status,
                destination=name,
                progress=percent,
                error=error or None,
            )
            for status, name, percent, error in known
        ] or [self._row("v$backup_status", status=0)]


def pages_of(element: Element) -> tuple[int, int, int]:
    """Bytes of a page, pages in the file, free ones among them."""
    size, count, free = element.read(_PAGES)[0]
    return int(size or 0), int(count or 0), int(free or 0)


class Loaded(Protocol):
    """A database on this instance (data/database.py)."""

    space: Coordination


def register(rpc: RpcNode, find: Callable[[str], Loaded]) -> None:
    """Answer AskViews; `find` raises UnknownDatabaseError."""

    async def ask(message: AskViews, _request: Request) -> ViewsTold:
        return find(message.db).space.catalog_queries.instance.told(message.views)

    rpc.handle_async(AskViews, ask)
