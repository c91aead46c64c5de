"""TimesTen's built-in procedures for the planner: statistics, and hints for one transaction.

| call | here |
|---|---|
| ttOptUpdateStats([table, …]), ttOptEstimateStats(table, …) | statistics are taken |
| ttOptClearStats([table]) | statistics forgotten |
| ttOptSetFlag(flag, value), ttOptSetOrder(tables), ttOptUseIndex(table, index, use) | a hint |
| ttOptSetOrder(), ttOptUseIndex() | that hint is taken back |

Hints hold until the transaction ends. A statement's own come before them, OptimizerHint after.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from data.exec import statistics
from protocol.errors import NoTransactionError, ParameterError

if TYPE_CHECKING:
    from data.exec.session import Session

Work = Callable[[], Coroutine[Any, Any, str]]

_CALL = re.compile(r"\s*(?P<name>\w+)\s*(?:\((?P<arguments>.*)\))?\s*;?\s*", re.DOTALL)
_ARGUMENT = re.compile(r"\s*(?:'(?P<text>(?:[^']|'')*)'|(?P<plain>[^,']*?))\s*(?:,|$)")
_FLAGS = {  # flag of ttOptSetFlag → hint
    "BRANCHANDBOUND": "TT_BRANCHANDBOUND",
    "DYNAMICLOADENABLE": "TT_DYNAMICLOADENABLE",
    "FIRSTROW": "TT_FIRSTROW",
    "FORCECOMPILE": "TT_FORCECOMPILE",
    "GENPLAN": "TT_GENPLAN",
    "GLOBALPROCESSING": "TT_GLOBALPROCESSING",
    "HASH": "TT_HASHSCAN",
    "HASHGB": "TT_HASHGB",
    "INDEXEDOR": "TT_INDEXEDOR",
    "MERGEJOIN": "TT_MERGEJOIN",
    "NESTEDLOOP": "TT_NESTEDLOOPJOIN",
    "NOREMROWIDOPT": "TT_NOREMROWIDOPT",
    "PASSTHROUGH": "TT_PASSTHROUGH",
    "RANGE": "TT_RANGE",
    "ROWID": "TT_ROWID",
    "ROWLOCK": "TT_ROWLOCK",
    "SCAN": "TT_TBLSCAN",
    "SHOWJOINORDER": "TT_SHOWJOINORDER",
    "TBLLOCK": "TT_TBLLOCK",
    "TMPHASH": "TT_TMPHASH",
    "TMPRANGE": "TT_TMPRANGE",
    "TMPTABLE": "TT_TMPTABLE",
    "USEBOYERMOORESTRINGSEARCH": "TT_USEBOYERMOORESTRINGSEARCH",
}


def find(session: Session, text: str) -> Work | None:
    """What a CALL of one of these procedures does; None for others. Raises ParameterError."""
    match = _CALL.fullmatch(text)
    if match is None:
        return None
    name = match["name"].upper()
    arguments = _arguments(match["arguments"] or "")
    if name in ("TTOPTUPDATESTATS", "TTOPTESTIMATESTATS"):
        return lambda: _done(statistics.update(session, _tables(arguments)))
    if name == "TTOPTCLEARSTATS":
        return lambda: _done(statistics.clear(session, _tables(arguments)))
    if name in ("TTOPTSETFLAG", "TTOPTSETORDER", "TTOPTUSEINDEX"):
        return lambda: _done(_hint(session, name, arguments))
    return None


def analyze(session: Session, names: list[str]) -> Work:
    """ANALYZE of PostgreSQL."""

    async def work() -> str:
        await statistics.update(session, names)
        return "ANALYZE"

    return work


async def _done(work: Coroutine[Any, Any, None]) -> str:
    await work
    return "CALL"


def _arguments(text: str) -> list[str]:
    found: list[str] = []
    at = 0
    while at < len(text):
        match = _ARGUMENT.match(text, at)
        if match is None or match.end() == at:
            raise ParameterError(f"the arguments of a CALL are literals: {text.strip()}")
        quoted = match["text"]
        found.append(match["plain"] if quoted is None else quoted.replace("''", "'"))
        at = match.end()
    return found


def _tables(arguments: list[str]) -> list[str]:
    name = arguments[0].strip().upper() if arguments else ""
    return [] if name in ("", "NULL") else [name]


async def _hint(session: Session, name: str, arguments: list[str]) -> None:
    if not session.explicit:
        raise NoTransactionError(
            f"{name} holds until the transaction ends, and there is none",
            hint="BEGIN first, or use the hint in the statement or in OptimizerHint.",
        )
    hints = session.transaction_hints
    if name == "TTOPTSETFLAG":
        if len(arguments) != 2:
            raise ParameterError("ttOptSetFlag takes a flag and its value")
        flag = _FLAGS.get(arguments[0].strip().upper())
        if flag is None:
            raise ParameterError(
                f"ttOptSetFlag knows no flag {arguments[0]!r}", hint=f"Flags: {', '.join(_FLAGS)}"
            )
        hints[flag] = arguments[1].strip()
    elif name == "TTOPTSETORDER":
        hints["TT_JOINORDER"] = " ".join(arguments).strip()
        if not hints["TT_JOINORDER"]:
            del hints["TT_JOINORDER"]
    else:
        if not arguments:
            hints.pop("TT_INDEX", None)
            return
        parts = [p.strip() for p in ",".join(arguments).split(",")]
        if len(parts) % 3:
            raise ParameterError("ttOptUseIndex takes table, index and 0 or 1")
        old = hints.get("TT_INDEX")
        hints["TT_INDEX"] = ",".join([old, *parts] if old else parts)


def as_text(hints: dict[str, str]) -> str:
    """As hints are written in a statement."""
    return " ".join(f"{name}({argument})" for name, argument in hints.items())
