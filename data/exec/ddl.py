"""Runs DDL: one transaction over all replica sets, locked, checked, logged like data.

DDL commits before and after itself, as TimesTen's does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from data.catalog.objects import Table
from data.exec import online
from data.exec.online import move_online
from data.exec.queries import QueryRunner
from data.exec.refill import Refiller
from data.exec.values import Specials
from data.sql.ddl import plan_ddl
from data.sql.ddl_build import Builder, DataCheck, DdlPlan, sql_name
from data.sql.ddl_units import unit_statement
from data.sql.hooks import CompilerHooks
from data.sql.plan_types import DdlText, QueryPlan
from data.txn.deadlines import FAILOVER_WAIT_S
from data.txn.manager import Transaction
from protocol import audit, audit_file
from protocol.clock import boottime_s, wall_us
from protocol.errors import (
    DeadlockError,
    GridError,
    InternalError,
    NotLeadError,
    NotServingError,
    PeerLostError,
    PeerUnreachableError,
    StaleMapError,
    StaleSchemaError,
    WorkspaceLostError,
)
from protocol.messages.sql import LockTable

if TYPE_CHECKING:
    from data.exec.running import Running
    from data.exec.session import Session


_LEAD_CHANGED = (
    NotLeadError,
    NotServingError,
    PeerLostError,
    PeerUnreachableError,
    WorkspaceLostError,
)


async def run_ddl(session: Session, running: Running, ddl: DdlText) -> str:
    """Run one DDL statement; returns its tag. Raises GridError; nothing is changed then."""
    began_s, result = boottime_s(), "interrupted"
    try:
        tag = await _run_ddl(session, running, ddl)
        result = audit_file.DONE
        return tag
    except GridError as error:
        result = error.code
        raise
    finally:
        audit.command(
            session.user,
            ddl.text,
            result,
            boottime_s() - began_s,
            database=session.database,
            session=session.session_id,
        )


async def _run_ddl(session: Session, running: Running, ddl: DdlText) -> str:
    session.check_serving()
    if session.txn is not None:
        if session.explicit:
            running.sink.notice(
                "WARNING", "the open transaction was committed before the DDL statement", "25000"
            )
        txn, session.txn = session.txn, None
        session.savepoints.clear()
        session.outcome_is_open = True
        await session.commit_txn(txn)
    plan = await _run(session, lambda: _planned(session, ddl))
    if plan.online is not None and not plan.done:
        await move_online(session, plan.online, partial(_run_builder, session))
    await session.committed(running.sink)
    for notice in plan.notices:
        running.sink.notice(notice.severity, notice.message, notice.sqlstate)
    _warn_of_unit(session, running, ddl)
    if plan.fill:
        tag = await _fill(session, plan.fill)
        return f"SELECT {tag.rpartition(' ')[2]}"
    return plan.tag


def _planned(session: Session, ddl: DdlText) -> DdlPlan:
    space = session.space
    hooks = CompilerHooks(space.compiler, space.evaluate, wall_us, space.name)
    return plan_ddl(ddl.text, space.catalog, session.user, hooks, schema=session.schema)


async def _run_builder(session: Session, fill: Callable[[Builder], str]) -> DdlPlan:
    """Run DDL that `fill` plans."""

    def planned() -> DdlPlan:
        space = session.space
        hooks = CompilerHooks(space.compiler, space.evaluate, wall_us, space.name)
        builder = Builder(space.catalog, session.user, session.schema, hooks)
        return builder.plan(fill(builder))

    return await _run(session, planned)


async def _run(session: Session, planned: Callable[[], DdlPlan]) -> DdlPlan:
    """Run what is planned for the present schema, again when that has changed."""
    deadline_s = boottime_s() + FAILOVER_WAIT_S + session.lock_wait_ms / 1000
    while True:
        try:
            return await _attempt(session, planned)
        except (StaleSchemaError, StaleMapError, DeadlockError):  # nothing was done
            if boottime_s() > deadline_s:
                raise
        except _UndoneError as undone:
            if boottime_s() > deadline_s:
                raise undone.why from undone
        await session.space.router.wait_for_change(0.02)


class _UndoneError(Exception):
    """A replica set changed its lead before the commit was begun: all was rolled back."""

    def __init__(self, why: GridError) -> None:
        super().__init__(why)
        self.why = why


def _warn_of_unit(session: Session, running: Running, ddl: DdlText) -> None:
    """A stored unit is made whatever is in it, as in Oracle; its maker hears what is wrong."""
    statement = unit_statement(ddl.text)
    if statement is None or not statement.create:
        return
    parts = statement.name.parts
    schema = parts[-2] if len(parts) > 1 else session.schema
    unit = session.space.catalog.units.get((schema, parts[-1]))
    if unit is None:
        return
    faults = session.space.units.faults(unit)
    mine = [fault.error for fault in faults if fault.part == statement.kind]
    if mine:
        kind = statement.kind.lower()
        message = f"the {kind} was created with compilation errors: {mine[0].message}"
        running.sink.notice("WARNING", message, "01000")


async def _attempt(session: Session, planned: Callable[[], DdlPlan]) -> DdlPlan:
    space = session.space
    manager = space.manager
    space.router.need_map()
    places = space.router.places  # they stay: who changes them locks DDL out
    txn = manager.begin(session.lock_wait_ms)
    try:
        for rs in places.replica_sets:  # in this order everywhere: DDL never deadlocks with DDL
            await manager.run(txn, rs, (LockTable(0),), space.schema_version, places=places)
        plan = planned()
        if plan.change is None:
            await manager.roll_back(txn)
            return plan
        if plan.online is not None and await _is_large(session, plan.online.before):
            await manager.roll_back(txn)
            return replace(plan, done=False)
        for table_id in plan.locks:
            for rs in places.replica_sets:
                lock = (LockTable(table_id),)
                await manager.run(txn, rs, lock, space.schema_version, places=places)
        for check in plan.checks:
            await _check(session, txn, check)
        if plan.backfills or plan.refills:
            refiller = Refiller(session, txn, space.catalog.apply(plan.change))
            for backfill in plan.backfills:
                await refiller.backfill(backfill)
            for refill in plan.refills:
                await refiller.refill(refill)
        change = plan.change.encode()
    except BaseException as error:
        await manager.finish(manager.roll_back(txn))
        if isinstance(error, _LEAD_CHANGED):
            raise _UndoneError(error) from error
        raise
    session.outcome_is_open = True
    await manager.finish(manager.commit(txn, change))
    await _known_here(session, plan.change.version)
    session.epoch_next = session.epoch_next or space.epoch_at_ddl
    return plan


async def _is_large(session: Session, table: Table) -> bool:
    """Would writers wait long until all rows are copied?"""
    sql = f"SELECT COUNT(*) FROM {sql_name(table.schema, table.name)}"
    plan = session.space.compiler.compile(sql, (), session.schema, "").plan
    assert isinstance(plan, QueryPlan)
    rows = await QueryRunner(session.space, Specials(session), None).all_rows(plan, ())
    return int(rows[0][0] or 0) >= online.ROWS_ONLINE


async def _check(session: Session, txn: Transaction, check: DataCheck) -> None:
    # as nobody: who may refer to a table need not be allowed to read it
    compiled = session.space.compiler.compile(check.sql, (), session.schema, "")
    if not isinstance(compiled.plan, QueryPlan):
        raise InternalError("a check of a DDL statement is no query")
    runner = QueryRunner(session.space, Specials(session), txn)
    if await runner.all_rows(compiled.plan, ()):
        raise check.error


async def _known_here(session: Session, version: int) -> None:
    """The change is in force everywhere; wait until this element's catalog shows it too."""
    deadline_s = boottime_s() + FAILOVER_WAIT_S
    while session.space.schema_version < version and boottime_s() < deadline_s:
        await session.space.router.wait_for_change(0.005)


