"""The settings of one session: SET, SHOW, RESET, the startup packet, set_config().

Most are only remembered, for clients that look at them. Those in `_EFFECTS` do something.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from data.catalog.known_settings import is_known
from data.catalog.settings import SETTINGS, default_setting
from data.plsql.memory import MB
from data.sql.date_functions import is_zone
from data.sql.parse import check_hints
from data.txn.isolation import isolation_of, shown_name
from protocol.errors import FixedParameterError, ParameterError, UnknownObjectError

if TYPE_CHECKING:
    from data.exec.session import Session
    from data.session.engine import ResultSink

ON_STATEMENT_ERROR = "tengrid.on_statement_error"
PARTIAL_RESULT = "tt_partialresult"
OPTIMIZER_HINT = "optimizerhint"
CONTINUE, ABORT = "continue", "abort"
_UNITS_MS = {"": 1, "us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d|)\s*")
_MS_MAX = 2**31 - 1
_ALIASES = {
    "transaction_isolation_level": "transaction_isolation",
    "create_epoch_at_commit": "createepochatcommit",
    "optimizer_hint": OPTIMIZER_HINT,
}


def duration_ms(name: str, value: str) -> int:
    """Milliseconds of a number with an optional unit. Raises ParameterError."""
    match = _DURATION.fullmatch(value.lower())
    milliseconds = float(match[1]) * _UNITS_MS[match[2]] if match is not None else -1.0
    if not 0 <= milliseconds <= _MS_MAX:
        raise ParameterError(
            f'invalid value for parameter "{name}": "{value}"',
            hint='A number of milliseconds, or with a unit: "us", "ms", "s", "min", "h", "d".',
        )
    return -int(-milliseconds // 1) if milliseconds < 1 else int(milliseconds)


class Change(NamedTuple):
    """Of a setting, inside a transaction. `before`: the value SHOW gave."""

    name: str
    before: str
    local: bool


# -- settings that do something: each sets and gives the value SHOW gives --------------------------
def _on_statement_error(session: Session, value: str) -> str:
    if value.lower() not in (CONTINUE, ABORT):
        raise ParameterError(
            f'invalid value for parameter "{ON_STATEMENT_ERROR}": "{value}"',
            hint=f"{CONTINUE}: a failed statement undoes only itself; {ABORT}: as in PostgreSQL, "
            "the transaction can only be rolled back.",
        )
    session.aborts_on_error = value.lower() == ABORT
    return value.lower()


def _lock_wait(session: Session, value: str) -> str:
    try:
        session.lock_wait_ms = max(0, int(float(value) * 1000))
    except (ValueError, OverflowError):
        raise ParameterError(f"lock_wait takes seconds, not {value}") from None
    return f"{session.lock_wait_ms / 1000:g}"


def _lock_timeout(session: Session, value: str) -> str:
    """PostgreSQL's name for LockWait; 0, its default, means the database's LockWait."""
    wanted = duration_ms("lock_timeout", value)
    session.lock_wait_ms = wanted or session.space.lock_wait_ms
    return _shown_ms(wanted)


def _statement_timeout(session: Session, value: str) -> str:
    wanted = duration_ms("statement_timeout", value)
    session.statement_timeout_s = wanted / 1000
    return _shown_ms(wanted)


def _idle_in_transaction(session: Session, value: str) -> str:
    wanted = duration_ms("idle_in_transaction_session_timeout", value)
    session.idle_in_transaction_timeout_s = wanted / 1000
    return _shown_ms(wanted)


def _idle_session(session: Session, value: str) -> str:
    wanted = duration_ms("idle_session_timeout", value)
    session.idle_session_timeout_s = wanted / 1000
    return _shown_ms(wanted)


def _shown_ms(milliseconds: int) -> str:
    for unit in ("d", "h", "min", "s"):
        whole, rest = divmod(milliseconds, int(_UNITS_MS[unit]))
        if whole and not rest:
            return f"{whole}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0"


def _default_isolation(session: Session, value: str) -> str:
    session.default_isolation = isolation_of(value)
    session.default_isolation_name = shown_name(value)
    return session.default_isolation_name


def _of_transactions(name: str) -> Callable[[Session, str], str]:
    """default_transaction_read_only or ..._deferrable: of the next transactions."""

    def take(session: Session, value: str) -> str:
        on = truth(f"default_transaction_{name}", value)
        setattr(session, f"default_{name}", on)
        if not (session.explicit or session.implicit):
            setattr(session, name, on)
        return _shown_truth(on)

    return take


def _of_this_transaction(name: str) -> Callable[[Session, str], str]:
    """transaction_read_only or ..._deferrable."""

    def take(session: Session, value: str) -> str:
        on = truth(f"transaction_{name}", value)
        setattr(session, name, on)
        return _shown_truth(on)

    return take


def truth(name: str, value: str) -> bool:
    """Of a setting that is on or off. Raises ParameterError."""
    if value.lower() not in ("on", "off", "true", "false", "yes", "no", "1", "0"):
        raise ParameterError(f'parameter "{name}" requires a Boolean value')
    return value.lower() in ("on", "true", "yes", "1")


def _shown_truth(value: bool) -> str:
    return "on" if value else "off"


def _epoch_at_commit(session: Session, value: str) -> str:
    session.epoch_at_commit = value.lower() in ("1", "on", "true", "yes")
    return "1" if session.epoch_at_commit else "0"


def _partial_result(session: Session, value: str) -> str:
    if value.lower() not in ("0", "1", "on", "off", "true", "false"):
        raise ParameterError(
            f'invalid value for parameter "{PARTIAL_RESULT}": "{value}"',
            hint="1: queries give what they can while replica sets are down; 0: they fail.",
        )
    session.partial_results = value.lower() in ("1", "on", "true")
    return "1" if session.partial_results else "0"


def _optimizer_hint(session: Session, value: str) -> str:
    session.optimizer_hint = check_hints(value)
    return session.optimizer_hint


def _client_encoding(session: Session, value: str) -> str:
    if value.upper().replace("-", "") not in ("UTF8", "UNICODE"):
        raise ParameterError(
            f"client_encoding {value} is not supported", hint="Use UTF8: the database speaks it."
        )
    return "UTF8"


def _date_style(session: Session, value: str) -> str:
    words = [word.strip().lower() for word in value.split(",")]
    if words[0] not in ("iso", "default", "mdy", "dmy", "ymd"):
        raise _only("DateStyle", value, "ISO")
    return "ISO, MDY"


def _interval_style(session: Session, value: str) -> str:
    if value.lower() not in ("postgres", "default"):
        raise _only("IntervalStyle", value, "postgres")
    return "postgres"


def _plain_strings(session: Session, value: str) -> str:
    if not truth("standard_conforming_strings", value):
        raise _only("standard_conforming_strings", value, "on")
    return "on"


def _time_zone(session: Session, value: str) -> str:
    """It has to be one; moments are shown in UTC all the same, with their offset."""
    zone = value.strip()
    if zone.lower() in ("local", "default"):
        return "UTC"
    if not is_zone(zone):
        raise ParameterError(
            f'invalid value for parameter "TimeZone": "{value}"',
            hint="A name as Europe/Berlin, or an offset as +02:00.",
        )
    return zone


def _only(name: str, value: str, wanted: str) -> ParameterError:
    """Drivers go by the setting they are told: it must be what is done."""
    return ParameterError(f"{name} {value} is not supported", hint=f"It is always {wanted}.")


def _search_path(session: Session, value: str) -> str:
    """PostgreSQL's way to the current schema: the first of the list that there is.

    `"$user"` and `public` are the user's own. No schema of the list: it stays as it is.
    """
    for part in value.split(","):
        name = part.strip().strip("\"'")
        if name.lower() in ("$user", "public"):
            session.schema = session.user
            break
        owner = session.space.catalog.user(name)
        if owner is not None:
            session.schema = owner.name
            break
    return value


def _plsql_memory(session: Session, value: str) -> str:
    """PLSQL_CONN_MEM_LIMIT: MB, 0 for none."""
    if not value.isdecimal():
        raise ParameterError(f"plsql_conn_mem_limit takes megabytes, not {value}")
    session.packages.memory.limit = int(value) * MB
    return str(int(value))


_EFFECTS: dict[str, Callable[[Session, str], str]] = {
    ON_STATEMENT_ERROR: _on_statement_error,
    "lock_wait": _lock_wait,
    "lock_timeout": _lock_timeout,
    "statement_timeout": _statement_timeout,
    "idle_in_transaction_session_timeout": _idle_in_transaction,
    "idle_session_timeout": _idle_session,
    "default_transaction_isolation": _default_isolation,
    "default_transaction_read_only": _of_transactions("read_only"),
    "default_transaction_deferrable": _of_transactions("deferrable"),
    "transaction_read_only": _of_this_transaction("read_only"),
    "transaction_deferrable": _of_this_transaction("deferrable"),
    "createepochatcommit": _epoch_at_commit,
    PARTIAL_RESULT: _partial_result,
    OPTIMIZER_HINT: _optimizer_hint,
    "client_encoding": _client_encoding,
    "search_path": _search_path,
    "datestyle": _date_style,
    "intervalstyle": _interval_style,
    "standard_conforming_strings": _plain_strings,
    "timezone": _time_zone,
    "plsql_conn_mem_limit": _plsql_memory,
}


# of a startup packet they are ignored: the client is told what they are
_FIXED = (
    "client_encoding",
    "datestyle",
    "intervalstyle",
    "standard_conforming_strings",
    "timezone",
)


# -- what others call ------------------------------------------------------------------------------
def start(session: Session, parameters: dict[str, str]) -> None:
    """Take the startup packet's settings; unknown ones are ignored. Raises ParameterError."""
    for name, value in parameters.items():
        key = _key(name)
        if key in _EFFECTS and key not in _FIXED:
            change(session, key, value)


