"""Requests and replies about what a database does: rates, times, statements. No I/O.

Times are in seconds. Rates are those of the last seconds, and -1 while they are not known yet: they
come from two looks, so ask again a second later.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from mgmt.api.schema import Reply, Request

UNKNOWN = -1.0


class DbActivity(Request, frozen=True, kw_only=True):
    """What a database does now, over all its data instances."""

    PATH: ClassVar[str] = "databases/activity"
    name: str


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how long. -1: nothing happened, or it is not known yet."""

    per_s: float = UNKNOWN
    p50_s: float = UNKNOWN
    p95_s: float = UNKNOWN
    p99_s: float = UNKNOWN
    total: int = 0  # since the instances loaded the database


class KindActivity(msgspec.Struct, frozen=True, kw_only=True):
    """Statements of one kind: select, insert, ..."""

    kind: str
    times: Percentiles


class ErrorActivity(msgspec.Struct, frozen=True, kw_only=True):
    """Statements that failed with one code."""

    code: str
    sqlstate: str
    per_s: float
    total: int


class ActivityPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One second or so."""

    at_us: int
    statements_per_s: float
    commits_per_s: float
    errors_per_s: float
    p95_s: float


class DbActivityReply(Reply, frozen=True, kw_only=True):
    """Answer of DbActivity."""

    name: str
    as_of_us: int
    silent: tuple[str, ...]  # instances that did not answer
    statements: Percentiles
    commits: Percentiles
    kinds: tuple[KindActivity, ...]
    errors: tuple[ErrorActivity, ...]
    # sums over the instances, by the names of docs/monitoring.md
    numbers: dict[str, float]
    rates: dict[str, float]  # per second, of those that end in _total
    history: tuple[ActivityPoint, ...]


class DbStatements(Request, frozen=True, kw_only=True):
    """The statement caches of a database's instances, put together."""

    PATH: ClassVar[str] = "databases/statements"
    name: str
    limit: int = 200


class StatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """One statement. `plan`: single, co-located, general, or "" for what has none."""

    text: str
    user: str
    kind: str
    plan: str
    count: int
    total_s: float
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    longest_s: float
    rows: int
    errors: int
    instances: tuple[str, ...]


class DbStatementsReply(Reply, frozen=True, kw_only=True):
    """Answer of DbStatements: those that took most time first."""

    statements: tuple[StatementRow, ...]
    silent: tuple[str, ...]
