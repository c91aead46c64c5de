"""Requests and replies of the console about what goes on in a database. No I/O."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from mgmt.api.schema import Reply, Request

ROWS_MAX = 10_000
TIMEOUT_S_MAX = 600.0


# -- SQL ------------------------------------------------------------------------------------------
class SqlRun(Request, frozen=True, kw_only=True):
    """Run one statement as the instance administrator, at a data instance; it commits by itself."""

    PATH: ClassVar[str] = "sql/run"
    name: str  # of the database
    text: str
    number: str = ""  # chosen by the caller: with it sql/cancel ends the statement
    instance: str = ""  # "": one that serves
    schema: str = ""  # of names without owner; "": the administrator's
    rows_max: int = 500
    timeout_s: float = 30.0
    explain: bool = False  # also say how it is run, and where


class SqlError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a statement failed, as a client is told."""

    sqlstate: str
    message: str
    detail: str = ""
    hint: str = ""
    position: int = 0  # of the character, from 1; 0: not known


class SqlRunReply(Reply, frozen=True, kw_only=True):
    """Answer of SqlRun: values as text, null for NULL. A failed statement is an answer too."""

    instance: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    tag: str = ""
    more: bool = False
    elapsed_us: int = 0
    notices: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()  # lines of EXPLAIN
    error: SqlError | None = None


class SqlCancel(Request, frozen=True, kw_only=True):
    """Cancel a statement of SqlRun."""

    PATH: ClassVar[str] = "sql/cancel"
    number: str


# -- tables ---------------------------------------------------------------------------------------
class DbBalance(Request, frozen=True, kw_only=True):
    """Rows of each table in each replica set: counts them, so it costs a scan of each table."""

    PATH: ClassVar[str] = "databases/balance"
    name: str


class TableBalance(msgspec.Struct, frozen=True, kw_only=True):
    """One table; `error`: why it could not be counted."""

    owner: str
    table: str
    rows: tuple[tuple[int, int], ...]  # replica set, rows
    error: str = ""


class DbBalanceReply(Reply, frozen=True, kw_only=True):
    """Answer of DbBalance."""

    tables: tuple[TableBalance, ...]
    more: bool = False  # there are more tables than were counted


class DbThrottle(Request, frozen=True, kw_only=True):
    """Change how fast a redistribution under way may move rows; 0: it is not limited."""

    PATH: ClassVar[str] = "databases/throttle"
    name: str
    rows_per_s: int
