"""Runs files in the sqllogictest format against the SQL port: `make sqllogictest FILES=...`.

The format is SQLite's (sqlite.org/sqllogictest, about.wiki): `statement ok|error`, `query TYPES
[nosort|rowsort|valuesort] [label]`, `skipif`/`onlyif`, `hash-threshold`, `halt`. Results stand one
value on a line, or, easier to read, one row on a line; `statement error` may name an SQLSTATE.
Statements go to the data instances in turn, each in autocommit.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import structlog

from tests.sql.target import Connection, Words, drop, objects, target

ENGINES = ("tengrid", "oracle")  # which we are to skipif and onlyif
HASHED = re.compile(r"(\d+) values hashing to ([0-9a-f]{32})$")
STATEMENT_S = 60
SHOWN_LINES = 12


class Record(NamedTuple):
    """One statement or query of a file. `expected`: lines of a query, else the SQLSTATE or none."""

    line: int
    kind: str  # "ok", "error", "query"
    sql: str
    types: str = ""
    sort: str = "nosort"
    label: str = ""
    expected: tuple[str, ...] = ()


class Failure(NamedTuple):
    """What went wrong; `why` begins with the kind of the failure."""

    file: str
    line: int
    sql: str
    why: str


@dataclass
class Total:
    """Of one run."""

    passed: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)


# -- the format ------------------------------------------------------------------------------------
def records(text: str, engines: Sequence[str] = ENGINES) -> Iterator[Record | None]:
    """The records in order; None for one that is not for us. Raises ValueError."""
    lines = text.splitlines()
    at = 0
    wanted = True
    while at < len(lines):
        words = lines[at].split("#")[0].split()
        if not words:
            at += 1
        elif words[0] in ("skipif", "onlyif"):
            wanted = wanted and (words[1] in engines) == (words[0] == "onlyif")
            at += 1
        elif words[0] == "hash-threshold":  # results of more values may be given as a hash
            at += 1
        elif words[0] == "halt":
            if wanted:
                return
            wanted, at = True, at + 1
        elif words[0] in ("statement", "query"):
            end = next((n for n in range(at, len(lines)) if not lines[n].strip()), len(lines))
            yield _record(at + 1, words, lines[at + 1 : end]) if wanted else None
            wanted, at = True, end
        else:
            raise ValueError(f"line {at + 1}: {lines[at]!r} is no record")


def _record(line: int, words: list[str], body: list[str]) -> Record:
    if words[0] == "statement":
        return Record(line, words[1], "\n".join(body), expected=tuple(words[2:3]))
    cut = body.index("----") if "----" in body else len(body)
    modes = words[2:]
    sort = modes.pop(0) if modes and modes[0] in ("nosort", "rowsort", "valuesort") else "nosort"
    return Record(
        line, "query", "\n".join(body[:cut]), words[1], sort, "".join(modes[:1]),
        tuple(body[cut + 1 :]),
    )  # fmt: skip


def shown(value: object, kind: str) -> str:
    """A value as the format writes it, by the type letter of its column."""
    if value is None:
        return "NULL"
    if kind == "I":
        return _whole(value)
    if kind == "R":
        with contextlib.suppress(InvalidOperation):
            return f"{Decimal(str(value)):.3f}"
        return "0.000"
    if isinstance(value, bool):
        return str(int(value))
    text = str(value)
    return "".join(c if " " <= c <= "~" else "@" for c in text) if text else "(empty)"


def _whole(value: object) -> str:
    """As C's integer conversions: towards zero, 0 for what is no number."""
    found = re.match(r"\s*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+)", str(value))
    if isinstance(value, bool) or found is None:
        return str(int(value is True))
    return str(int(Decimal(found[0])))


def wrong(record: Record, rows: Sequence[Sequence[object]]) -> str:
    """How the rows of a query differ from what its record expects; "" if they do not."""
    width = len(rows[0]) if rows else len(record.types)
    if width != len(record.types):
        return f"columns: {width} instead of {len(record.types)}"
    lines = [[shown(v, k) for v, k in zip(row, record.types, strict=True)] for row in rows]
    if record.sort == "rowsort":
        lines.sort()
    values = [value for line in lines for value in line]
    if record.sort == "valuesort":
        values.sort()
    if len(record.expected) == 1 and (match := HASHED.match(record.expected[0])):
        digest = hashlib.md5("".join(f"{v}\n" for v in values).encode()).hexdigest()
        same = (len(values), digest) == (int(match[1]), match[2])
        return "" if same else f"hash: {_some(values)} ({len(values)} of {match[1]} values)"
    found = values
    if width > 1 and len(record.expected) == len(rows):
        found = [" ".join(line) for line in lines]
    if found == list(record.expected):
        return ""
    return f"rows: {_some(found)} instead of {_some(record.expected)}"


