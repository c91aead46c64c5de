"""Queries of the sample give the same answer through every data instance as plain SQLite does."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.sample import generate
from tests.support.memory_grid import running_grid
from tests.support.sample import SCHEMA, statements

CUSTOMERS, ACCOUNTS, TRANSACTIONS = 400, 500, 700

JOINED = "customers c JOIN accounts a ON a.cust_id = c.cust_id"
QUERIES = [
    # counts, filters, expressions
    "SELECT count(*) FROM customers",
    "SELECT count(*), min(cust_id), max(cust_id) FROM customers WHERE last_name < 'M'",
    "SELECT cust_id, first_name FROM customers WHERE cust_id IN (1, 7, 250, 9999)",
    "SELECT cust_id FROM customers WHERE cust_id BETWEEN 100 AND 120 AND first_name LIKE 'A%'",
    "SELECT first_name FROM customers WHERE addr2 IS NULL AND cust_id < 30",
    "SELECT account_id, current_balance * 2 + 1 FROM accounts WHERE account_id < 20",
    "SELECT account_id FROM accounts WHERE current_balance > 450 OR prev_balance > 490",
    "SELECT account_id, CASE WHEN current_balance > 250 THEN 'high' ELSE 'low' END FROM accounts "
    "WHERE account_id < 40",
    "SELECT COALESCE(addr2, addr1, '-') FROM customers WHERE cust_id < 25",
    "SELECT upper(last_name), length(first_name) FROM customers WHERE cust_id < 30",
    # aggregates
    "SELECT sum(current_balance), avg(prev_balance), count(*) FROM accounts",
    "SELECT account_type, count(*), sum(current_balance) FROM accounts GROUP BY account_type",
    "SELECT status, account_type, max(current_balance) FROM accounts GROUP BY status, account_type",
    "SELECT status, count(*) FROM accounts GROUP BY status HAVING count(*) > 30",
    "SELECT count(DISTINCT last_name) FROM customers",
    "SELECT DISTINCT account_type, status FROM accounts",
    "SELECT last_name, count(*) AS n FROM customers GROUP BY last_name ORDER BY n DESC, last_name "
    "FETCH FIRST 5 ROWS ONLY",
    "SELECT cust_id, count(*) FROM accounts GROUP BY cust_id ORDER BY 2 DESC, 1 "
    "FETCH FIRST 7 ROWS ONLY",
    "SELECT sum(amount), min(amount), max(amount) FROM transactions WHERE optype = 'C'",
    "SELECT optype, avg(amount) FROM transactions GROUP BY optype",
    "SELECT sum(amount) FROM transactions WHERE account_id = -1",
    # joins along the references and with duplicate tables
    f"SELECT c.cust_id, a.account_id FROM {JOINED} WHERE c.cust_id < 40",
    f"SELECT c.last_name, sum(a.current_balance) FROM {JOINED} GROUP BY c.last_name",
    "SELECT a.account_id, t.description, s.description FROM accounts a "
    "JOIN account_type t ON t.type = a.account_type JOIN account_status s ON s.status = a.status "
    "WHERE a.account_id < 25",
    "SELECT t.description, count(*) FROM accounts a, account_type t "
    "WHERE a.account_type = t.type GROUP BY t.description",
    "SELECT c.cust_id, x.amount FROM customers c JOIN accounts a ON a.cust_id = c.cust_id "
    "JOIN transactions x ON x.account_id = a.account_id WHERE x.amount > 5",
    "SELECT c.last_name, count(x.transaction_id) FROM customers c "
    "JOIN accounts a ON a.cust_id = c.cust_id "
    "LEFT JOIN transactions x ON x.account_id = a.account_id GROUP BY c.last_name",
    "SELECT c.cust_id, a.account_id FROM customers c LEFT JOIN accounts a "
    "ON a.cust_id = c.cust_id AND a.current_balance > 400 WHERE c.cust_id < 60",
    f"SELECT c.cust_id, a.account_id FROM {JOINED} ORDER BY a.current_balance DESC, a.account_id "
    "FETCH FIRST 10 ROWS ONLY",
    "SELECT s.description, count(a.account_id) FROM account_status s LEFT JOIN accounts a "
    "ON a.status = s.status GROUP BY s.description",
    # joins that no placement helps
    "SELECT a.account_id, b.account_id FROM accounts a JOIN accounts b "
    "ON a.current_balance = b.prev_balance",
    "SELECT count(*) FROM customers a JOIN customers b ON a.last_name = b.last_name "
    "AND a.cust_id < b.cust_id",
    "SELECT c.cust_id, a.account_id FROM customers c JOIN accounts a ON a.account_id = c.cust_id "
    "WHERE c.last_name LIKE 'B%'",
    "SELECT a.status, b.status, count(*) FROM accounts a JOIN accounts b "
    "ON a.account_id = b.account_id + 1 GROUP BY a.status, b.status",
    "SELECT t.type, s.status FROM account_type t CROSS JOIN account_status s",
    "SELECT a.last_name, b.description FROM customers a CROSS JOIN account_type b "
    "WHERE a.cust_id = 11",
    # subqueries
    "SELECT cust_id FROM customers WHERE cust_id IN (SELECT cust_id FROM accounts "
    "WHERE current_balance > 490)",
    "SELECT cust_id FROM customers c WHERE NOT EXISTS (SELECT 1 FROM accounts a "
    "WHERE a.cust_id = c.cust_id)",
    "SELECT account_id FROM accounts WHERE current_balance = (SELECT max(current_balance) "
    "FROM accounts)",
    "SELECT account_id FROM accounts a WHERE current_balance > (SELECT avg(b.current_balance) "
    "FROM accounts b WHERE b.account_type = a.account_type) AND account_id < 60",
    "SELECT c.cust_id, (SELECT count(*) FROM accounts a WHERE a.cust_id = c.cust_id) "
    "FROM customers c WHERE c.cust_id < 50",
    "SELECT n, count(*) FROM (SELECT cust_id, count(*) AS n FROM accounts GROUP BY cust_id) "
    "GROUP BY n",
    "SELECT last_name FROM customers WHERE cust_id NOT IN (SELECT cust_id FROM accounts "
    "WHERE status = 10) AND cust_id < 100",
    "SELECT x.last_name, x.total FROM (SELECT c.last_name, sum(a.current_balance) AS total "
    f"FROM {JOINED} GROUP BY c.last_name) x WHERE x.total > 2500",
    "WITH rich AS (SELECT cust_id, sum(current_balance) AS s FROM accounts GROUP BY cust_id "
    "HAVING sum(current_balance) > 600) SELECT c.first_name, rich.s FROM rich "
    "JOIN customers c ON c.cust_id = rich.cust_id",
    # sets and windows
    "SELECT cust_id FROM customers WHERE cust_id < 10 UNION SELECT account_id FROM accounts "
    "WHERE account_id BETWEEN 5 AND 15",
    "SELECT cust_id FROM customers WHERE cust_id < 200 INTERSECT SELECT cust_id FROM accounts "
    "WHERE status = 20",
    "SELECT last_name FROM customers UNION ALL SELECT description FROM account_type",
    "SELECT account_id, rank() OVER (PARTITION BY account_type ORDER BY current_balance DESC, "
    "account_id) FROM accounts WHERE account_id < 80",
    "SELECT account_id, sum(current_balance) OVER (ORDER BY account_id) FROM accounts "
    "WHERE account_id < 30",
    # keys
    "SELECT * FROM account_type WHERE type = 'B'",
    "SELECT phone, cust_id FROM accounts WHERE account_id = 77",
    f"SELECT c.first_name, a.phone FROM {JOINED} WHERE a.account_id = 123",
    "SELECT transaction_id, amount FROM transactions WHERE account_id = 42",
]


def _plain(value: Any) -> Any:
    """One form for what both engines give."""
    if isinstance(value, Decimal | float | int) and not isinstance(value, bool):
        return round(Decimal(str(value)), 6).normalize() + 0
    return value


def sorted_rows(rows: list[Any]) -> list[tuple[Any, ...]]:
    """The rows in one order and form."""
    return sorted((tuple(_plain(v) for v in row) for row in rows), key=repr)


@pytest.fixture(scope="module")
def reference() -> sqlite3.Connection:
    """The same rows in one SQLite database."""
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA case_sensitive_like = ON")
    for text in statements(SCHEMA):
        if text.upper().startswith("INSERT"):
            connection.execute(text)
        elif text.upper().startswith("CREATE TABLE"):
            body, _, _ = text.partition("\n)")  # without the distribution clause
            connection.execute(body + "\n)")
    for table, lines in _data():
        for line in lines:
            values = [None if v == generate.NULL else v for v in line.rstrip("\n").split("\t")]
            connection.execute(
                f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values
            )
    return connection


def _data() -> list[tuple[str, list[str]]]:
    return [
        ("customers", list(generate.customers(CUSTOMERS))),
        ("accounts", list(generate.accounts(ACCOUNTS, CUSTOMERS))),
        ("transactions", list(generate.transactions(TRANSACTIONS, ACCOUNTS))),
    ]


@pytest.fixture
async def connections(
    tmp_path: Path, reference: sqlite3.Connection
) -> AsyncIterator[list[asyncpg.Connection]]:
    """A grid with the sample, and a client at each data instance."""
    async with running_grid(tmp_path) as grid:
        first = await grid.connect(0)
        for text in statements(SCHEMA):
            await first.execute(text)
        for table, lines in _data():
            await first.copy_to_table(
                table, source=_Lines(lines), format="text", null=generate.NULL
            )
        clients = [first, *[await grid.connect(n) for n in range(1, len(grid.nodes))]]
        yield clients
        for client in clients:
            await client.close()


class _Lines:
    """Lines as the asynchronous source that asyncpg's copy_to_table takes."""

    def __init__(self, lines: list[str]) -> None:
        self._chunks = iter(["".join(f"{line.rstrip(chr(10))}\n" for line in lines).encode()])

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None


