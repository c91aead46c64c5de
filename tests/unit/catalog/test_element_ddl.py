"""DDL actions on an element's SQLite schema: done, undone, done again, with rows in the tables."""

from __future__ import annotations

import apsw
import apsw.sqlite_extra
import pytest

from data.catalog.catalog import Catalog, CatalogChange
from data.catalog.element_ddl import (
    bootstrap_sql,
    collation,
    element_tables,
    forward_sql,
    full_row_columns,
    global_index_table,
    inverse_sql,
    key_columns,
    key_positions,
    purge_sql,
    quoted,
    storage_class,
    table_name,
)
from data.catalog.objects import Table
from protocol.sqltypes import NUMBER, Kind, SqlType, StorageRow, StorageValue
from tests.support.catalogs import SAMPLE, Dictionary

Schema = list[tuple[str, str | None]]


class Element:
    """An SQLite file with the tables of a catalog, a row in each user table."""

    def __init__(self) -> None:
        self.db = apsw.Connection(":memory:")
        apsw.sqlite_extra.load(self.db, "decimal")
        self.dictionary = Dictionary()
        self.execute(bootstrap_sql(self.dictionary.catalog))
        for text in SAMPLE.split(";"):
            self.run(text)

    def execute(self, texts: list[str]) -> None:
        for text in texts:
            self.db.execute(text)

    def run(self, text: str) -> CatalogChange:
        """Plan a statement, apply its change forward, back and forward again."""
        before = self.dictionary.catalog
        plan = self.dictionary.run(text)
        assert plan.change is not None
        change = CatalogChange.decode(plan.change.encode())
        start = self.content()
        self.forward(change)
        end = self.content()
        self.back(change)
        assert self.content() == start
        self.forward(change)
        assert self.content() == end
        back = self.dictionary.catalog.apply(before.inverse(change))
        assert (back.by_id, back.version, back.next_id) == (
            before.by_id,
            before.version,
            before.next_id,
        )
        self.check_tables(self.dictionary.catalog)
        return change

    def forward(self, change: CatalogChange) -> None:
        for action in change.actions:
            self.execute(forward_sql(action))

    def back(self, change: CatalogChange) -> None:
        for action in reversed(change.actions):
            self.execute(inverse_sql(action))

    def tables(self) -> list[str]:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '_dropped%'"
        return [str(row[0]) for row in self.db.execute(query)]

    def content(self) -> tuple[Schema, dict[str, list[StorageRow]]]:
        query = (
            "SELECT name, sql FROM sqlite_master WHERE tbl_name NOT LIKE '_dropped%' ORDER BY name"
        )
        schema = [(str(name), sql) for name, sql in self.db.execute(query)]
        rows = {n: list(self.db.execute(f"SELECT * FROM {quoted(n)}")) for n in self.tables()}
        return schema, rows

    def check_tables(self, catalog: Catalog) -> None:
        """SQLite's tables are the catalog's, with the columns of the full rows."""
        expected = {table_name(t): list(full_row_columns(t)) for t in element_tables(catalog)}
        found = {
            name: [str(row[1]) for row in self.db.execute(f"PRAGMA table_info({quoted(name)})")]
            for name in self.tables()
        }
        assert found == expected

    def insert(self, name: str, *values: StorageValue) -> None:
        marks = ", ".join("?" * len(values))
        self.db.execute(f'INSERT INTO "TERRY.{name}" VALUES ({marks})', values)

    def rows(self, name: str) -> list[StorageRow]:
        return list(self.db.execute(f'SELECT * FROM "TERRY.{name}"'))

    def table(self, name: str) -> Table:
        return self.dictionary.table(name)


@pytest.fixture
def element() -> Element:
    made = Element()
    made.insert("CUSTOMERS", 910, "Tessa", "Riley", None, 0, 77)
    made.insert("ACCOUNTS", 1, "555", "I", 10, 12345, 910, 77)
    return made


@pytest.mark.parametrize(
    "text",
    [
        "create table t (a int primary key, b varchar(5) unique, check (a > 0))",
        "create table t (a varchar(3), b int, primary key (a, b)) distribute by hash (b)",
        "create table t (a number) duplicate",
        "drop table transactions",
        "truncate table accounts, transactions",
        "alter table customers add (tier int default 3 not null, note varchar(9) default 'x''y')",
        "alter table customers drop column zipcode",
        "alter table customers rename column cust_id to id",
        "alter table accounts rename column account_id to id",
        "alter table customers rename to clients",
        "alter table customers add constraint ck check (CUST_ID > 0)",
        "alter table customers add unique (last_name)",
        "alter table accounts drop constraint fk_acct_type",
        "alter table customers alter column zipcode set not null",
        "create index i on accounts (phone desc, status)",
        "create unique index i on accounts (phone)",
        "create global index i on accounts (phone) include (status)",
        "comment on table customers is 'x'",
    ],
)
def test_every_change_can_be_undone_and_repeated(element: Element, text: str) -> None:
    if "set not null" in text:
        element.db.execute("""UPDATE "TERRY.CUSTOMERS" SET ZIPCODE = '12345'""")
    element.run(text)