async def _fill(session: Session, insert: str) -> str:
    """CREATE TABLE AS: fill the new table."""
    from data.exec.running import Running  # here, because Running starts DDL

    statement = session.prepare(insert, ())
    collected = Outcome()
    running = Running(session, statement, statement.literals or (), None, 0, collected)
    running.start()
    await collected.ended.wait()
    if collected.error is not None:
        raise collected.error
    return collected.tag


class Outcome:
    """A sink that only wants to know how it ended."""

    writable = True

    def __init__(self) -> None:
        self.tag = ""
        self.error: GridError | None = None
        self.ended = asyncio.Event()

    def on_writable(self, callback: object) -> None:
        """Always writable."""

    def rows(self, data: bytes | bytearray, count: int) -> None:
        """No rows are wanted."""

    def answer(self, data: bytes | bytearray, count: int, tag: str) -> None:
        """The end."""
        self.done(tag)

    def done(self, tag: str) -> None:
        """The end."""
        self.tag = tag
        self.ended.set()

    def suspended(self) -> None:
        """Never."""

    def fail(self, error: GridError) -> None:
        """The end, with an error."""
        self.error = error
        self.ended.set()

    def notice(self, severity: str, message: str, sqlstate: str) -> None:
        """Not passed on."""

    def parameter(self, name: str, value: str) -> None:
        """Not passed on."""

    def open_cursor(self, *_: object) -> None:
        """Never."""