def _some(lines: Sequence[str]) -> str:
    more = " ..." if len(lines) > SHOWN_LINES else ""
    return f"[{', '.join(lines[:SHOWN_LINES])}{more}]"


# -- running ---------------------------------------------------------------------------------------
class Runner:
    """Runs files through connections to all data instances."""

    def __init__(self, words: Sequence[Words], engines: Sequence[str] = ENGINES) -> None:
        self.total = Total()
        self._engines = engines
        self._connections: list[Connection] = [psycopg.connect(**w) for w in words]
        for connection in self._connections:
            connection.execute(f"SET statement_timeout = {STATEMENT_S * 1000}".encode())
        self._turn = 0

    def close(self) -> None:
        """End the connections."""
        for connection in self._connections:
            connection.close()

    def file(self, path: Path) -> Total:
        """Run one file; what it made is dropped afterwards."""
        before = objects(self._connections[0])
        part = Total()
        labels: dict[str, list[Any]] = {}
        for record in records(path.read_text(encoding="utf-8"), self._engines):
            if record is None:
                part.skipped += 1
                continue
            why = self._check(record, labels)
            if why:
                part.failures.append(Failure(path.name, record.line, record.sql, why))
            else:
                part.passed += 1
        drop(self._connections[0], objects(self._connections[0]) - before)
        self.total.passed += part.passed
        self.total.skipped += part.skipped
        self.total.failures += part.failures
        return part

    def _check(self, record: Record, labels: dict[str, list[Any]]) -> str:
        self._turn += 1
        connection = self._connections[self._turn % len(self._connections)]
        try:
            cursor = connection.execute(record.sql.encode())
        except psycopg.Error as error:
            return _unexpected(record, error)
        if record.kind == "error":
            return "success: an error was expected"
        if record.kind != "query":
            return ""
        if cursor.description is None:
            return "no rows: a query was expected"
        rows = cursor.fetchall()
        if why := wrong(record, rows):
            return why
        if record.label:
            seen = sorted(rows, key=repr)
            if labels.setdefault(record.label, seen) != seen:
                return f"label: not the rows of the other queries {record.label!r}"
        return ""


def _unexpected(record: Record, error: psycopg.Error) -> str:
    """Why an error is a failure; "" if it was to come. A crash is never what was to come."""
    state = error.sqlstate or "no SQLSTATE"
    if record.kind != "error" or state.startswith(("XX", "57", "08")):
        return f"error {state}: {str(error).splitlines()[0]}"
    if record.expected and record.expected[0] != state:
        return f"error {state} instead of {record.expected[0]}: {str(error).splitlines()[0]}"
    return ""


def main() -> int:
    """0 if nothing failed."""
    parser = argparse.ArgumentParser(prog="tests.sql.logic", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="files, or folders with *.test")
    parser.add_argument("--grid", type=Path, help="folder of a running grid (GRID_DIR)")
    parser.add_argument("--engine", action="append", help=f"instead of {', '.join(ENGINES)}")
    parser.add_argument("--show", type=int, default=5, help="failures shown of each kind")
    parser.add_argument("--sets", type=int, default=2, help="replica sets of the grid that is made")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    files = sorted(found for path in arguments.files or [OWN] for found in under(path))
    with target(arguments.grid, sets=arguments.sets) as words:
        runner = Runner(words, arguments.engine or ENGINES)
        try:
            for path in files:
                began = time.monotonic()
                part = runner.file(path)
                print(
                    f"{path}: {part.passed} passed, {part.skipped} skipped, "
                    f"{len(part.failures)} failed, {time.monotonic() - began:.1f} s",
                    flush=True,
                )
        finally:
            report(runner.total, arguments.show)
            runner.close()
    return 1 if runner.total.failures else 0


OWN = Path(__file__).with_name("files")


def under(path: Path) -> list[Path]:
    """The files meant by a path."""
    return sorted(path.rglob("*.test")) if path.is_dir() else [path]


def report(total: Total, show: int) -> None:
    """The failures by kind, some of each, and the totals."""
    kinds = Counter(_kind(f) for f in total.failures)
    for kind, count in kinds.most_common():
        print(f"\n== {count} × {kind}")
        for failure in [f for f in total.failures if _kind(f) == kind][:show]:
            print(f"{failure.file}:{failure.line}: {failure.why}\n    {failure.sql}")
    failed = len(total.failures)
    print(f"\n{total.passed} passed, {total.skipped} skipped, {failed} failed")


def _kind(failure: Failure) -> str:
    head, _, text = failure.why.partition(":")
    if not head.startswith("error"):
        return f"{head}, with a division" if "/" in failure.sql else head
    return f"{head}: " + re.sub(r'[0-9]+|".*?"', "…", text)[:80]


if __name__ == "__main__":
    sys.exit(main())