def test_dropping_what_was_added_and_changed_again(element: Element) -> None:
    for text in (
        "create global index i on accounts (phone)",
        "alter table accounts rename column phone to telephone",
        "drop index i",
        "alter table accounts add constraint u unique (telephone)",
        "alter table accounts drop constraint u",
        "drop table transactions, accounts",
        "alter table customers add x int",
        "drop table customers",
    ):
        element.run(text)


def test_rows_survive_a_rebuild_with_the_new_columns_filled(element: Element) -> None:
    element.run("alter table customers add tier int default 3 not null")
    assert element.rows("CUSTOMERS") == [(910, "Tessa", "Riley", None, 0, 3, 77)]
    element.run("alter table customers drop zipcode")
    assert element.rows("CUSTOMERS") == [(910, "Tessa", "Riley", 0, 3, 77)]


def test_purging_removes_what_was_put_aside(element: Element) -> None:
    changes = [
        element.run("create global index i on accounts (phone)"),
        element.run("drop index i"),
        element.run("alter table accounts add x int"),
        element.run("truncate table accounts, transactions"),
        element.run("drop table transactions, accounts"),
    ]
    left = "SELECT count(*) FROM sqlite_master WHERE name LIKE '_dropped%'"
    assert next(element.db.execute(left))[0] > 0
    for change in changes:
        for action in change.actions:
            element.execute(purge_sql(action))
    assert next(element.db.execute(left))[0] == 0


def test_full_rows_and_their_keys(element: Element) -> None:
    element.run("create table n (a int, b number)")
    element.run("create table d (a int primary key) duplicate")
    element.run("create table two (a int, b char(3), primary key (b, a))")
    n, d, two = (element.table(name) for name in ("N", "D", "TWO"))
    assert full_row_columns(n) == ("_ROWKEY", "A", "B", "_BUCKET")
    assert (key_columns(n), key_positions(n)) == (("_ROWKEY",), (0,))
    assert full_row_columns(d) == ("A",)
    assert key_positions(two) == (1, 0)


def test_a_key_added_later_is_an_index_not_the_key_of_the_row(element: Element) -> None:
    element.run("create table n (a int, b int)")
    element.insert("N", 1, 5, 6, 9)
    element.run("alter table n add primary key (a)")
    table = element.table("N")
    assert (table.primary_key, key_columns(table)) == (("A",), ("_ROWKEY",))
    assert element.rows("N") == [(1, 5, 6, 9)]
    with pytest.raises(apsw.ConstraintError):
        element.insert("N", 2, 5, 0, 9)
    with pytest.raises(apsw.ConstraintError):
        element.insert("N", 2, None, 0, 9)


def test_the_table_of_a_global_index(element: Element) -> None:
    element.run("create global index i on accounts (phone) include (status)")
    accounts = element.table("ACCOUNTS")
    by_name = {index.name: index for index in accounts.indexes}
    hidden = global_index_table(accounts, by_name["I"])
    assert full_row_columns(hidden) == ("PHONE", "ACCOUNT_ID", "_TARGET", "STATUS", "_BUCKET")
    assert hidden.distribution_key == ("PHONE",)
    key = global_index_table(accounts, by_name["ACCOUNTS_PKEY"])
    assert full_row_columns(key) == ("ACCOUNT_ID", "_TARGET", "_BUCKET")


@pytest.mark.parametrize(
    ("sql_type", "stored", "collated"),
    [
        (SqlType(Kind.NUMBER, 10, 2), "INTEGER", ""),
        (SqlType(Kind.NUMBER, 18, 0), "INTEGER", ""),
        (SqlType(Kind.NUMBER, 19, 0), "TEXT", "decimal"),
        (NUMBER, "TEXT", "decimal"),
        (SqlType(Kind.NUMBER, 5, -2), "TEXT", "decimal"),
        (SqlType(Kind.VARCHAR, length=5), "TEXT", ""),
        (SqlType(Kind.DATE), "INTEGER", ""),
        (SqlType(Kind.BINARY_DOUBLE), "REAL", ""),
        (SqlType(Kind.BINARY, length=4), "BLOB", ""),
        (SqlType(Kind.BOOLEAN), "INTEGER", ""),
    ],
)
def test_storage_classes(sql_type: SqlType, stored: str, collated: str) -> None:
    assert (storage_class(sql_type), collation(sql_type)) == (stored, collated)


def test_checks_and_not_null_hold_in_the_element(element: Element) -> None:
    element.run("create table t (a int primary key, b int not null, check (B > A))")
    element.insert("T", 1, 2, 0)
    for bad in ((2, None, 0), (3, 1, 0)):
        with pytest.raises(apsw.ConstraintError):
            element.insert("T", *bad)


def test_textual_numbers_order_as_numbers(element: Element) -> None:
    element.run("create table t (a number primary key)")
    for value in ("10", "9", "-1", "0.5"):
        element.insert("T", value, 0)
    found = [r[0] for r in element.db.execute('SELECT A FROM "TERRY.T" ORDER BY A')]
    assert found == ["-1", "0.5", "9", "10"]
