"""SQL commands about the client session itself, which the engine never sees.

PREPARE, EXECUTE, DEALLOCATE, DECLARE, FETCH, MOVE, CLOSE work on the names of the wire protocol, as
in PostgreSQL. LISTEN, NOTIFY, UNLISTEN and the session's part of DISCARD are here so that drivers
can reset a connection. Names fold to lower case unless quoted, as PostgreSQL's drivers expect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from protocol.errors import (
    ActiveTransactionError,
    GridError,
    NoTransactionError,
    NotSupportedError,
    SqlSyntaxError,
    TooLargeError,
)
from protocol.sqltypes import SqlType, StorageValue

if TYPE_CHECKING:
    from data.session.engine import Prepared, ResultColumn
    from data.session.session import Session
    from protocol.pgwire.copy_rows import CopyFormat
    from protocol.pgwire.values import RowEncoder

Action = Callable[["Session", "RowEncoder | None"], None]
Types = tuple[SqlType | None, ...]  # as the client declared its parameters


class Command:
    """A session command in the shape of an engine's Prepared."""

    __slots__ = ("_run", "columns", "param_types")

    tag_kind = "SESSION"
    copy: CopyFormat | None = None

    def __init__(self, run: Action, columns: tuple[ResultColumn, ...] | None = None) -> None:
        self._run = run
        self.columns = columns
        self.param_types: tuple[SqlType, ...] = ()

    def run(
        self, session: Session, values: tuple[StorageValue, ...], encoder: RowEncoder | None
    ) -> None:
        """Do it; raises GridError. It may leave the session waiting."""
        self._run(session, encoder)


class Declare(Command):
    """DECLARE, whose query may have parameters."""

    __slots__ = ("_hold", "_name", "_query", "_text")

    def __init__(self, name: str, query: Prepared, text: str, hold: bool) -> None:
        self.columns = None
        self.param_types = query.param_types
        self._name, self._query, self._text, self._hold = name, query, text, hold

    def run(
        self, session: Session, values: tuple[StorageValue, ...], encoder: RowEncoder | None
    ) -> None:
        """Make the cursor."""
        if not self._hold and not session.in_block:
            raise NoTransactionError("DECLARE CURSOR can only be used in transaction blocks")
        session.open_cursor(self._name, self._query, self._text, values, self._hold)
        session.command_done("DECLARE CURSOR")


COMMAND_CHARS_MAX = 4000  # they are worked on at once, on the event loop
_FIRST_LETTERS = frozenset("DdPpEeFfMmCcLlUuNn \t\n\r")
_NAME = r'(?P<name>"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_FLAGS = re.IGNORECASE | re.DOTALL
_FIRST_WORD = re.compile(r"\s*([A-Za-z]+)\b")
_DEALLOCATE = re.compile(rf"\s*DEALLOCATE\s+(?:PREPARE\s+)?{_NAME}\s*", _FLAGS)
_PREPARE = re.compile(
    rf"\s*PREPARE\s+{_NAME}\s*+(?:\((?P<types>[^)]*)\)\s*+)?AS\s+(?P<sql>.+)", _FLAGS
)
_PREPARE_TRANSACTION = re.compile(r"\s*PREPARE\s+TRANSACTION\b", _FLAGS)
_EXECUTE = re.compile(rf"\s*EXECUTE\s+{_NAME}\s*+(?:\((?P<values>.*)\)\s*)?", _FLAGS)
_DECLARE = re.compile(
    rf"\s*DECLARE\s+{_NAME}\s+(?P<options>(?:(?:BINARY|ASENSITIVE|INSENSITIVE|NO|SCROLL)\s+)*)"
    r"CURSOR\s+(?P<hold>WITH\s+HOLD\s+|WITHOUT\s+HOLD\s+)?FOR\s+(?P<sql>.+)",
    _FLAGS,
)
_FETCH = re.compile(
    r"\s*(?P<verb>FETCH|MOVE)\s+"
    r"(?:(?P<direction>NEXT|ALL|\d+|FORWARD\s+ALL|FORWARD\s+\d+|FORWARD|PRIOR|FIRST|LAST|"
    r"(?:ABSOLUTE|RELATIVE|BACKWARD)\s+-?\w+|BACKWARD|-\d+)\s+)?"
    rf"(?:(?:FROM|IN)\s+)?{_NAME}\s*",
    _FLAGS,
)
_CLOSE = re.compile(rf"\s*CLOSE\s+{_NAME}\s*", _FLAGS)
_DISCARD = re.compile(r"\s*DISCARD\s+(ALL|PLANS|SEQUENCES|TEMP|TEMPORARY)\s*", _FLAGS)
_LITERAL = re.compile(
    r"\s*+(?:'(?P<text>(?:[^']|'')*+)'|(?P<plain>[+-]?[\w.]++))"
    r"(?:\s*+::\s*+\w++(?: \w++)*+(?:\([\d, ]*+\))?)?\s*+(?:,|\Z)",
    re.DOTALL,
)  # possessive: no text makes it slow


