"""Tables with random rows, the same in the grid and in the references, placed in all the ways."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.sql.nodes import GRID, POSTGRES, SQLITE

# kind: how the grid, PostgreSQL and SQLite write the type, and its symbol in expressions
KINDS = {
    "id": ("NUMBER(10)", "NUMERIC(10)", "INTEGER", "num"),
    "number": ("NUMBER", "NUMERIC", "REAL", "num"),
    "money": ("NUMBER(10,2)", "NUMERIC(10,2)", "REAL", "num"),
    "int": ("INT", "INTEGER", "INTEGER", "num"),
    "bigint": ("TT_BIGINT", "BIGINT", "INTEGER", "num"),
    "text": ("VARCHAR2(20)", "VARCHAR(20)", "TEXT", "text"),
    "char": ("VARCHAR2(3)", "VARCHAR(3)", "TEXT", "text"),
    "date": ("DATE", "TIMESTAMP(0)", "TEXT", "date"),
    "moment": ("TIMESTAMP(3)", "TIMESTAMP(3)", "TEXT", "date"),
}
WORDS = ("ant", "Bee", "cat", "cow", "dog", "Elk", "fox", "a_b", "a%c", "bee", "x", "ox ox", "日本")


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    kind: str
    not_null: bool = False

    @property
    def symbol(self) -> str:
        """In expressions."""
        return KINDS[self.kind][3]


@dataclass
class Table:
    """A table, its rows, and how the grid places it. `key`: columns of the primary key."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    placement: str = ""
    extra: str = ""  # constraints, in all databases
    rows: tuple[tuple[object, ...], ...] = ()

    def ddl(self, database: str) -> str:
        """CREATE TABLE."""
        at = {GRID: 0, POSTGRES: 1, SQLITE: 2}[database]
        lines = [
            f"{c.name} {KINDS[c.kind][at]}{' NOT NULL' if c.not_null else ''}" for c in self.columns
        ]
        if self.key:
            lines.append(f"PRIMARY KEY ({', '.join(self.key)})")
        if self.extra:
            lines.append(self.extra)
        end = f" {self.placement}" if database == GRID else ""
        return f"CREATE TABLE {self.name} ({', '.join(lines)}){end}"

    def inserts(self) -> list[str]:
        """The rows, some in a statement."""
        texts = [
            f"({', '.join(literal_of(v, c) for v, c in zip(row, self.columns, strict=True))})"
            for row in self.rows
        ]
        return [
            f"INSERT INTO {self.name} VALUES {', '.join(texts[n : n + 20])}"
            for n in range(0, len(texts), 20)
        ]


def literal(value: object) -> str:
    """As SQL that all understand."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def value(rng: random.Random, column: Column) -> object:
    """One random value, often NULL, often one that others have too."""
    if not column.not_null and rng.random() < 0.15:
        return None
    if column.symbol == "text":
        return rng.choice(WORDS[:7] if column.kind == "char" else WORDS)
    if column.kind == "date":
        day = f"2024-{rng.randint(1, 3):02}-{rng.choice((1, 2, 15, 28)):02}"
        return f"{day} {rng.choice(('00:00:00', '00:00:00', '12:30:00', '23:59:59'))}"
    if column.kind == "moment":
        hour, part = rng.randint(8, 12), rng.choice((125, 375, 625))
        return f"2024-01-{rng.randint(1, 9):02} {hour:02}:00:00.{part}"
    if column.kind == "money":
        return f"{rng.randint(-20, 60)}.{rng.choice(('00', '50', '25', '99'))}"
    if column.kind == "number":
        return rng.choice((0, 1, -1, "0.5", "1.25", "100", "1e-3", rng.randint(-50, 50)))
    return rng.randint(0, 12)


def literal_of(given: object, column: Column) -> str:
    """A value as a literal of its column's type: numbers kept as text lose their quotes."""
    if column.symbol == "num" and isinstance(given, str):
        return given
    return literal(given)


def tables(rng: random.Random) -> list[Table]:
    """Parents, children, tables without a key, a composite key, a small duplicated one."""
    keyed = rng.choice(("DISTRIBUTE BY HASH", "DISTRIBUTE BY HASH (id)", "", "DUPLICATE"))
    parent = Table(
        "p",
        (Column("id", "id", True), Column("a", "int"), Column("m", "money"), Column("c", "text"),
         Column("d", "date"), Column("n", "number")),
        ("id",), keyed,
    )  # fmt: skip
    follows = keyed != "DUPLICATE" and rng.random() < 0.6
    child = Table(
        "q",
        (Column("id", "id", True), Column("pid", "id", True), Column("a", "int"),
         Column("c", "char"), Column("t", "moment"), Column("m", "money")),
        ("id",), "DISTRIBUTE BY REFERENCE (q_p)" if follows else rng.choice(("", "DUPLICATE")),
        "CONSTRAINT q_p FOREIGN KEY (pid) REFERENCES p (id)",
    )  # fmt: skip
    pair = Table(
        "r",
        (Column("k1", "int", True), Column("k2", "char", True), Column("a", "bigint"),
         Column("m", "money"), Column("c", "text")),
        ("k1", "k2"), rng.choice(("DISTRIBUTE BY HASH (k1)", "DISTRIBUTE BY HASH (k1, k2)", "")),
    )  # fmt: skip
    heap = Table(
        "h",
        (Column("a", "int"), Column("b", "id"), Column("c", "char"), Column("d", "date"),
         Column("n", "number")),
        (), rng.choice(("", "DISTRIBUTE BY HASH (a)", "DISTRIBUTE BY HASH (c)", "DUPLICATE")),
    )  # fmt: skip
    if heap.placement.endswith(")"):
        name = heap.placement[-2]
        heap.columns = tuple(
            Column(c.name, c.kind, c.not_null or c.name == name) for c in heap.columns
        )
    small = Table(
        "s", (Column("id", "id", True), Column("c", "char"), Column("a", "int")), ("id",),
        rng.choice(("DUPLICATE", "DUPLICATE", "")),
    )  # fmt: skip
    made = [parent, child, pair, heap, small]
    for table in made:
        _fill(rng, table, parent)
    return made


def _fill(rng: random.Random, table: Table, parent: Table) -> None:
    count = {"s": 6, "p": 25, "h": 30}.get(table.name, 40)
    rows: dict[object, tuple[object, ...]] = {}
    for number in range(rng.choice((count, count, count, 3, 0))):
        row = [value(rng, c) for c in table.columns]
        if table.name in ("p", "q", "s"):
            row[0] = number * rng.choice((1, 1, 2))
        if table.name == "q":
            if not parent.rows:
                return
            row[1] = rng.choice(parent.rows)[0]
        at = [n for n, c in enumerate(table.columns) if c.name in table.key]
        rows.setdefault(tuple(row[n] for n in at) or number, tuple(row))
    table.rows = tuple(rows.values())


def indexes(rng: random.Random, made: list[Table]) -> list[str]:
    """Some indexes; `GLOBAL` only for the grid."""
    found = []
    for table in made:
        for number in range(rng.choice((0, 0, 1, 2))):
            names = rng.sample([c.name for c in table.columns], rng.choice((1, 1, 2)))
            kind = rng.choice(("INDEX", "INDEX", "GLOBAL INDEX"))
            kind = "INDEX" if table.placement == "DUPLICATE" else kind
            found.append(
                f"CREATE {kind} i{number}_{table.name} ON {table.name} ({', '.join(names)})"
            )
    return found
