"""Which queries go to the catalog."""

from __future__ import annotations

import pytest

from data.sql.catalog_refs import asks_catalog

MINE = {"USER_DATA", "CUSTOMERS", "PG_CLASS_LIST"}


@pytest.mark.parametrize(
    "text",
    [
        "select * from pg_catalog.pg_class",
        "SELECT c.relname FROM pg_class c, pg_namespace n WHERE n.oid = c.relnamespace",
        "select table_name from information_schema.tables",
        "select version()",
        "select pg_catalog.version()",
        "select current_schema()",
        "select current_database(), current_user",
        "select set_config('x', 'y', false)",
        "SELECT 'customers'::regclass",
        "select table_name from user_tables",
        "select * from all_tables where owner = 'TERRY'",
        "select * from sys.v$xact_id",
        "select a.x from customers c, pg_attribute a",
        "-- comment\nselect t.oid from (select * from pg_type) t",
        "with x as (select 1) select * from x join pg_am on true",
        "select exists (select 1 from pg_catalog.pg_extension where extname = 'x')",
    ],
)
def test_catalog(text: str) -> None:
    assert asks_catalog(text, MINE.__contains__)


@pytest.mark.parametrize(
    "text",
    [
        "select * from customers",
        "select 'pg_class' from customers",
        "select user from dual",
        "select user_id, all_x from customers",
        "select * from user_data",
        "select current_timestamp from dual",
        "select current_date",
        "select current_user, c.* from customers c",
        "select 1 -- pg_class",
        "insert into customers select * from pg_x",
        "select has_children from customers",
        "select * from sys.dual",
    ],
)
def test_not_catalog(text: str) -> None:
    assert not asks_catalog(text, MINE.__contains__)
