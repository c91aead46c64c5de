"""Tables and rows of a small TPC-C: fewer customers, items and orders than the standard has."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from deploy.sample.load import statements
from tests.sql.target import Connection

SCHEMA = Path(__file__).with_name("schema.sql")
TABLES = (
    "order_line", "new_order", "stock", "orders", "history", "customer", "district", "item",
    "warehouse",
)  # fmt: skip
DISTRICTS = 10
CUSTOMERS = 30  # of a district; as many orders
ITEMS = 100
DELIVERED = 21  # orders of a district that are at the beginning
STARTED = dt.datetime(2026, 1, 1)
SYLLABLES = ["BAR", "OUGHT", "ABLE", "PRI", "PRES", "ESE", "ANTI", "CALLY", "ATION", "EING"]
CENT = Decimal("0.01")


def last_name(number: int) -> str:
    """Clause 4.3.2.3."""
    return "".join(SYLLABLES[int(digit)] for digit in f"{number:03}")


def create(connection: Connection) -> None:
    """The empty tables."""
    for statement in statements(SCHEMA.read_text(encoding="utf-8")):
        connection.execute(statement.encode())


def drop(connection: Connection) -> None:
    """Drop them all."""
    for table in TABLES:
        connection.execute(f"DROP TABLE {table}".encode())


def fill(connection: Connection, warehouses: int, seed: int = 1) -> None:
    """The rows that are there at the beginning (clause 4.3.3, scaled down)."""
    rng = random.Random(seed)
    _copy(connection, "item", (
        (i, i, f"item {i}", Decimal(rng.randint(100, 10000)) * CENT, "data")
        for i in range(1, ITEMS + 1)
    ))  # fmt: skip
    for w in range(1, warehouses + 1):
        _warehouse(connection, rng, w)


def _warehouse(connection: Connection, rng: random.Random, w: int) -> None:
    paid = Decimal(10) * CUSTOMERS
    row = (w, f"w{w}", "street", "city", "ST", "123456789", _rate(rng), paid * DISTRICTS)
    _copy(connection, "warehouse", [row])
    _copy(connection, "stock", (
        (i, w, rng.randint(10, 100), "d" * 24, 0, 0, 0) for i in range(1, ITEMS + 1)
    ))  # fmt: skip
    _copy(connection, "district", (
        (d, w, f"d{d}", "city", _rate(rng), paid, CUSTOMERS + 1) for d in range(1, DISTRICTS + 1)
    ))  # fmt: skip
    for d in range(1, DISTRICTS + 1):
        _district(connection, rng, w, d)


def _district(connection: Connection, rng: random.Random, w: int, d: int) -> None:
    _copy(connection, "customer", (
        (c, d, w, f"first{c}", "OE", last_name((c - 1) % 10), STARTED, "GC", 50000, _rate(rng),
         -10, 10, 1, 0, "data")
        for c in range(1, CUSTOMERS + 1)
    ))  # fmt: skip
    _copy(connection, "history", (
        (c, d, w, d, w, STARTED, 10, "data") for c in range(1, CUSTOMERS + 1)
    ))  # fmt: skip
    customers = rng.sample(range(1, CUSTOMERS + 1), CUSTOMERS)
    orders, lines = [], []
    for o, c in enumerate(customers, start=1):
        count, delivered = rng.randint(5, 15), o <= DELIVERED
        carrier = rng.randint(1, 10) if delivered else None
        orders.append((o, d, w, c, STARTED, carrier, count, 1))
        for number in range(1, count + 1):
            amount = 0 if delivered else Decimal(rng.randint(1, 999999)) * CENT
            when = STARTED if delivered else None
            lines.append((o, d, w, number, rng.randint(1, ITEMS), w, when, 5, amount, "d" * 24))
    _copy(connection, "orders", orders)
    _copy(connection, "new_order", ((o, d, w) for o in range(DELIVERED + 1, CUSTOMERS + 1)))
    _copy(connection, "order_line", lines)


def _rate(rng: random.Random) -> Decimal:
    return Decimal(rng.randint(0, 2000)) / 10000


def _copy(connection: Connection, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
        for row in rows:
            copy.write_row(row)
