"""A grid without processes: one SQLite database per replica set, plans run by the book.

It runs what the SQL compiler plans, so tests can compare the answers of any number of sets with
those of one database that holds everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import apsw.sqlite_extra
from msgspec.structs import replace

from data.catalog.catalog import Catalog, CatalogChange, CreateTable, row_of
from data.catalog.element_ddl import (
    forward_sql,
    full_row_columns,
    full_row_offset,
    global_index_table,
    has_bucket,
    key_columns,
    quoted,
    table_name,
)
from data.catalog.objects import Distribution, Table
from data.distribution.hashing import bucket_of
from data.distribution.keys import key_bytes
from data.distribution.route import Fragment, Route, Special, buckets_of
from data.exec.shipping import SHIP_BYTES_MAX, encoded_rows
from data.sql import functions
from data.sql.compiler import Compiler
from data.sql.convert import adapt
from data.sql.ddl import plan_ddl
from data.sql.hooks import CompilerHooks
from data.sql.plan_types import (
    CompiledStatement,
    Const,
    DdlText,
    DeletePlan,
    Gather,
    InsertPlan,
    NextVal,
    ParamValue,
    QueryPlan,
    SourceColumn,
    SpecialValue,
    SqlValue,
    UpdatePlan,
)
from data.sql.text import split
from data.storage.scratch import Scratch
from protocol.errors import CardinalityError, ForeignKeyError, UniqueViolationError
from protocol.limits import BUCKET_COUNT
from protocol.sqltypes import SqlType, StorageValue

NOW_US = 1_700_000_000_123_456
Row = tuple[Any, ...]


def connect() -> apsw.Connection:
    """A database with our functions."""
    connection = apsw.Connection(":memory:")
    apsw.sqlite_extra.load(connection, "decimal")
    functions.register(connection)
    return connection


class MiniGrid:
    """`sets` replica sets; `duplicate`: every table on every set, so that all plans are single."""

    def __init__(self, sets: int, *, duplicate: bool = False) -> None:
        self.sets = sets
        self.duplicate = duplicate
        self.catalog = Catalog.initial()
        self.declared = self.catalog  # as the DDL statements said
        self.compiler = Compiler(self.catalog)
        self.connections = [connect() for _ in range(sets)]
        for number, connection in enumerate(self.connections, 1):
            facts = {"element": number * 10, "replica_set": number, "data_space": 1}
            for name, fact in facts.items():
                connection.create_scalar_function(f"tg_{name}_id", partial(int, fact), 0)
        self.sequences: dict[int, int] = {}
        self.row_key = 0
        self.kinds: dict[str, int] = {}
        self.known: dict[tuple[str, int], Any] = {}  # values and rows of what runs first
        self.ship_bytes_max = SHIP_BYTES_MAX
        self.shipped = 0  # lists that were sent along

    # -- DDL ---------------------------------------------------------------------------------------
    def script(self, text: str) -> None:
        """Run DDL and DML statements."""
        for statement in split(text):
            self.run(statement)

    def ddl(self, text: str) -> None:
        hooks = CompilerHooks(self.compiler, evaluate, lambda: NOW_US)
        plan = plan_ddl(text, self.declared, "TERRY", hooks, schema="TERRY")
        assert plan.change is not None
        change = plan.change
        self.declared = self.declared.apply(change)
        if self.duplicate:
            change = _all_duplicate(change)
        self.catalog = self.catalog.apply(change)
        self.compiler = Compiler(self.catalog)
        for action in change.actions:
            for sql in forward_sql(action):
                for connection in self.connections:
                    connection.execute(sql)

    def user(self) -> None:
        """The user terry, with all rights."""
        from data.catalog.objects import User

        user = User(50, "TERRY", admin=True)
        change = CatalogChange(self.catalog.version + 1, (row_of(user),))
        self.catalog = self.declared = self.catalog.apply(change)
        self.compiler = Compiler(self.catalog)

    # -- statements --------------------------------------------------------------------------------
    def compile(self, sql: str, types: tuple[SqlType | None, ...] = ()) -> CompiledStatement:
        return self.compiler.compile(sql, types, "TERRY", "TERRY")

    def run(self, sql: str, values: Row = (), types: tuple[SqlType | None, ...] = ()) -> Any:
        """Rows of a query or of RETURNING, else the number of rows changed."""
        compiled = self.compile(sql, types)
        plan = compiled.plan
        if types:
            known = tuple(t or c for t, c in zip(types, compiled.param_types, strict=True))
            values = adapt(values, known, compiled.param_types)
        if isinstance(plan, QueryPlan):
            self.kinds[plan.kind] = self.kinds.get(plan.kind, 0) + 1
            return self.query(plan, values)
        if isinstance(plan, DdlText):
            return self.ddl(sql)
        if isinstance(plan, InsertPlan):
            return self.insert(plan, values)
        if isinstance(plan, UpdatePlan | DeletePlan):
            return self.change(plan, values)
        raise AssertionError(plan)

    def special(self, special: Special) -> Any:
        if special.name == "nextval":
            number = self.sequences.get(special.argument, 0) + 1
            self.sequences[special.argument] = number
            return number
        if special.name in ("scalar", "rows"):
            return self.known[special.name, special.argument]
        if special.name == "element_map":
            return ",".join(str(self.set_of(b) * 10 + 10) for b in range(BUCKET_COUNT))
        day = 86_400_000_000
        known: dict[str, Any] = {
            "sysdate": NOW_US - NOW_US % 1_000_000,
            "systimestamp": NOW_US,
            "today": NOW_US - NOW_US % day,
            "user": "TERRY",
            "schema": "TERRY",
            "element": 10,
            "replica_set": 1,
            "data_space": 1,
        }
        return known[special.name]

    def set_of(self, bucket: int) -> int:
        return bucket * self.sets // BUCKET_COUNT

    def targets(self, route: Route, values: Row) -> list[int]:
        if route.kind in ("all", "everywhere"):
            return list(range(self.sets))
        if route.kind in ("local", "here"):
            return [0]
        buckets = buckets_of(route, values, self.special)
        if route.kind == "global_index":
            assert route.lookup is not None
            found: set[int] = set()
            for number in {self.set_of(b) for b in buckets}:
                rows = self.rows(number, route.lookup, values)
                found.update(self.set_of(r[0]) for r in rows)
            return sorted(found)
        return sorted({self.set_of(b) for b in buckets})

    def rows(self, number: int, fragment: Fragment, values: Row) -> list[Row]:
        bound = fragment.bind(values, self.special)
        return list(self.connections[number].execute(fragment.sql, bound))

    def query(self, plan: QueryPlan, values: Row = ()) -> list[Row]:
        while not self._firsts(plan, values):
            assert plan.otherwise is not None
            plan = plan.otherwise
        scratch = connect()
        gathered: list[Row] = []
        for gather in sorted(plan.gathers, key=lambda g: max([-1, *[k.number for k in g.keys]])):
            names = ", ".join(quoted(n) for n, _ in gather.columns)
            if plan.final is not None:
                scratch.execute(f"CREATE TEMP TABLE {quoted(gather.name)} ({names})")
            for rows in self._gathered(scratch, gather, values):
                gathered += rows
                if plan.final is not None and rows:
                    marks = ", ".join("?" * len(gather.columns))
                    scratch.executemany(f"INSERT INTO {quoted(gather.name)} VALUES ({marks})", rows)
        if plan.final is None:
            return gathered
        return list(scratch.execute(plan.final.sql, plan.final.bind(values, self.special)))

    def _firsts(self, plan: QueryPlan, values: Row) -> bool:
        for first in plan.firsts:
            rows = self.query(first.plan, values)
            if first.kind == "scalar":
                if len(rows) > 1:
                    raise CardinalityError("a scalar subquery gave more than one row")
                self.known["scalar", first.number] = rows[0][0] if rows else None
            elif not self._ship(first.number, rows):
                return False
        return True

    def _ship(self, number: int, rows: list[Row]) -> bool:
        text = encoded_rows(rows)
        if text is None or len(text) > self.ship_bytes_max:
            return False
        self.shipped += 1
        self.known["rows", number] = f"[{text}]"
        return True

    def _gathered(
        self, scratch: apsw.Connection, gather: Gather, values: Row
    ) -> Iterable[list[Row]]:
        if gather.plan is not None:
            yield self.query(gather.plan, values)
            return
        fragment = gather.fragment
        if gather.keyed is not None and all(
            self._ship(
                k.number,
                list(
                    scratch.execute(f"SELECT DISTINCT {quoted(k.column)} FROM {quoted(k.gather)}")
                ),
            )
            for k in gather.keys
        ):
            fragment = gather.keyed
        for number in self.targets(gather.route, values):
            yield self.rows(number, fragment, values)

    # -- changes -----------------------------------------------------------------------------------
    def insert(self, plan: InsertPlan, values: Row) -> Any:
        table = self.catalog.table_by_id(plan.table_id)
        source = self.query(plan.source, values) if plan.source is not None else [()]
        templates = plan.rows
        returned: list[Row] = []
        count = 0
        for given in source:
            for template in templates:
                row = tuple(self.value(v, values, given) for v in template)
                full = self.place(table, row)
                for number in self.homes(table, full):
                    marks = ", ".join("?" * len(full))
                    self.execute(
                        number, f"INSERT INTO {quoted(table_name(table))} VALUES ({marks})", full
                    )
                self.index(table, full)
                count += 1
                if plan.returning is not None:
                    returned.append(self.returning(plan.returning, row, values))
        return returned if plan.returning is not None else count

    def execute(self, number: int, sql: str, row: Sequence[Any]) -> None:
        try:
            self.connections[number].execute(sql, row)
        except apsw.ConstraintError as error:
            raise UniqueViolationError(str(error)) from None

    def value(self, source: Any, values: Row, given: Row) -> Any:
        if isinstance(source, Const):
            return source.value
        if isinstance(source, SourceColumn):
            return given[source.position]
        if isinstance(source, SqlValue):
            bound = source.fragment.bind(values, self.special)
            found = connect().execute(source.fragment.sql, bound).fetchone()
            assert found is not None
            return found[0]
        if isinstance(source, ParamValue):
            value = values[source.index]
        elif isinstance(source, NextVal):
            value = self.special(Special("nextval", source.sequence_id))
        else:
            assert isinstance(source, SpecialValue)
            value = self.special(source.special)
        return value if source.convert is None or value is None else source.convert(value)

    def place(self, table: Table, row: Row) -> Row:
        """The full row: with row key and bucket."""
        if table.row_key:
            self.row_key += 1
            row = (self.row_key, *row)
        if not has_bucket(table):
            return row
        return (*row, self.bucket(table, row))

    def bucket(self, table: Table, row: Row) -> int:
        offset = full_row_offset(table)
        named = dict(zip(full_row_columns(table), row, strict=False))
        types = {c.name: c.type for c in table.columns}
        if table.distribution is Distribution.HASH:
            keys = table.distribution_key
            if not keys:
                return bucket_of(b"n%d" % self.row_key)
            return bucket_of(key_bytes([named[k] for k in keys], [types[k] for k in keys]))
        key = table.reference
        assert key is not None
        assert offset == 0 or table.row_key
        parent = self.catalog.table_by_id(key.parent_id)
        where = " AND ".join(f"{quoted(c)} = ?" for c in key.parent_columns)
        sql = f"SELECT _BUCKET FROM {quoted(table_name(parent))} WHERE {where}"
        for connection in self.connections:
            found = connection.execute(sql, [named[c] for c in key.columns]).fetchone()
            if found is not None:
                return int(found[0])
        raise ForeignKeyError("no parent")

    def homes(self, table: Table, full: Row) -> Iterable[int]:
        return [self.set_of(full[-1])] if has_bucket(table) else range(self.sets)

    def index(self, table: Table, full: Row) -> None:
        """Entries of global indexes."""
        named = dict(zip(full_row_columns(table), full, strict=True))
        for index in table.indexes:
            if not index.is_global:
                continue
            hidden = global_index_table(table, index)
            types = {c.name: c.type for c in table.columns}
            key = [named[c] for c in index.columns]
            if None in key:
                continue
            bucket = bucket_of(key_bytes(key, [types[c] for c in index.columns]))
            row = [
                named["_BUCKET"] if c.name == "_TARGET" else named[c.name] for c in hidden.columns
            ]
            marks = ", ".join("?" * (len(row) + 1))
            self.execute(
                self.set_of(bucket),
                f"INSERT INTO {quoted(table_name(hidden))} VALUES ({marks})",
                [*row, bucket],
            )

    def returning(self, returning: Any, row: Row, values: Row) -> Row:
        if returning.positions is not None:
            return tuple(row[p] for p in returning.positions)
        extra = returning.fragment.bind(values, self.special)
        nowhere = (None, None, None)  # element, replica set, data space
        found = connect().execute(returning.fragment.sql, (*row, *nowhere, *extra)).fetchone()
        assert found is not None
        return tuple(found)

    def change(self, plan: UpdatePlan | DeletePlan, values: Row) -> Any:
        table = self.catalog.table_by_id(plan.table_id)
        if plan.rows_query is not None:
            return self._change_rows(table, plan, values)
        assert plan.fragment is not None
        assert plan.match is not None
        targets = self.targets(plan.route, values)
        if not has_bucket(table):
            targets = list(range(self.sets))
        count = 0
        for number in targets:
            matched = len(self.rows(number, plan.match, values))
            self.rows(number, plan.fragment, values)
            assert self.connections[number].changes() == matched
            count += matched
        return count if has_bucket(table) else count // self.sets

    def _change_rows(self, table: Table, plan: UpdatePlan | DeletePlan, values: Row) -> int:
        assert plan.rows_query is not None
        names = full_row_columns(table)
        keys = key_columns(table)
        offset = full_row_offset(table)
        rows = self.query(plan.rows_query, values)
        for row in rows:
            old = dict(zip(names, row, strict=False))
            where = " AND ".join(f"{quoted(k)} = ?" for k in keys)
            for number in self.homes(table, row[: len(names)]):
                sql = f"DELETE FROM {quoted(table_name(table))} WHERE {where}"
                self.connections[number].execute(sql, [old[k] for k in keys])
            if isinstance(plan, DeletePlan):
                continue
            new = list(row[: len(names)])
            for position, value in zip(plan.assigned, row[len(names) :], strict=True):
                new[position + offset] = value
            if has_bucket(table):
                new[-1] = self.bucket(table, tuple(new[:-1]))
            marks = ", ".join("?" * len(new))
            for number in self.homes(table, tuple(new)):
                self.execute(
                    number, f"INSERT INTO {quoted(table_name(table))} VALUES ({marks})", new
                )
        return len(rows)


def _all_duplicate(change: CatalogChange) -> CatalogChange:
    """The same change with every table DUPLICATE, so that each element has all rows."""

    def plain(table: Table) -> Table:
        indexes = tuple(replace(i, is_global=False) for i in table.indexes)
        return replace(
            table,
            distribution=Distribution.DUPLICATE,
            distribution_key=(),
            reference_key="",
            indexes=indexes,
        )

    from data.catalog.catalog import object_of

    puts = []
    for row in change.puts:
        item = object_of(row) if row[0] == "table" else None
        puts.append(row_of(plain(item)) if isinstance(item, Table) else row)
    actions = tuple(
        CreateTable(plain(a.table)) if isinstance(a, CreateTable) else a for a in change.actions
    )
    return CatalogChange(change.version, tuple(puts), change.deletes, actions)


def single(values: list[Row]) -> Any:
    """The one value of a one-row answer."""
    if len(values) != 1:
        raise CardinalityError(f"{len(values)} rows")
    return values[0][0]


def sample_schema() -> str:
    """The DDL of the sample, and its small tables."""
    root = Path(__file__).resolve().parents[2]
    return (root / "deploy" / "sample" / "schema.sql").read_text(encoding="utf-8")


def is_select(sql: str) -> bool:
    return re.match(r"\s*(select|with)", sql, re.IGNORECASE) is not None


def evaluate(sql: str, params: tuple[StorageValue, ...]) -> StorageValue:
    rows = Scratch(None, 1).query(sql, params)
    return rows[0][0] if rows else None
