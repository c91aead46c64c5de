"""The five transactions of TPC-C (clause 2) over psycopg. Each runs between BEGIN and COMMIT."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.sql.target import Connection
from tests.sql.tpcc.load import CUSTOMERS, DISTRICTS, ITEMS, last_name

Deck = list[tuple[str, Callable[["Terminal"], str]]]


class Terminal:
    """Makes transactions of one warehouse."""

    def __init__(self, connection: Connection, rng: random.Random, w: int, warehouses: int) -> None:
        self.connection = connection
        self.rng = rng
        self.w = w
        self.warehouses = warehouses

    def _one(self, sql: str, *values: object) -> tuple[Any, ...]:
        row = self.connection.execute(sql.encode(), values).fetchone()
        assert row is not None, (sql, values)
        return row

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql.encode(), values).fetchall()

    def _do(self, sql: str, *values: object) -> None:
        count = self.connection.execute(sql.encode(), values).rowcount
        assert count > 0, (sql, values)

    def _other_warehouse(self, percent: int) -> int:
        if self.warehouses == 1 or self.rng.randint(1, 100) > percent:
            return self.w
        return self.rng.choice([w for w in range(1, self.warehouses + 1) if w != self.w])

    def _customer(self, w: int, d: int) -> tuple[Any, ...]:
        """(c_id, c_balance, c_credit): by name in 60 of 100 cases, then the one in the middle."""
        if self.rng.randint(1, 100) > 60:
            return self._one(
                "SELECT c_id, c_balance, c_credit FROM customer "
                "WHERE c_w_id = %s AND c_d_id = %s AND c_id = %s",
                w, d, self.rng.randint(1, CUSTOMERS),
            )  # fmt: skip
        rows = self._all(
            "SELECT c_id, c_balance, c_credit FROM customer "
            "WHERE c_w_id = %s AND c_d_id = %s AND c_last = %s ORDER BY c_first",
            w, d, last_name(self.rng.randint(0, 9)),
        )  # fmt: skip
        return rows[len(rows) // 2]

    # -- the transactions -------------------------------------------------------------------------
    def new_order(self) -> str:
        """Clause 2.4. One of a hundred has an item that is not there, and is rolled back."""
        rng, w, d = self.rng, self.w, self.rng.randint(1, DISTRICTS)
        c = rng.randint(1, CUSTOMERS)
        self._one("SELECT w_tax FROM warehouse WHERE w_id = %s", w)
        o, _ = self._one(
            "UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = %s AND d_id = %s "
            "RETURNING d_next_o_id - 1, d_tax",
            w, d,
        )  # fmt: skip
        self._one(
            "SELECT c_discount, c_last, c_credit FROM customer "
            "WHERE c_w_id = %s AND c_d_id = %s AND c_id = %s",
            w, d, c,
        )  # fmt: skip
        lines = [
            (rng.randint(1, ITEMS), self._other_warehouse(1)) for _ in range(rng.randint(5, 15))
        ]
        wrong = rng.randint(1, 100) == 1
        self._do(
            "INSERT INTO orders VALUES (%s, %s, %s, %s, %s, NULL, %s, %s)",
            o, d, w, c, dt.datetime.now(), len(lines), int(all(s == w for _, s in lines)),
        )  # fmt: skip
        self._do("INSERT INTO new_order VALUES (%s, %s, %s)", o, d, w)
        for number, (i, supply) in enumerate(sorted(lines), start=1):
            rows = self._all("SELECT i_price FROM item WHERE i_id = %s", 0 if wrong else i)
            if not rows:
                return "rolled back"
            self._line(o, d, number, i, supply, rows[0][0])
        return ""

    def _line(self, o: int, d: int, number: int, i: int, supply: int, price: Decimal) -> None:
        quantity = self.rng.randint(1, 10)
        self._do(
            "UPDATE stock SET s_quantity = CASE WHEN s_quantity >= %s THEN s_quantity - %s "
            "ELSE s_quantity - %s + 91 END, s_ytd = s_ytd + %s, s_order_cnt = s_order_cnt + 1, "
            "s_remote_cnt = s_remote_cnt + %s WHERE s_w_id = %s AND s_i_id = %s",
            quantity + 10, quantity, quantity, quantity, int(supply != self.w), supply, i,
        )  # fmt: skip
        self._do(
            "INSERT INTO order_line VALUES (%s, %s, %s, %s, %s, %s, NULL, %s, %s, 'info')",
            o, d, self.w, number, i, supply, quantity, quantity * price,
        )  # fmt: skip

    def payment(self) -> str:
        """Clause 2.5."""
        w, d = self.w, self.rng.randint(1, DISTRICTS)
        customer_w = self._other_warehouse(15)
        customer_d = d if customer_w == w else self.rng.randint(1, DISTRICTS)
        amount = Decimal(self.rng.randint(100, 500000)) / 100
        self._do("UPDATE warehouse SET w_ytd = w_ytd + %s WHERE w_id = %s", amount, w)
        self._do(
            "UPDATE district SET d_ytd = d_ytd + %s WHERE d_w_id = %s AND d_id = %s", amount, w, d
        )
        c = self._customer(customer_w, customer_d)[0]
        self._do(
            "UPDATE customer SET c_balance = c_balance - %s, c_ytd_payment = c_ytd_payment + %s, "
            "c_payment_cnt = c_payment_cnt + 1 WHERE c_w_id = %s AND c_d_id = %s AND c_id = %s",
            amount, amount, customer_w, customer_d, c,
        )  # fmt: skip
        self._do(
            "INSERT INTO history (h_c_id, h_c_d_id, h_c_w_id, h_d_id, h_w_id, h_date, h_amount, "
            "h_data) VALUES (%s, %s, %s, %s, %s, SYSDATE, %s, 'paid')",
            c, customer_d, customer_w, d, w, amount,
        )  # fmt: skip
        return ""

    def order_status(self) -> str:
        """Clause 2.6: the last order of a customer, whole."""
        w, d = self.w, self.rng.randint(1, DISTRICTS)
        c = self._customer(w, d)[0]
        rows = self._all(
            "SELECT o_id, o_ol_cnt FROM orders WHERE o_w_id = %s AND o_d_id = %s AND o_c_id = %s "
            "ORDER BY o_id DESC FETCH FIRST 1 ROW ONLY",
            w, d, c,
        )  # fmt: skip
        for o, count in rows:
            lines = self._all(
                "SELECT ol_i_id, ol_amount, ol_delivery_d FROM order_line "
                "WHERE ol_w_id = %s AND ol_d_id = %s AND ol_o_id = %s",
                w, d, o,
            )  # fmt: skip
            assert len(lines) == count, (w, d, o, len(lines), count)
        return ""

    def delivery(self) -> str:
        """Clause 2.7: the oldest new order of each district."""
        w, carrier, now = self.w, self.rng.randint(1, 10), dt.datetime.now()
        for d in range(1, DISTRICTS + 1):
            rows = self._all(
                "SELECT no_o_id FROM new_order WHERE no_w_id = %s AND no_d_id = %s "
                "ORDER BY no_o_id FETCH FIRST 1 ROW ONLY FOR UPDATE",
                w, d,
            )  # fmt: skip
            if rows:
                self._deliver(w, d, rows[0][0], carrier, now)
        return ""

    def _deliver(self, w: int, d: int, o: int, carrier: int, now: dt.datetime) -> None:
        of = "ol_w_id = %s AND ol_d_id = %s AND ol_o_id = %s"
        self._do(
            "DELETE FROM new_order WHERE no_w_id = %s AND no_d_id = %s AND no_o_id = %s", w, d, o
        )
        (c,) = self._one(
            "UPDATE orders SET o_carrier_id = %s WHERE o_w_id = %s AND o_d_id = %s AND o_id = %s "
            "RETURNING o_c_id",
            carrier, w, d, o,
        )  # fmt: skip
        self._do(f"UPDATE order_line SET ol_delivery_d = %s WHERE {of}", now, w, d, o)
        (amount,) = self._one(f"SELECT SUM(ol_amount) FROM order_line WHERE {of}", w, d, o)
        self._do(
            "UPDATE customer SET c_balance = c_balance + %s, c_delivery_cnt = c_delivery_cnt + 1 "
            "WHERE c_w_id = %s AND c_d_id = %s AND c_id = %s",
            amount, w, d, c,
        )  # fmt: skip

    def stock_level(self) -> str:
        """Clause 2.8."""
        w, d = self.w, self.rng.randint(1, DISTRICTS)
        (after,) = self._one(
            "SELECT d_next_o_id FROM district WHERE d_w_id = %s AND d_id = %s", w, d
        )
        self._one(
            "SELECT COUNT(DISTINCT s_i_id) FROM order_line JOIN stock "
            "ON s_w_id = ol_w_id AND s_i_id = ol_i_id WHERE ol_w_id = %s AND ol_d_id = %s "
            "AND ol_o_id < %s AND ol_o_id >= %s AND s_quantity < %s",
            w, d, after, after - 20, self.rng.randint(10, 20),
        )  # fmt: skip
        return ""


DECK: Deck = [
    *[("new order", Terminal.new_order)] * 10, *[("payment", Terminal.payment)] * 10,
    ("order status", Terminal.order_status), ("delivery", Terminal.delivery),
    ("stock level", Terminal.stock_level),
]  # fmt: skip
