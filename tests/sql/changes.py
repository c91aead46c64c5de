"""Random INSERT, UPDATE, DELETE and MERGE, each compared by its count, its rows and the tables.

PostgreSQL is the reference. Some run in transactions that end one way or the other; there the
reference takes a savepoint before each statement, since the grid undoes only what failed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.sql import schemas
from tests.sql.comparison import Answer, Comparison, Difference
from tests.sql.expressions import Source
from tests.sql.nodes import NOTHING, POSTGRES, Node, many, maybe, reduced
from tests.sql.queries import Queries
from tests.sql.references import PostgreSQL, RefusedByReference, plain_rows
from tests.sql.schemas import Column, Table

Contents = dict[str, list[tuple[object, ...]]]
CRASHES = ("XX", "57", "58", "08", "0A", "40", "55")  # never what a constraint says
SHRINK_TRIES = 120


class Changes(Queries):
    """Makes statements that change the tables."""

    def __init__(self, rng: random.Random, tables: list[Table]) -> None:
        super().__init__(rng, tables)
        self._next = 1000 + rng.randint(0, 9) * 1000

    def change(self) -> Node:
        """One statement."""
        self._names, self._common = 0, []
        table = self.rng.choice(self._tables)
        kind = self.rng.randrange(12)
        if kind < 3:
            return self._insert(table)
        if kind < 5:
            return self._insert_select(table)
        if kind < 9:
            return self._update(table)
        if kind < 11:
            return self._delete(table)
        return self._merge(table)

    # -- parts ------------------------------------------------------------------------------------
    def _scope(self, table: Table, alias: str) -> list[Source]:
        return [Source(f"{alias}.{c.name}", c.symbol) for c in table.columns]

    def _of(self, column: Column, scope: list[Source], depth: int) -> Node:
        """A value that a column can take."""
        rng = self.rng
        if not column.not_null and rng.random() < 0.1:
            return Node(column.kind, ("NULL",))
        if column.kind in ("int", "id", "bigint"):
            numbers = [s for s in scope if s.text.endswith((".id", ".a", ".k1", ".pid", ".b"))]
            if numbers and rng.random() < 0.6:
                return Node(column.kind, (rng.choice(numbers).text, f" + {rng.randint(0, 3)}"))
            return Node(column.kind, (str(rng.randint(0, 14)),))
        if column.kind == "char":
            return Node(column.kind, (f"'{rng.choice(schemas.WORDS[:7])}'",))
        if column.kind == "date":  # the grid cuts a fraction of a second, PostgreSQL rounds it
            moment = self.value("date", scope, depth)
            cut = ("DATE_TRUNC('second', CAST(", moment, " AS TIMESTAMP))")
            return Node("date", (moment,), cut)
        return self.value(column.symbol, scope, depth)

    def _key(self, table: Table) -> str:
        """A key that is mostly new."""
        self._next += 1
        return str(self.rng.choice((self._next, self._next, self._next, self.rng.randint(0, 30))))

    def _row(self, table: Table, columns: list[Column], scope: list[Source]) -> Node:
        values = []
        for column in columns:
            if column.name in ("id", "k1"):
                values.append(Node("key", (self._key(table),)))
            elif column.name == "pid":
                values.append(Node("key", (str(self.rng.randint(0, 40)),)))
            else:
                values.append(self._of(column, scope, 1))
        return Node("row", ("(", many("values", values, least=len(values)), ")"))

    def _some(self, table: Table) -> list[Column]:
        return [c for c in table.columns if c.not_null or self.rng.random() < 0.8]

    def _returning(self, table: Table, alias: str) -> Node:
        if self.rng.random() > 0.25:
            return NOTHING
        names = self.rng.sample([c.name for c in table.columns], 2)
        return maybe(" RETURNING ", ", ".join(f"{alias}.{name}" for name in names))

    def _where(self, scope: list[Source]) -> Node:
        parts = [self.condition(scope, 2) for _ in range(self.rng.choice((1, 1, 2)))]
        if self.rng.random() < 0.4:
            numbers = [s.text for s in scope if s.symbol == "num"]
            test = f"{self.rng.choice(numbers)} = {self.rng.randint(0, 14)}"
            parts.append(Node("bool", (test,)))
        return maybe(" WHERE ", many("conditions", parts, " AND "))

    # -- statements -------------------------------------------------------------------------------
    def _insert(self, table: Table) -> Node:
        rng = self.rng
        columns = self._some(table)
        names = ", ".join(c.name for c in columns)
        rows = [self._row(table, columns, []) for _ in range(rng.choice((1, 1, 2, 3)))]
        conflict = NOTHING
        if table.key and rng.random() < 0.35:
            conflict = self._conflict(table)
        return Node(
            "insert",
            (f"INSERT INTO {table.name} ({names}) VALUES ", many("rows", rows), conflict,
             self._returning(table, table.name)),
        )  # fmt: skip

    def _conflict(self, table: Table) -> Node:
        key = ", ".join(table.key)
        if self.rng.random() < 0.4:
            return maybe(f" ON CONFLICT ({key}) DO NOTHING")
        free = [c for c in table.columns if c.name not in (*table.key, "pid")]
        column = self.rng.choice(free)
        value = self.rng.choice((f"EXCLUDED.{column.name}", f"{table.name}.{column.name}"))
        if column.symbol == "num":
            value += " + 1"
        return maybe(f" ON CONFLICT ({key}) DO UPDATE SET {column.name} = {value}")

    def _insert_select(self, table: Table) -> Node:
        text, scope, _ = self.origin(0, [])
        columns = self._some(table)
        items = []
        unique = [s.text for s in scope if s.text.endswith((".id", ".k1", ".a"))]
        for column in columns:
            if column.name in ("id", "k1") and unique:
                self._next += 1000
                items.append(Node("key", (f"{unique[0]} + {self._next}",)))
            elif column.name == "pid":
                items.append(Node("key", (str(self.rng.randint(0, 20)),)))
            else:
                items.append(self._of(column, scope, 1))
        names = ", ".join(c.name for c in columns)
        return Node(
            "insert",
            (f"INSERT INTO {table.name} ({names}) SELECT ",
             many("items", items, least=len(items)), " FROM ", text, self._where(scope)),
        )  # fmt: skip

    def _update(self, table: Table) -> Node:
        rng = self.rng
        scope = self._scope(table, table.name)
        free = [c for c in table.columns if c.name not in table.key]
        chosen = rng.sample(free, rng.choice((1, 1, 2)))
        sets = []
        for column in chosen:
            value = self._of(column, scope, 2)
            if column.kind in ("money", "number") and rng.random() < 0.3:
                value = self._asked_value(scope)
            sets.append(Node("set", (f"{column.name} = ", value)))
        if table.key and rng.random() < 0.1:
            far = rng.randint(1, 900) * 100_000  # no other row has such a key
            sets.append(Node("set", (f"{table.key[0]} = {table.key[0]} + {far}",)))
        return Node(
            "update",
            (f"UPDATE {table.name} SET ", many("sets", sets), self._where(scope),
             self._returning(table, table.name)),
        )  # fmt: skip

    def _asked_value(self, scope: list[Source]) -> Node:
        text, inside, _ = self.origin(0, [])
        link = self.link(scope, inside) or self.condition(inside, 0)
        numbers = [s.text for s in inside if s.symbol == "num"]
        name = self.rng.choice(("MIN", "MAX", "COUNT"))
        of = self.rng.choice(numbers)
        return Node("num", (f"(SELECT {name}({of}) FROM ", text, " WHERE ", link, ")"))

    def _delete(self, table: Table) -> Node:
        scope = self._scope(table, table.name)
        where = self._where(scope)
        return Node(
            "delete", (f"DELETE FROM {table.name}", where, self._returning(table, table.name))
        )

    def _merge(self, table: Table) -> Node:
        rng = self.rng
        keyed = [t for t in self._tables if t.key == ("id",)]
        table = rng.choice([t for t in keyed if t.name != "q"])
        other = rng.choice([t for t in keyed if t is not table])
        scope = self._scope(other, "src") + self._scope(table, table.name)
        free = [c for c in table.columns if c.name not in table.key]
        sets = [Node("set", (f"{c.name} = ", self._of(c, scope, 1))) for c in rng.sample(free, 1)]
        matched = maybe(" WHEN MATCHED THEN UPDATE SET ", many("sets", sets))
        columns = [c for c in table.columns if c.not_null or rng.random() < 0.5]
        values = [
            Node("key", ("src.id + 3000",)) if c.name == "id"
            else self._of(c, self._scope(other, "src"), 1) for c in columns
        ]  # fmt: skip
        names = ", ".join(c.name for c in columns)
        insert = (
            f" WHEN NOT MATCHED THEN INSERT ({names}) VALUES (",
            many("values", values, least=9),
        )
        head = f"MERGE INTO {table.name} USING {other.name} src ON (src.id = {table.name}.id)"
        return Node("merge", (head, matched, maybe(*insert, ")")))


@dataclass
class Ground:
    """The same tables in the grid and in PostgreSQL."""

    comparison: Comparison
    postgres: PostgreSQL
    tables: list[Table]
    said: str = ""  # by the grid, of the last error

    def contents(self, *, of_grid: bool) -> Contents:
        """All rows of all tables."""
        found: Contents = {}
        for table in self.tables:
            sql = f"SELECT * FROM {table.name}"
            if of_grid:
                answer = self.comparison.grid(sql, ordered=False)
                assert not answer.state, answer
                found[table.name] = list(answer.rows)
            else:
                found[table.name] = plain_rows(self.postgres.run(sql)[0], ordered=False)
        return found

    def restore(self, contents: Contents) -> None:
        """Make both hold these rows again."""
        for table in reversed(self.tables):
            self._both(f"DELETE FROM {table.name}")
        for table in self.tables:
            rows = contents[table.name]
            for start in range(0, len(rows), 50):
                texts = [
                    f"({', '.join(map(_literal, row, table.columns))})"
                    for row in rows[start : start + 50]
                ]
                self._both(f"INSERT INTO {table.name} VALUES {', '.join(texts)}")

    def _both(self, sql: str) -> None:
        self.postgres.run(sql)
        answer = self.comparison.grid(sql, ordered=False)
        assert not answer.state, (sql, answer)

    def difference(self, change: Node, *, savepoint: bool = False) -> str:
        """Run it in both; what differs, by its kind."""
        found = self.comparison.grid(change.text(), ordered=False)
        state, expected = self._there(change.text(POSTGRES), savepoint=savepoint)
        self.said = found.text
        if found.state.startswith(CRASHES):
            return f"error {found.state}"
        if bool(found.state) != bool(state):
            return f"error {found.state or 'none'} instead of {state or 'none'}"
        if found.state and found.state[:2] != state[:2] and "23" in (found.state[:2], state[:2]):
            return f"error {found.state} instead of {state}"
        if not found.state and found.rows != expected:
            return "count or returned rows"
        if self.contents(of_grid=True) != self.contents(of_grid=False):
            return "contents"
        return ""

    def _there(self, sql: str, *, savepoint: bool) -> tuple[str, tuple[object, ...]]:
        if savepoint:
            self.postgres.run("SAVEPOINT before")
        try:
            rows, count = self.postgres.run(sql)
        except RefusedByReference as error:
            if savepoint:
                self.postgres.run("ROLLBACK TO before")
            return error.state, ()
        shown = rows if " RETURNING " in sql else [(count,)]
        return "", tuple(plain_rows(shown, ordered=False))


def _literal(value: object, column: Column) -> str:
    text = schemas.literal(value) if value is None or isinstance(value, str) else format(value, "f")
    return f"TIMESTAMP {text}" if column.symbol == "date" and value is not None else text


def run(
    comparison: Comparison, postgres: PostgreSQL, made: list[Table], seed: int, count: int, *,
    shrink: bool, most: int,
) -> None:  # fmt: skip
    """`count` statements from a seed on, over tables that are there."""
    ground = Ground(comparison, postgres, made)
    left = 0  # statements until the transaction ends
    for number in range(seed, seed + count):
        rng = random.Random(f"change {number}")
        change = Changes(rng, made).change()
        if not left and rng.random() < 0.15:
            left = rng.randint(1, 6)
            comparison.begin()
            postgres.run("BEGIN")
        before = ground.contents(of_grid=False)
        kind = ground.difference(change, savepoint=left > 0)
        comparison.total.compared["postgres, changes"] += 1
        left -= bool(left)
        if left == 0 and comparison.inside:
            how = "COMMIT" if rng.random() < 0.6 else "ROLLBACK"
            comparison.end(how)
            postgres.run(how)
            if not kind and ground.contents(of_grid=True) != ground.contents(of_grid=False):
                kind = f"contents after {how}"
        if kind.startswith("error 0A000"):
            comparison.total.refused[ground.said[:70]] += 1
        if kind:
            if comparison.inside:
                comparison.end("ROLLBACK")
                postgres.run("ROLLBACK")
            left = 0
            if kind.startswith("error 0A000"):
                ground.restore(ground.contents(of_grid=True))
                continue
            _note(ground, number, change, kind, before, shrink=shrink)
            if len(comparison.total.differences) >= most:
                break
    if comparison.inside:
        comparison.end("ROLLBACK")
        postgres.run("ROLLBACK")


def _note(
    ground: Ground, seed: int, change: Node, kind: str, before: Contents, *, shrink: bool
) -> None:
    def again(candidate: Node) -> str:
        ground.restore(before)
        return ground.difference(candidate)

    least = change
    if shrink and again(change) == kind:
        least = reduced(change, lambda candidate: again(candidate) == kind, SHRINK_TRIES)
    ground.restore(before)
    found = ground.comparison.grid(least.text(), ordered=False)
    state, rows = ground._there(least.text(POSTGRES), savepoint=False)
    ground.comparison.total.differences.append(
        Difference(seed, "postgres", least.text(), least.text(POSTGRES), kind, found,
                   Answer(rows, state))
    )  # fmt: skip
    ground.restore(ground.contents(of_grid=False))
