"""Statements that are not about rows: transactions, savepoints, settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from data.exec import optimizer_calls, settings
from data.exec.prepared import PreparedStatement
from data.exec.running import RETRY_PAUSE_S, Running, failed_transaction
from data.session.engine import Execution, ResultSink
from data.sql.plan_types import UtilityPlan
from data.txn.deadlines import FAILOVER_WAIT_S
from data.txn.locks import INTENTION_SHARED, SHARED_INTENTION, Mode
from protocol.clock import boottime_s
from protocol.errors import (
    NoTransactionError,
    NotSupportedError,
    ParameterError,
    SavepointError,
    StaleMapError,
)
from protocol.messages.sql import LockTable
from protocol.pgwire.values import RowEncoder

if TYPE_CHECKING:
    from data.exec.session import Session

_CHECKPOINT = re.compile(r"\s*ttCkpt(?:Blocking)?\s*(?:\([^)]*\))?\s*;?\s*", re.IGNORECASE)
_LOCK_WAIT_S_MAX = 1_000_000  # as in TimesTen
_NOTHING = frozenset({"listen", "unlisten", "notify", "vacuum", "do_nothing", "close"})


_TABLE_MODES = {  # PostgreSQL's; readers wait for none of them
    "ACCESS SHARE": INTENTION_SHARED,
    "ROW SHARE": INTENTION_SHARED,
    "ROW EXCLUSIVE": Mode.INTENTION,
    "SHARE UPDATE EXCLUSIVE": Mode.INTENTION,
    "SHARE": Mode.SHARED,
    "SHARE ROW EXCLUSIVE": SHARED_INTENTION,
    "EXCLUSIVE": Mode.EXCLUSIVE,
    "ACCESS EXCLUSIVE": Mode.EXCLUSIVE,
}


def run_utility(
    session: Session,
    prepared: PreparedStatement,
    plan: UtilityPlan,
    encoder: RowEncoder | None,
    sink: ResultSink,
) -> Execution | None:
    """Run one. Raises GridError; None if it ended inside the call."""
    kind = plan.kind
    arguments = plan.arguments
    tag = prepared.tag_kind
    if kind == "commit":
        return session.end(sink)
    if kind == "rollback":
        return _later(session, prepared, sink, lambda: session.roll_back(sink=sink))
    if session.failed is not None and kind != "rollback_to":
        raise session.refusal()
    if kind == "begin":
        _begin(session, arguments, sink)
    elif kind == "set_transaction":
        _choose_level(session, arguments, sink)
    elif kind == "savepoint":
        _savepoint(session, str(arguments["name"]))
    elif kind == "release":
        _release(session, str(arguments["name"]))
    elif kind == "rollback_to":
        name = str(arguments["name"])
        return _later(session, prepared, sink, lambda: _roll_back_to(session, name, sink))
    elif kind == "lock_table":
        return _later(session, prepared, sink, lambda: _lock_table(session, arguments))
    elif kind == "call":
        called = str(arguments["text"])
        work = optimizer_calls.find(session, called) or _checkpoint(session, called)
        if work is not None:
            return _later(session, prepared, sink, work)
        _call(session, called, sink)
    elif kind == "analyze" and "tables" in arguments:
        names = str(arguments["tables"]).split()
        return _later(session, prepared, sink, optimizer_calls.analyze(session, names))
    elif kind in ("set", "set_schema", "reset", "discard"):
        _set(session, kind, arguments, sink)
    elif kind == "show":
        value = settings.show(session, str(arguments["name"]))
        assert encoder is not None
        sink.rows(encoder([(value,)]), 1)
        tag = "SHOW"
    elif kind != "deallocate" and kind not in _NOTHING:
        raise NotSupportedError(f"{kind.replace('_', ' ').upper()} is not supported")
    sink.done(tag)
    return None


def _later(
    session: Session,
    prepared: PreparedStatement,
    sink: ResultSink,
    body: Callable[[], Coroutine[Any, Any, str]],
) -> Execution:
    return Running(session, prepared, (), None, 0, sink).start(body)


def _begin(session: Session, arguments: dict[str, object], sink: ResultSink) -> None:
    level = str(arguments.get("isolation") or "")
    if level:
        session.choose_isolation(level)
    _choose_access(session, arguments)
    if session.explicit:
        sink.notice("WARNING", "there is already a transaction in progress", "25001")
    session.begin()


def _choose_level(session: Session, arguments: dict[str, object], sink: ResultSink) -> None:
    """SET TRANSACTION: for the present transaction only."""
    level = str(arguments.get("isolation") or "")
    if arguments.get("default"):  # SET SESSION CHARACTERISTICS
        for name, value in arguments.items():
            if name != "default":
                settings.change(session, f"default_transaction_{name}", str(value), sink)
    elif session.explicit or session.implicit:
        if level:
            session.choose_isolation(level)
        _choose_access(session, arguments)
    else:
        sink.notice("WARNING", "SET TRANSACTION can only be used in transaction blocks", "25P01")


def _choose_access(session: Session, arguments: dict[str, object]) -> None:
    """READ ONLY, READ WRITE, DEFERRABLE and NOT DEFERRABLE, where they are said."""
    if "read_only" in arguments:
        session.read_only = arguments["read_only"] == "on"
    if "deferrable" in arguments:
        session.deferrable = arguments["deferrable"] == "on"


def _savepoint(session: Session, name: str) -> None:
    if not session.explicit:
        raise NoTransactionError("SAVEPOINT can only be used in a transaction")
    mark = session.txn.mark() if session.txn is not None else {}
    session.savepoints.append((name, mark, len(session.changed_settings)))
    session.temporary.savepoint(name)


def _checkpoint(session: Session, text: str) -> Callable[[], Coroutine[Any, Any, str]] | None:
    """ttCkpt, ttCkptBlocking: what was committed is on disk on all elements."""
    if _CHECKPOINT.fullmatch(text) is None:
        return None

    async def work() -> str:
        await session.space.make_epoch()
        return "CALL"

    return work


def _call(session: Session, text: str, sink: ResultSink) -> None:
    """A built-in procedure. Raises NotSupportedError for others."""
    name = "".join(text.split()).rstrip(";").upper()
    context = re.fullmatch(r"\s*ttApplicationContext\s*\(\s*'(.*)'\s*\)\s*;?\s*", text, re.I | re.S)
    if context is not None:
        settings.change(session, "application_name", context[1].replace("''", "'"), sink)
        return
    if re.fullmatch(r"TTCOMPACT(?:\([^)]*\))?", name):
        return
    lock_wait = re.fullmatch(r"TTLOCKWAIT(?:\((.*)\))?", name)
    if lock_wait is not None:
        session.lock_wait_ms = _lock_wait_ms(lock_wait[1] or "")
        return
    if name not in ("TTEPOCHCREATE", "TTEPOCHCREATE()"):
        raise NotSupportedError(f"there is no procedure {text.strip()}")
    session.epoch_next = True


def _lock_wait_ms(seconds: str) -> int:
    """The argument of ttLockWait. Raises ParameterError."""
    is_number = re.fullmatch(r"\d+(?:\.\d*)?|\.\d+", seconds)
    if is_number is None or float(seconds) > _LOCK_WAIT_S_MAX:
        raise ParameterError(f"ttLockWait wants seconds from 0 to {_LOCK_WAIT_S_MAX}")
    return int(float(seconds) * 1000)


def _find(session: Session, name: str) -> int:
    for at in range(len(session.savepoints) - 1, -1, -1):
        if session.savepoints[at][0] == name:
            return at
    raise SavepointError(f"savepoint {name.lower()} does not exist")


def _release(session: Session, name: str) -> None:
    del session.savepoints[_find(session, name) :]
    session.temporary.release(name)


async def _roll_back_to(session: Session, name: str, sink: ResultSink) -> str:
    at = _find(session, name)
    _, mark, changes = session.savepoints[at]
    if session.txn is not None:
        if session.txn.failed is not None:
            raise failed_transaction(session.txn.failed)
        manager = session.space.manager
        await manager.finish(manager.undo(session.txn, mark))
    session.temporary.roll_back_to(name)
    settings.undo(session, sink, changes)
    session.aborted = None
    del session.savepoints[at + 1 :]
    return "ROLLBACK"


async def _lock_table(session: Session, arguments: dict[str, object]) -> str:
    if not session.explicit:
        raise NoTransactionError("LOCK TABLE can only be used in a transaction")
    space = session.space
    if session.txn is None:
        session.txn = session.begin_txn()
    mode = _TABLE_MODES.get(str(arguments.get("mode")))
    if mode is None:
        raise ParameterError(f"LOCK TABLE knows no mode {arguments.get('mode')}")
    txn, manager = session.txn, space.manager
    step = LockTable(int(str(arguments["table_id"])), mode)
    wait_s = float(str(arguments.get("wait_s") or 0))
    wait_ms = 0 if arguments.get("nowait") else int(wait_s * 1000) or -1
    mark = txn.mark()
    deadline_s = boottime_s() + FAILOVER_WAIT_S
    while True:
        places = space.router.places
        try:
            for rs in places.replica_sets:
                await manager.run(
                    txn, rs, (step,), space.schema_version, lock_wait_ms=wait_ms, places=places
                )
        except StaleMapError:
            await manager.finish(manager.undo(txn, mark))
            if boottime_s() > deadline_s:
                raise
            await space.router.wait_for_change(RETRY_PAUSE_S)
        except BaseException:  # all of them or none
            await manager.finish(manager.undo(txn, mark))
            raise
        else:
            return "LOCK TABLE"


def _set(session: Session, kind: str, arguments: dict[str, object], sink: ResultSink) -> None:
    name = str(arguments.get("name") or "")
    value = str(arguments.get("value") or "")
    lower = name.lower()
    if kind == "set" or (kind == "reset" and lower != "all"):
        settings.check(name)
    if kind == "set_schema" or lower == "current_schema":
        session.schema = (value or name).upper()
    elif kind == "reset":
        settings.reset(session, name, sink)
    elif kind == "discard":
        if arguments.get("what") == "ALL":
            settings.reset(session, "all", sink)
    elif lower == "transaction_isolation":
        _choose_level(session, {"isolation": value}, sink)
    elif lower in ("transaction_read_only", "transaction_deferrable"):
        shown = "on" if settings.truth(lower, value) else "off"
        _choose_level(session, {lower.removeprefix("transaction_"): shown}, sink)
    elif not arguments.get("local"):
        settings.change(session, name, value, sink)
    elif session.explicit or session.implicit:
        settings.change(session, name, value, sink, local=True)
    else:
        sink.notice("WARNING", "SET LOCAL can only be used in transaction blocks", "25P01")