@pytest.mark.timeout(120)
async def test_every_instance_answers_like_one_plain_database(
    connections: list[asyncpg.Connection], reference: sqlite3.Connection
) -> None:
    assert len(QUERIES) >= 50
    wrong = []
    for query in QUERIES:
        text = query.replace("FETCH FIRST", "LIMIT").replace(" ROWS ONLY", "")
        expected = sorted_rows(reference.execute(text).fetchall())
        for number, client in enumerate(connections):
            try:
                rows = sorted_rows(await client.fetch(query))
            except asyncpg.PostgresError as error:
                wrong.append(f"{query}\n  instance {number}: {error}")
                continue
            if rows != expected:
                wrong.append(
                    f"{query}\n  instance {number}: {rows[:5]}… ({len(rows)})\n"
                    f"  reference: {expected[:5]}… ({len(expected)})"
                )
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong)


async def test_the_date_of_a_row_is_what_was_loaded(
    connections: list[asyncpg.Connection], reference: sqlite3.Connection
) -> None:
    ((expected,),) = reference.execute("SELECT member_since FROM customers WHERE cust_id = 5")
    for client in connections:
        value = await client.fetchval("SELECT member_since FROM customers WHERE cust_id = 5")
        assert value == datetime.datetime.fromisoformat(expected)