def recognise(sql: str, session: Session, types: Types = ()) -> Command | None:
    """The command if the statement is one of this module's, else None. Raises GridError."""
    if sql[:1] not in _FIRST_LETTERS:
        return None
    match = _FIRST_WORD.match(sql)
    if match is None:
        return None
    make = _COMMANDS.get(match[1].upper())
    if make is None:
        return None
    if len(sql) > COMMAND_CHARS_MAX:
        if make is _declare and _DECLARE.match(sql) is None:
            return None
        raise TooLargeError(
            f"{match[1].upper()} with more than {COMMAND_CHARS_MAX} characters",
            hint="Prepare long statements by the extended protocol, as drivers do.",
        )
    return _declare(sql, session, types) if make is _declare else make(sql, session)


def startup_settings(parameters: dict[str, str]) -> dict[str, str]:
    """The settings in a startup packet: its parameters and what "options" holds (-c name=value)."""
    settings = {
        name: value
        for name, value in parameters.items()
        if name not in ("user", "database", "options", "replication")
        and not name.startswith("_pq_.")
    }
    words = re.findall(r"(?:\\.|\S)+", parameters.get("options", ""))
    pending = False
    for word in words:
        text = re.sub(r"\\(.)", r"\1", word)
        if pending or text.startswith(("--", "-c")):
            name, found, value = (text if pending else text[2:]).partition("=")
            pending = text == "-c" and not pending
            if found:
                settings[name.replace("-", "_")] = value
    return settings


def _folded(name: str) -> str:
    if name.startswith('"'):
        return name[1:-1].replace('""', '"')
    return name.lower()


def _malformed(word: str) -> SqlSyntaxError:
    return SqlSyntaxError(f"syntax error in {word}", position=1)


@contextmanager
def _inner_text(start: int) -> Iterator[None]:
    """Errors about the statement that begins there point into the whole command."""
    try:
        yield
    except GridError as error:
        if error.position:
            error.position += start
        raise


def _deallocate(sql: str, session: Session) -> Command:
    match = _DEALLOCATE.fullmatch(sql)
    if match is None:
        raise _malformed("DEALLOCATE")
    everything = match["name"].upper() == "ALL"
    name = None if everything else _folded(match["name"])

    def run(session: Session, encoder: RowEncoder | None) -> None:
        session.names.forget_statements(name)
        session.command_done("DEALLOCATE ALL" if everything else "DEALLOCATE")

    return Command(run)


def _prepare(sql: str, session: Session) -> Command | None:
    match = _PREPARE.fullmatch(sql)
    if match is None:
        if _PREPARE_TRANSACTION.match(sql) is not None:
            raise NotSupportedError("PREPARE TRANSACTION is not supported")
        return None
    name, text = _folded(match["name"]), match["sql"]

    def run(session: Session, encoder: RowEncoder | None) -> None:
        with _inner_text(match.start("sql")):
            session.keep_statement(name, text)
        session.command_done("PREPARE")

    return Command(run)


def _execute(sql: str, session: Session) -> Command | None:
    match = _EXECUTE.fullmatch(sql)
    if match is None or match["name"].upper() == "IMMEDIATE":
        return None
    statement = session.names.statement(_folded(match["name"]).encode())
    params = _literals(match["values"] or "")
    wanted = len(statement.prepared.param_types)
    if len(params) != wanted:
        raise SqlSyntaxError(
            f'wrong number of parameters for prepared statement "{_folded(match["name"])}"',
            detail=f"Expected {wanted} parameters but got {len(params)}.",
        )

    def run(session: Session, encoder: RowEncoder | None) -> None:
        session.execute_kept(statement, params, encoder)

    return Command(run, statement.prepared.columns)


