"""Statements that the instance runs by itself, as a session of its own."""

from __future__ import annotations

from data.exec.coordination import Coordination
from data.exec.ddl import Outcome, run_ddl
from data.exec.running import Running
from data.exec.session import Session
from data.sql.plan_types import DdlText


async def run_internally(space: Coordination, user: str, text: str) -> None:
    """Run one DDL statement. Raises GridError."""
    session = Session(space, user, {}, 0, is_admin=True)
    try:
        statement = session.prepare(text, ())
        plan = statement.compiled.plan
        assert isinstance(plan, DdlText)
        outcome = Outcome()
        running = Running(session, statement, (), None, 0, outcome)
        running.start(lambda: run_ddl(session, running, plan))
        await outcome.ended.wait()
        if outcome.error is not None:
            raise outcome.error
    finally:
        session.close()
