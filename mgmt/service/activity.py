"""What a database does: asks its data instances for their figures, at most once a second.

Nobody asks, nothing is collected: the first look at a page gives totals, the next one rates.
"""

from __future__ import annotations

import asyncio
from collections import deque

from mgmt.api import schema_activity as schema
from mgmt.health import activity
from mgmt.health.activity import GAP_S, POINTS_MAX, Delta, Window
from mgmt.ops.runner import Progress
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from mgmt.service.database_records import DatabaseRecord
from protocol.clock import boottime_s, wall_us
from protocol.errors import GridError, ParameterError
from protocol.messages.metrics import AskFigures, DatabaseFigures, Figures

LOOK_S = 0.9
ANSWER_TIMEOUT_S = 1.0
STATEMENTS_MAX = 1000


class _Followed:
    """One database."""

    def __init__(self) -> None:
        self.deltas: deque[Delta] = deque(maxlen=POINTS_MAX)
        self.figures: dict[str, DatabaseFigures] = {}
        self.silent: tuple[str, ...] = ()
        self.looked_s = -1e9
        self.turn = asyncio.Lock()


class ActivityService:
    """One per management instance."""

    def __init__(self, management: Management, reach: Reach) -> None:
        self._management = management
        self._reach = reach
        self._followed: dict[str, _Followed] = {}  # by the database's id

    async def activity(
        self, request: schema.DbActivity, progress: Progress
    ) -> schema.DbActivityReply:
        """databases/activity."""
        record = self._reach.databases.get(request.name)
        there = {r.database_id for r in self._reach.databases.all()}
        for gone in self._followed.keys() - there:
            del self._followed[gone]
        followed = self._followed.setdefault(record.database_id, _Followed())
        async with followed.turn:
            if boottime_s() - followed.looked_s >= LOOK_S:
                await self._look(record, followed)
        window = Window(tuple(followed.deltas), followed.figures)
        return schema.DbActivityReply(
            name=record.name,
            as_of_us=wall_us(),
            silent=followed.silent,
            statements=window.statements(),
            commits=window.commits(),
            kinds=window.kinds(),
            errors=window.errors(),
            numbers=window.numbers(),
            rates=window.rates(),
            history=window.history(),
        )

    async def statements(
        self, request: schema.DbStatements, progress: Progress
    ) -> schema.DbStatementsReply:
        """databases/statements."""
        record = self._reach.databases.get(request.name)
        if request.limit < 1:
            raise ParameterError(f"limit {request.limit}: at least 1")
        limit = min(request.limit, STATEMENTS_MAX)
        found, silent = await self._ask(record, limit)
        caches = {name: figures.cache for name, figures in found.items()}
        return schema.DbStatementsReply(statements=activity.merged(caches, limit), silent=silent)

    async def _look(self, record: DatabaseRecord, followed: _Followed) -> None:
        figures, followed.silent = await self._ask(record, 0)
        now_s = boottime_s()
        span_s = now_s - followed.looked_s
        if span_s > GAP_S:
            followed.deltas.clear()
        else:
            delta = activity.between(followed.figures, figures, wall_us(), span_s)
            followed.deltas.append(delta)
        followed.figures, followed.looked_s = figures, now_s

    async def _ask(
        self, record: DatabaseRecord, statements: int
    ) -> tuple[dict[str, DatabaseFigures], tuple[str, ...]]:
        names = sorted({e.instance for e in record.elements if not e.gone})
        alive = self._reach.alive()
        message = AskFigures(record.name, statements)
        answers = await asyncio.gather(*(self._one(n, message) for n in names if n in alive))
        told = {a.instance: d for a in answers if a is not None for d in a.databases}
        return told, tuple(n for n in names if n not in told)

    async def _one(self, name: str, message: AskFigures) -> Figures | None:
        rpc = self._management.rpc
        assert rpc is not None
        try:
            answer: Figures = await rpc.peer(name).call(message, ANSWER_TIMEOUT_S)
        except (GridError, KeyError):
            return None
        return answer
