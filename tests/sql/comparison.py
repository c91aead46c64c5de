"""The grid and its references asked the same: what they answer, and how that differs."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.sql import schemas
from tests.sql.nodes import GRID, SQLITE, Node, reduced
from tests.sql.references import Reference, RefusedByReference, plain_rows
from tests.sql.target import Connection, Words, drop, objects

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
    refused: Counter[str] = field(default_factory=Counter)  # by the grid, by name
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
        self.inside = False  # a transaction

    def close(self) -> None:
        """End the connections."""
        for connection in self._connections:
            connection.close()

    # -- transactions -----------------------------------------------------------------------------
    def begin(self) -> None:
        """One at the instance whose turn it is."""
        self._turn += 1
        self._connections[self._turn % len(self._connections)].execute("BEGIN")
        self.inside = True

    def end(self, how: str) -> None:
        """COMMIT or ROLLBACK."""
        self._connections[self._turn % len(self._connections)].execute(how.encode())
        self.inside = False

    # -- asking -----------------------------------------------------------------------------------
    def grid(self, sql: str, *, ordered: bool) -> Answer:
        """What the next instance says."""
        self._turn += not self.inside
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
            if found.state == "0A000":
                self.total.refused[found.text[:70]] += 1
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
