"""REF CURSORs that a block gives its client: each becomes a cursor of the session, with a name.

The client fetches from it as from one of DECLARE (FETCH, or a driver's result set); it ends with
its transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from data.exec.prepared import PreparedStatement
from data.plsql.cursor_state import CursorState
from data.plsql.errors import predefined
from data.plsql.values import Value
from data.session.engine import ResultSink
from data.sql.plan_types import CompiledStatement, CursorPlan
from protocol.pgwire.values import ResultColumn

if TYPE_CHECKING:
    from data.exec.session import Session

FETCH_ROWS = 500  # at a time


def kept(session: Session, sink: ResultSink, value: Value) -> str | None:
    """The name of the cursor for the client; None for one that is not open. Raises PlError."""
    if value is None:
        return None
    if not isinstance(value, CursorState):
        raise predefined("INVALID_CURSOR", ": the client gave a value that is no open cursor")
    if not value.is_open:
        return None
    session.packages.given_cursors += 1
    name = f"<cursor {session.packages.given_cursors}>"
    sink.open_cursor(name, _statement(session, value), "", (), False)
    return name


def _statement(session: Session, state: CursorState) -> PreparedStatement:
    columns = cast(tuple[ResultColumn, ...], state.columns)
    plan = CursorPlan(lambda: state.next(FETCH_ROWS))
    space = session.space
    compiled = CompiledStatement(plan, (), None, "SELECT", True, space.schema_version)
    return PreparedStatement("", (), session.schema, session.user, compiled, columns, space.meters)
