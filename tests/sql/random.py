"""Random statements, answered by the grid and by single-node databases.

`python -m tests.sql.random --seed 0 --count 2000`, or `make random-sql`.

Every round makes other tables, rows and placements. A statement that is answered differently is
made smaller until nothing more can go, and printed with what is needed to see it again.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import structlog

from tests.sql import references, schemas
from tests.sql.nodes import GRID, SQLITE, Node, reduced
from tests.sql.queries import Queries
from tests.sql.references import PostgreSQL, Reference, RefusedByReference, SQLite, plain_rows
from tests.sql.target import Connection, Words, drop, objects, target

ROUND = 200  # statements over the same tables
STATEMENT_S = 20


@dataclass(frozen=True)
class Answer:
    """Rows in one form, or the SQLSTATE of an error with its text."""

    rows: tuple[Any, ...] = ()
    state: str = ""
    text: str = ""


@dataclass
class Difference:
    """A statement that two databases answer differently."""

    seed: int
    against: str
    sql: str
    theirs: str
    kind: str
    found: Answer
    expected: Answer


@dataclass
class Total:
    """Of one run."""

    compared: Counter[str] = field(default_factory=Counter)  # by reference
    not_compared: Counter[str] = field(default_factory=Counter)  # the reference refused
    plans: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)


class Comparison:
    """One grid and its references, with the same tables."""

    def __init__(self, words: list[Words], others: list[Reference]) -> None:
        self.total = Total()
        self.others = others
        self._connections: list[Connection] = [psycopg.connect(**w) for w in words]
        for connection in self._connections:
            connection.execute(f"SET statement_timeout = {STATEMENT_S * 1000}".encode())
        self._turn = 0

    def close(self) -> None:
        """End the connections."""
        for connection in self._connections:
            connection.close()

    # -- asking -----------------------------------------------------------------------------------
    def grid(self, sql: str, *, ordered: bool) -> Answer:
        """What the next instance says."""
        self._turn += 1
        connection = self._connections[self._turn % len(self._connections)]
        try:
            cursor = connection.execute(sql.encode())
            rows = cursor.fetchall() if cursor.description else [(cursor.rowcount,)]
        except psycopg.Error as error:
            return Answer(state=error.sqlstate or "?", text=str(error).splitlines()[0])
        return Answer(tuple(plain_rows(rows, ordered=ordered)))

    def other(self, reference: Reference, sql: str, *, ordered: bool) -> Answer:
        """What a reference says."""
        try:
            rows, _ = reference.run(sql)
        except RefusedByReference as error:
            return Answer(state=error.state or "?", text=str(error))
        return Answer(tuple(plain_rows(rows, ordered=ordered)))

    # -- a round ----------------------------------------------------------------------------------
    def make(self, rng: random.Random) -> list[schemas.Table]:
        """The tables, everywhere."""
        made = schemas.tables(rng)
        for table in made:
            self._do(GRID, table.ddl(GRID))
            for other in self.others:
                self._do(other.name, table.ddl(other.name))
        for text in schemas.indexes(rng, made):
            self._do(GRID, text)
        for table in made:
            for text in table.inserts():
                for name in (GRID, *(other.name for other in self.others)):
                    self._do(name, text)
        return made

    def drop(self, made: list[schemas.Table]) -> None:
        """Drop them, everywhere."""
        for table in reversed(made):
            for other in self.others:
                other.run(f"DROP TABLE {table.name}")
        drop(self._connections[0], {o for o in objects(self._connections[0]) if o[0] == "TABLE"})

    def _do(self, name: str, sql: str) -> None:
        if name == GRID:
            self._connections[0].execute(sql.encode())
        else:
            next(other for other in self.others if other.name == name).run(sql)

    def check(self, query: Node, seed: int, *, shrink: bool) -> None:
        """Ask all; note a difference."""
        text = query.text()
        ordered = is_ordered(text)
        found = self.grid(text, ordered=ordered)
        for reference in self.others:
            if reference.name == SQLITE and not query.portable:
                continue
            kind, expected = self._compare(query, reference, found)
            if kind == "refused":
                self.total.not_compared[
                    f"{reference.name} {expected.state}: {expected.text[:60]}"
                ] += 1
                continue
            self.total.compared[reference.name] += 1
            if not kind:
                continue
            least = query
            if shrink:

                def still(
                    candidate: Node, reference: Reference = reference, kind: str = kind
                ) -> bool:
                    return self._again(candidate, reference) == kind

                least = reduced(query, still)
            again = self.grid(least.text(), ordered=is_ordered(least.text()))
            _, expected = self._compare(least, reference, again)
            self.total.differences.append(
                Difference(seed, reference.name, least.text(), least.text(reference.name), kind,
                           again, expected)
            )  # fmt: skip
            return

    def _compare(self, query: Node, reference: Reference, found: Answer) -> tuple[str, Answer]:
        """The kind of the difference: "" none, "refused": the reference does not say."""
        ordered = is_ordered(query.text())
        expected = self.other(reference, query.text(reference.name), ordered=ordered)
        if expected.state:
            return "refused", expected
        if found.state:
            return f"error {found.state}", expected
        return ("" if found.rows == expected.rows else "rows"), expected

    def _again(self, query: Node, reference: Reference) -> str:
        if reference.name == SQLITE and not query.portable:
            return "refused"
        found = self.grid(query.text(), ordered=is_ordered(query.text()))
        return self._compare(query, reference, found)[0]


def is_ordered(sql: str) -> bool:
    """Whether the last ORDER BY is the whole statement's."""
    tail = sql.rpartition(" ORDER BY ")[2]
    return " ORDER BY " in sql and tail.count("(") == tail.count(")") and not tail.endswith(")")