def _literals(text: str) -> list[bytes | None]:
    """The parameters of EXECUTE, literals only, as the text the wire would carry."""
    params: list[bytes | None] = []
    at = 0
    while at < len(text):
        match = _LITERAL.match(text, at)
        if match is None:
            raise NotSupportedError("EXECUTE takes literals only; use the extended protocol")
        at = match.end()
        if match["text"] is not None:
            params.append(match["text"].replace("''", "'").encode())
        elif match["plain"].upper() == "NULL":
            params.append(None)
        else:
            params.append(match["plain"].encode())
    return params


def _declare(sql: str, session: Session, types: Types = ()) -> Command | None:
    match = _DECLARE.fullmatch(sql)
    if match is None:
        return None  # an anonymous PL/SQL block begins with DECLARE too
    options = match["options"].upper().split()
    if "SCROLL" in options and "NO" not in options:
        raise NotSupportedError("scrollable cursors are not supported")
    hold = (match["hold"] or "").upper().startswith("WITH ")
    text = match["sql"]
    with _inner_text(match.start("sql")):
        return Declare(_folded(match["name"]), session.prepare(text, types), text, hold)


def _fetch(sql: str, session: Session) -> Command:
    match = _FETCH.fullmatch(sql)
    if match is None:
        raise _malformed("FETCH")
    verb = match["verb"].upper()
    words = (match["direction"] or "NEXT").upper().split()
    if words[0] == "FORWARD":
        words = words[1:] or ["NEXT"]
    if words[0] == "NEXT":
        count = 1
    elif words[0] == "ALL":
        count = 0
    elif words[0].isdigit() and int(words[0]) > 0:
        count = int(words[0])
    else:
        raise NotSupportedError("a cursor only moves forward")
    name = _folded(match["name"])
    columns = session.names.cursor(name).statement.prepared.columns
    fetching = verb == "FETCH"

    def run(session: Session, encoder: RowEncoder | None) -> None:
        portal = session.names.cursor(name)  # a driver keeps the statement: it may be another one
        now = portal.statement.prepared.columns
        if fetching and now is not columns and now != columns:
            raise NotSupportedError(
                "cached plan must not change result type",
                hint="The cursor was declared anew with other columns: prepare FETCH again.",
            )
        session.fetch(portal, count, encoder if fetching else None, verb)

    return Command(run, columns if fetching else None)


def _close(sql: str, session: Session) -> Command:
    match = _CLOSE.fullmatch(sql)
    if match is None:
        raise _malformed("CLOSE")
    everything = match["name"].upper() == "ALL"
    name = None if everything else _folded(match["name"])

    def run(session: Session, encoder: RowEncoder | None) -> None:
        session.names.close_cursor(name)
        session.command_done("CLOSE CURSOR ALL" if everything else "CLOSE CURSOR")

    return Command(run)


def _discard(sql: str, session: Session) -> Command:
    match = _DISCARD.fullmatch(sql)
    if match is None:
        raise _malformed("DISCARD")
    what = match[1].upper()

    def run(session: Session, encoder: RowEncoder | None) -> None:
        if what == "ALL":
            if session.in_block:
                raise ActiveTransactionError("DISCARD ALL cannot run inside a transaction block")
            session.names.close_cursor(None)
            session.names.forget_statements(None)
            session.run_engine("RESET ALL", f"DISCARD {what}")
        else:
            session.command_done(f"DISCARD {what}")

    return Command(run)


def _notification(sql: str, session: Session) -> Command:
    word = sql.split(None, 1)[0].upper()
    if word != "UNLISTEN":
        raise NotSupportedError(f"{word} is not supported")
    return Command(lambda session, encoder: session.command_done("UNLISTEN"))


_COMMANDS: dict[str, Callable[[str, Session], Command | None]] = {
    "DEALLOCATE": _deallocate,
    "PREPARE": _prepare,
    "EXECUTE": _execute,
    "DECLARE": _declare,
    "FETCH": _fetch,
    "MOVE": _fetch,
    "CLOSE": _close,
    "DISCARD": _discard,
    "LISTEN": _notification,
    "NOTIFY": _notification,
    "UNLISTEN": _notification,
}
