"""SQL for the console: one statement at a data instance, and rows per table and replica set."""

from __future__ import annotations

import secrets
from typing import Any

from mgmt.api import schema
from mgmt.api import schema_worksheet as requests
from mgmt.ops.runner import Progress
from mgmt.service.context import Management
from mgmt.service.database_reach import Reach
from protocol.errors import (
    NotServingError,
    ParameterError,
    UnknownModelObjectError,
)
from protocol.messages import worksheet as m

CONNECT_TIMEOUT_S = 2.0
BEYOND_S = 10.0  # an answer may take so long behind the statement's own limit
BALANCE_TIMEOUT_S = 20.0
TABLES_MAX = 200
_TABLES = (
    "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN"
    " ('pg_catalog', 'information_schema', 'sys') ORDER BY 1, 2"
)
_BEGINS = ("select", "insert", "update", "delete", "merge", "with", "values")


class WorksheetService:
    """One per management instance."""

    def __init__(self, management: Management, reach: Reach) -> None:
        self._management = management
        self._reach = reach
        self._running: dict[str, str] = {}  # number → instance

    async def run(self, request: requests.SqlRun, progress: Progress) -> requests.SqlRunReply:
        """sql/run."""
        if not 0 < request.rows_max <= requests.ROWS_MAX:
            raise ParameterError(f"rows_max must be 1 to {requests.ROWS_MAX}")
        if not 0 < request.timeout_s <= requests.TIMEOUT_S_MAX:
            raise ParameterError(f"timeout_s must be up to {requests.TIMEOUT_S_MAX:.0f}")
        text = request.text.strip().rstrip(";").rstrip()
        if not text:
            raise ParameterError("there is no statement", hint="Type one SQL statement.")
        instance = self._place(request.name, request.instance)
        number = request.number or secrets.token_hex(8)
        if number in self._running:
            raise ParameterError(f"statement {number} runs already")
        plan: tuple[str, ...] = ()
        self._running[number] = instance
        try:
            if request.explain and text.lower().startswith(_BEGINS):
                told = await self._ask(instance, request, f"EXPLAIN {text}", number)
                plan = tuple(row[0] or "" for row in told.rows)
            ran = await self._ask(instance, request, text, number)
        finally:
            del self._running[number]
        return _reply(instance, ran, plan)

    async def cancel(self, request: requests.SqlCancel, progress: Progress) -> schema.Done:
        """sql/cancel."""
        instance = self._running.get(request.number)
        if instance is None:
            return schema.Done(messages=("It has ended already",))
        told = await self._call(instance, m.CancelSql(request.number), BEYOND_S)
        word = "is being cancelled" if told.found else "has ended already"
        return schema.Done(messages=(f"The statement {word}",))

    async def balance(
        self, request: requests.DbBalance, progress: Progress
    ) -> requests.DbBalanceReply:
        """databases/balance."""
        instance = self._place(request.name, "")
        name = self._reach.databases.get(request.name).name
        ask = requests.SqlRun(
            name=name, text="", timeout_s=BALANCE_TIMEOUT_S, rows_max=requests.ROWS_MAX
        )
        listed = await self._ask(instance, ask, _TABLES, secrets.token_hex(8))
        if listed.failure is not None:
            raise NotServingError(listed.failure.message, hint=listed.failure.hint)
        found = []
        for owner, table in listed.rows[:TABLES_MAX]:
            quoted = ".".join(_quoted(str(part)) for part in (owner, table))
            sql = f"SELECT replicaSetId#, COUNT(*) FROM {quoted} GROUP BY replicaSetId# ORDER BY 1"
            told = await self._ask(instance, ask, sql, secrets.token_hex(8))
            found.append(
                requests.TableBalance(
                    owner=str(owner),
                    table=str(table),
                    rows=tuple((int(rs or 0), int(n or 0)) for rs, n in told.rows),
                    error=told.failure.message if told.failure is not None else "",
                )
            )
        return requests.DbBalanceReply(tables=tuple(found), more=len(listed.rows) > TABLES_MAX)

    async def throttle(self, request: requests.DbThrottle, progress: Progress) -> schema.Done:
        """databases/throttle."""
        if request.rows_per_s < 0:
            raise ParameterError("rows_per_s is 0 (no limit) or more")
        record = self._reach.databases.get(request.name)
        meter = self._management.meters.get(record.name)
        if meter is None:
            raise UnknownModelObjectError(f"no buckets of {record.name} move now")
        meter.rows_per_s = request.rows_per_s
        limit = f"at most {request.rows_per_s} rows/s" if request.rows_per_s else "without limit"
        return schema.Done(messages=(f"Rows of {record.name} move {limit}",))

    def _place(self, database: str, instance: str) -> str:
        """The data instance that is asked. Raises GridError."""
        record = self._reach.databases.get(database)
        alive = self._reach.alive()
        holders = [e.instance for e in record.elements if not e.gone and e.replica_set]
        if instance:
            if instance not in {e.instance for e in record.elements}:
                raise UnknownModelObjectError(f"{instance} has no element of {record.name}")
            return instance
        there = [name for name in holders if name in alive]
        if not there:
            raise NotServingError(
                f"no data instance serves {record.name} now",
                hint=f"ttGridAdmin dbStatus {record.name} -all shows its elements.",
            )
        return there[0]

    async def _ask(
        self, instance: str, request: requests.SqlRun, text: str, number: str
    ) -> m.SqlRan:
        timeout_ms = round(request.timeout_s * 1000)
        name = self._reach.databases.get(request.name).name
        message = m.RunSql(name, number, text, request.rows_max, timeout_ms, request.schema)
        told: m.SqlRan = await self._call(instance, message, request.timeout_s + BEYOND_S)
        return told

    async def _call(self, instance: str, message: Any, timeout_s: float) -> Any:
        rpc = self._management.rpc
        assert rpc is not None
        try:
            peer = await rpc.wait_connected(instance, CONNECT_TIMEOUT_S)
            return await peer.call(message, timeout_s)
        except KeyError as error:
            raise NotServingError(f"{instance} does not run") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _reply(instance: str, ran: m.SqlRan, plan: tuple[str, ...]) -> requests.SqlRunReply:
    failure = ran.failure
    error = None
    if failure is not None:
        error = requests.SqlError(
            sqlstate=failure.sqlstate,
            message=failure.message,
            detail=failure.detail,
            hint=failure.hint,
            position=failure.position,
        )
    return requests.SqlRunReply(
        instance=instance,
        columns=ran.columns,
        rows=ran.rows,
        tag=ran.tag,
        more=ran.more,
        elapsed_us=ran.elapsed_us,
        notices=ran.notices,
        plan=plan,
        error=error,
    )