def run(
    comparison: Comparison, seed: int, count: int, *, shrink: bool = True, most: int = 20
) -> None:
    """`count` queries beginning with a seed; ends early after `most` differences."""
    for start in range(seed, seed + count, ROUND):
        made = comparison.make(random.Random(f"tables {start}"))
        for number in range(start, min(start + ROUND, seed + count)):
            query = Queries(random.Random(f"query {number}"), made).make()
            comparison.check(query, number, shrink=shrink)
            if len(comparison.total.differences) >= most:
                break
        comparison.drop(made)
        if len(comparison.total.differences) >= most:
            return


def report(total: Total) -> None:
    """What was compared, and the differences."""
    for difference in total.differences:
        print(f"\n== seed {difference.seed}: {difference.kind}, against {difference.against}")
        print(f"{difference.sql};")
        if difference.theirs != difference.sql:
            print(f"-- there: {difference.theirs};")
        print(f"   grid: {difference.found.text or difference.found.rows[:8]}")
        print(f"   {difference.against}: {difference.expected.rows[:8]}")
    for text, count in total.not_compared.most_common(12):
        print(f"not compared {count:5}: {text}")
    compared = ", ".join(f"{n} with {name}" for name, n in total.compared.items())
    print(f"compared: {compared}; {len(total.differences)} differ")


def main() -> int:
    """0 if nothing differs."""
    parser = argparse.ArgumentParser(prog="tests.sql.random", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--most", type=int, default=20, help="differences after which it ends")
    parser.add_argument("--as-it-is", action="store_true", help="do not make statements smaller")
    parser.add_argument("--grid", type=Path, help="folder of a running grid without such tables")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    others: list[Reference] = [SQLite()]
    if absent := references.missing():
        print(f"without PostgreSQL: {absent}")
    else:
        others.insert(0, PostgreSQL())
    began = time.monotonic()
    with target(arguments.grid) as words:
        comparison = Comparison(words, others)
        try:
            run(
                comparison, arguments.seed, arguments.count,
                shrink=not arguments.as_it_is, most=arguments.most,
            )  # fmt: skip
        finally:
            report(comparison.total)
            comparison.close()
            for other in others:
                other.close()
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if comparison.total.differences else 0


if __name__ == "__main__":
    sys.exit(main())
