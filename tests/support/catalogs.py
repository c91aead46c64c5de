"""Catalogs for tests, made by DDL as a user would make them."""

from __future__ import annotations

from data.catalog.catalog import Catalog
from data.catalog.objects import Column, Materialized, Table, User
from data.sql.ddl import plan_ddl
from data.sql.ddl_build import DdlPlan
from protocol.sqltypes import NUMBER, Kind, SqlType, StorageValue

SAMPLE = """
create table account_type (type char(1) not null primary key, description varchar2(100) not null)
  duplicate;
create table account_status (status number(2,0) not null primary key, description varchar2(100))
  duplicate;
create table customers (cust_id number(10,0) not null primary key, first_name varchar2(30) not null,
  last_name varchar2(30) not null, zipcode varchar2(5), member_since date not null)
  distribute by hash;
create table accounts (account_id number(10,0) not null primary key, phone varchar2(16) not null,
  account_type char(1) not null, status number(2,0) not null, current_balance number(10,2) not null,
  cust_id number(10,0) not null,
  constraint fk_customer foreign key (cust_id) references customers (cust_id),
  constraint fk_acct_type foreign key (account_type) references account_type (type),
  constraint fk_acct_status foreign key (status) references account_status (status))
  distribute by reference (fk_customer);
create table transactions (transaction_id number(10,0) not null, account_id number(10,0) not null,
  transaction_ts timestamp not null, description varchar2(60), amount number(6,2) not null,
  primary key (account_id, transaction_id, transaction_ts),
  constraint fk_accounts foreign key (account_id) references accounts (account_id))
  distribute by reference (fk_accounts);
create sequence txn_seq cache 100 batch 1000000
"""


class Hooks:
    """Answers of a compiler that knows very little."""

    database = "database1"

    def __init__(self) -> None:
        self.time_us = 1_700_000_000_000_000

    def now_us(self) -> int:
        """The time a test says."""
        return self.time_us

    def compile_check(self, table: Table, condition: str) -> str:
        """The condition itself."""
        return condition

    def compile_conversion(self, table: Table, text: str, sql_type: SqlType) -> str:
        """The expression itself."""
        return text

    def describe_materialized(
        self, text: str, schema: str, user: str, catalog: Catalog
    ) -> tuple[Table, tuple[Column, ...], Materialized]:
        """All columns of the table whose name ends the text."""
        table = catalog.table(schema, text.split()[-1].upper())
        names = tuple(c.name for c in table.columns)
        items = tuple(f'"{name}"' for name in names)
        return table, table.columns, Materialized(table.id, text, names, items)

    def describe_query(
        self, text: str, schema: str, user: str, catalog: Catalog
    ) -> tuple[tuple[Column, ...], tuple[int, ...]]:
        """Two columns; the tables whose names stand in the text."""
        used = tuple(t.id for t in catalog.tables() if t.name.lower() in text.lower())
        return (Column("CUST_ID", SqlType(Kind.NUMBER, 10, 0)), Column("TOTAL", NUMBER)), used

    def constant(self, text: str, sql_type: SqlType) -> StorageValue:
        """Integers and quoted strings."""
        return int(text) if text.isdigit() else text.strip("'")


class Dictionary:
    """A catalog that DDL changes in place of a grid."""

    def __init__(self) -> None:
        self.hooks = Hooks()
        base = Catalog.initial()
        terry = User(
            base.next_id,
            "TERRY",
            "SCRAM-SHA-256$…",
            privileges=("CREATE SEQUENCE", "CREATE SESSION", "CREATE TABLE", "CREATE VIEW"),
        )
        self.catalog = Catalog(1, base.next_id + 1, [*base.by_id.values(), terry])

    def run(self, text: str, user: str = "TERRY") -> DdlPlan:
        """Plan one statement and take its change over."""
        plan = plan_ddl(text, self.catalog, user, self.hooks)
        if plan.change is not None:
            self.catalog = self.catalog.apply(plan.change)
        return plan

    def run_all(self, texts: str, user: str = "TERRY") -> None:
        """Statements separated by semicolons."""
        for text in texts.split(";"):
            if text.strip():
                self.run(text, user)

    def table(self, name: str) -> Table:
        """A table of TERRY's."""
        return self.catalog.table("TERRY", name)


def sample() -> Dictionary:
    """The sample schema."""
    made = Dictionary()
    made.run_all(SAMPLE)
    return made