def check(name: str) -> None:
    """That SET may name it. Raises UnknownObjectError, FixedParameterError."""
    key = _key(name)
    if key not in _EFFECTS and not is_known(key):
        raise UnknownObjectError(
            f'unrecognized configuration parameter "{name}"',
            hint="pg_settings has those that there are; a name of your own has a dot in it.",
        )
    if key in SETTINGS and not SETTINGS[key].settable:
        raise FixedParameterError(f'parameter "{SETTINGS[key].name}" cannot be changed')


def change(
    session: Session, name: str, value: str, sink: ResultSink | None = None, *, local: bool = False
) -> None:
    """SET [LOCAL]; the client hears of it through the sink. Raises ParameterError."""
    key = _key(name)
    before = _before(session, key) if local or session.explicit else None
    lock_wait = show(session, "lock_wait")
    effect = _EFFECTS.get(key)
    shown = effect(session, value) if effect is not None else value
    known = next((k for k in session.settings if k.lower() == key), key)
    session.settings[known] = shown
    if before is not None:
        if key == "lock_timeout":  # LockWait has changed with it
            session.changed_settings.append(Change("lock_wait", lock_wait, local))
        session.changed_settings.append(Change(key, before, local))
    if sink is not None:
        sink.parameter(known, shown)


def _before(session: Session, key: str) -> str | None:
    """The present value, None for a setting never heard of."""
    try:
        return show(session, key)
    except UnknownObjectError:
        return None


