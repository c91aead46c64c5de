"""Hints for the planner: which do something here, and what is said of the others. Pure.

A statement's hints come first, then those of the transaction, then the connection's (they are read
from one text, data/sql/parse.py). What is unknown, or means nothing here, is ignored, and EXPLAIN
says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from data.catalog.objects import Index
from data.sql.ir import Call, ColumnExpr, Query, Select, Source, all_queries
from data.sql.scope import shown

_ELSEWHERE = {  # seen to by others
    "TT_GRIDQUERYEXEC",
    "TT_PARTIALRESULT",
    "TT_COMMITDMLONSUCCESS",
    "TT_ROWLOCK",
    "TT_TBLLOCK",
}
_NO_MEANING = {  # TimesTen has them
    "TT_BRANCHANDBOUND": "join orders are searched by SQLite",
    "TT_DYNAMICLOADENABLE": "there are no cache groups",
    "TT_FIRSTROW": "rows are sent as they are found",
    "TT_FORCECOMPILE": "plans are made anew when the schema or the statistics change",
    "TT_GENPLAN": "EXPLAIN shows the plan",
    "TT_GLOBALLOCALJOIN": "the planner sends the smaller side by itself",
    "TT_GLOBALPROCESSING": "there are no global hash indexes to prefer",
    "TT_HASHGB": "SQLite groups by sorting, or along an index",
    "TT_INDEXEDOR": "SQLite uses an index per branch of an OR by itself",
    "TT_MERGEJOIN": "SQLite joins by nested loops",
    "TT_NESTEDLOOPJOIN": "SQLite always joins by nested loops",
    "TT_NOREMROWIDOPT": "there is no remote row id",
    "TT_PASSTHROUGH": "there are no cache groups",
    "TT_PREFETCHCOUNT": "the size of batches is fixed",
    "TT_ROWID": "rows have no row id",
    "TT_SHOWJOINORDER": "EXPLAIN shows the plan",
    "TT_TBLSCAN": "a scan is always possible",
    "TT_TMPHASH": "SQLite decides on temporary indexes",
    "TT_TMPRANGE": "SQLite decides on temporary indexes",
    "TT_TMPTABLE": "SQLite decides on temporary tables",
    "TT_USEBOYERMOORESTRINGSEARCH": "SQLite searches texts in its own way",
}
_COMPARISONS = ("({0} = {1}", "({0} < {1}", "({0} > {1}", "({0} <= {1}", "({0} >= {1}", "({0} IN (")


def apply_hints(query: Query, hints: Mapping[str, str]) -> list[str]:
    """Change the query as the hints say; a line for each that is ignored."""
    notes: list[str] = []
    for name, argument in hints.items():
        if name in _ELSEWHERE:
            continue
        if name == "TT_INDEX":
            notes += _indexes(query, argument)
        elif name == "TT_JOINORDER":
            notes += _join_order(query, argument)
        elif name in ("TT_RANGE", "TT_HASHSCAN"):
            notes += _no_indexes(query, hints, name)
        elif name in _NO_MEANING:
            notes.append(f"Hint {name} ignored: {_NO_MEANING[name]}")
        else:
            notes.append(f"Hint {name} ignored: it is not known")
    return notes


def _sources(query: Query, name: str) -> list[tuple[Select, Source]]:
    """The tables of that name or alias."""
    return [
        (part, source)
        for part in all_queries(query)
        if isinstance(part, Select)
        for source in part.sources
        if source.table is not None and name in (source.name, source.table.name)
    ]


def _no_indexes(query: Query, hints: Mapping[str, str], name: str) -> list[str]:
    """TT_Range(0) and TT_HashScan(0) together: tables are scanned."""
    if hints.get("TT_RANGE") == "0" and hints.get("TT_HASHSCAN") == "0":
        for part in all_queries(query):
            for source in part.sources if isinstance(part, Select) else ():
                source.index_hint = source.index_hint or " NOT INDEXED"
        return []
    if hints[name] == "0":
        return [f"Hint {name} ignored: only with TT_Range(0) and TT_HashScan(0) are tables scanned"]
    return []


def _indexes(query: Query, argument: str) -> list[str]:
    parts = [p.strip() for p in argument.replace(";", ",").split(",")]
    if len(parts) % 3:
        return ["Hint TT_INDEX ignored: it takes table, index and 0 or 1"]
    notes: list[str] = []
    for at in range(0, len(parts), 3):
        table_name, index_name, use = parts[at : at + 3]
        found = _sources(query, table_name)
        if not found:
            notes.append(f"Hint TT_INDEX ignored: no table {shown(table_name)} here")
        for block, source in found:
            assert source.table is not None
            index = next((i for i in source.table.indexes if i.name == index_name), None)
            problem = _unusable(block, source, index, use)
            if problem:
                notes.append(f"Hint TT_INDEX ignored: {problem}")
            elif use == "0":
                source.index_hint = " NOT INDEXED"
            else:
                assert index is not None
                source.index_hint = f' INDEXED BY "IX.{index.id}"'
    return notes


def _unusable(block: Select, source: Source, index: Index | None, use: str) -> str:
    """Why SQLite could not be told to use (or not to use) it; "" if it can."""
    table = source.table
    assert table is not None
    if index is None:
        return f"{shown(table.name)} has no such index"
    if use == "0":
        return ""
    name = shown(index.name)
    if index.is_global:
        return f"{name} is a global index: it says where rows are"
    if index.primary and not table.row_key:
        return f"{name} is the primary key: SQLite finds it by itself"
    conditions = block.where + [c for s in block.sources for c in s.on]
    for condition in conditions:
        if isinstance(condition, Call) and condition.template.startswith(_COMPARISONS):
            sides = condition.args
            for side in sides[: 1 if " IN (" in condition.template else 2]:
                if (
                    isinstance(side, ColumnExpr)
                    and side.source is source
                    and side.name == index.columns[0]
                ):
                    return ""
    return f"no condition compares the first column of {name}"


def _join_order(query: Query, argument: str) -> list[str]:
    names = argument.replace(",", " ").split()
    if not names:
        return ["Hint TT_JOINORDER ignored: it names no tables"]
    notes = ["Hint TT_JOINORDER ignored: no block joins these tables by inner joins alone"]
    for part in all_queries(query):
        if not isinstance(part, Select) or len(part.sources) < 2:
            continue
        by_name = {s.name: s for s in part.sources}
        if not all(n in by_name for n in names):
            continue
        if any(s.join not in ("", "inner") or s.lateral for s in part.sources):
            continue
        first = [by_name[n] for n in dict.fromkeys(names)]
        part.sources = first + [s for s in part.sources if s not in first]
        for number, source in enumerate(part.sources):
            part.where += source.on
            source.on = []
            source.join = "inner" if number else ""
            source.in_order = 0 < number < len(first)
        notes = []
    return notes
