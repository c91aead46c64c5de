"""Management (or a tool) → data instance: what it counts and measures.

Numbers go by name: protocol/metric_names.py says what each of them means. Counters count since
the instance began, those of a database since it was loaded there: `began_us` tells a restart.
"""

from __future__ import annotations

import msgspec

from protocol.messages import registry

Numbers = dict[str, float]


class Times(msgspec.Struct, frozen=True, array_like=True):
    """A latency histogram: slots as in protocol/metrics.py, empty ones at the end left out."""

    slots: tuple[int, ...]
    total_ns: int


class CopyLag(msgspec.Struct, frozen=True, array_like=True):
    """How far a copy is behind, as its lead sees it."""

    element: int
    phase: str  # synced | streaming | joining | probing | lost
    entries: int  # of the log that it has not acknowledged; -1: not known
    seconds: float  # since when it lacks something; 0.0: it lacks nothing


class StatementFigures(msgspec.Struct, frozen=True, array_like=True):
    """One statement of the cache."""

    number: int  # SQLCMDID
    text: str  # cut after TEXT_CHARS_MAX
    user: str
    kind: str  # of protocol/metrics.py KINDS
    plan: str  # single | co-located | general | ""
    times: Times
    longest_ns: int
    rows: int  # returned or changed
    errors: int


class DatabaseFigures(msgspec.Struct, frozen=True, array_like=True):
    """One loaded element, and what its instance coordinates for its own clients."""

    database: str
    element: int
    data_space: int
    replica_set: int  # 0: not in the distribution map
    role: str  # lead | copy | catching-up | waiting-for-seed | idle
    is_open: bool
    began_us: int  # wall clock: when it was loaded
    numbers: Numbers
    statements: dict[str, Times]  # by kind
    commits: Times
    errors: tuple[tuple[str, str, int], ...]  # code, SQLSTATE, how often it was answered
    copies: tuple[CopyLag, ...]  # of the lead
    cache: tuple[StatementFigures, ...] = ()


class AskFigures(msgspec.Struct, frozen=True, array_like=True, tag="figures.ask"):
    """Reply: Figures. `statements`: so many of each cache, those that took most time first."""

    database: str = ""  # "": all
    statements: int = 0


class Figures(msgspec.Struct, frozen=True, array_like=True, tag="figures.told"):
    """Reply to AskFigures. The sum of several instances is what happened in the grid."""

    instance: str
    incarnation: str
    taken_us: int  # wall clock
    began_us: int  # wall clock: when the process began
    numbers: Numbers
    event_loop: Times  # how late its turns came
    databases: tuple[DatabaseFigures, ...]


registry.declare_module(__name__)