def end_local(session: Session, sink: ResultSink | None = None) -> None:
    """The transaction is over: what SET LOCAL changed is as it was, if no SET came after it."""
    changes, session.changed_settings = session.changed_settings, []
    kept: set[str] = set()
    for name, before, local in reversed(changes):
        if not local:
            kept.add(name)
        elif name not in kept:
            change(session, name, before, sink)
    session.changed_settings = []


def undo(session: Session, sink: ResultSink | None = None, mark: int = 0) -> None:
    """ROLLBACK [TO]: what SET changed in the transaction since the mark is as it was."""
    undone, left = session.changed_settings[mark:], session.changed_settings[:mark]
    for name, before, _ in reversed(undone):
        change(session, name, before, sink)
    session.changed_settings = left


def reset(session: Session, name: str, sink: ResultSink | None = None) -> None:
    """RESET name, RESET ALL, DISCARD ALL: back to what the connection began with."""
    key = _key(name)
    for each in [key] if key != "all" else [k.lower() for k in session.initial_settings]:
        if each in session.initial_settings and (each not in SETTINGS or SETTINGS[each].settable):
            change(session, each, session.initial_settings[each], sink)


def initial(session: Session) -> dict[str, str]:
    """Of a new session, by name in lower case, for RESET."""
    kept = (*_EFFECTS, *(name.lower() for name in session.settings))
    return {name: show(session, name) for name in kept if name != "session_authorization"}


def show(session: Session, name: str) -> str:
    """The value SHOW gives. Raises UnknownObjectError for a setting never heard of."""
    key = _key(name)
    if key == "lock_wait":
        return f"{session.lock_wait_ms / 1000:g}"
    if key == "transaction_isolation":
        return session.isolation_name
    if key == "transaction_read_only":
        return _shown_truth(session.read_only)
    if key == "transaction_deferrable":
        return _shown_truth(session.deferrable)
    if key == "default_transaction_isolation":
        return session.default_isolation_name
    if key == "createepochatcommit":
        return "1" if session.epoch_at_commit else "0"
    if key == PARTIAL_RESULT:
        return "1" if session.partial_results else "0"
    if key == OPTIMIZER_HINT:
        return session.optimizer_hint
    if key == ON_STATEMENT_ERROR:
        return ABORT if session.aborts_on_error else CONTINUE
    for known, value in session.settings.items():
        if known.lower() == key:
            return value
    default = default_setting(key)
    if default is None:
        raise UnknownObjectError(f'unrecognized configuration parameter "{name}"')
    return default


def _key(name: str) -> str:
    key = name.lower().replace(" ", "_")
    return _ALIASES.get(key, key)
