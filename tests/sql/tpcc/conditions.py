"""The consistency conditions of TPC-C (clause 3.3.2), as queries that must give no row."""

from __future__ import annotations

from tests.sql.target import Connection

CONDITIONS = {
    "1: W_YTD is the sum of D_YTD": """
        SELECT w_id, w_ytd, SUM(d_ytd) FROM warehouse JOIN district ON d_w_id = w_id
        GROUP BY w_id, w_ytd HAVING w_ytd <> SUM(d_ytd)""",
    "2: D_NEXT_O_ID follows the last order": """
        SELECT d_w_id, d_id, d_next_o_id, o.last_o, n.last_n FROM district
        JOIN (SELECT o_w_id, o_d_id, MAX(o_id) AS last_o FROM orders GROUP BY o_w_id, o_d_id) o
          ON o_w_id = d_w_id AND o_d_id = d_id
        LEFT JOIN (SELECT no_w_id, no_d_id, MAX(no_o_id) AS last_n FROM new_order
          GROUP BY no_w_id, no_d_id) n ON no_w_id = d_w_id AND no_d_id = d_id
        WHERE d_next_o_id - 1 <> last_o OR last_n <> last_o""",
    "3: NEW_ORDER has no gaps": """
        SELECT no_w_id, no_d_id, MIN(no_o_id), MAX(no_o_id), COUNT(*) FROM new_order
        GROUP BY no_w_id, no_d_id HAVING MAX(no_o_id) - MIN(no_o_id) + 1 <> COUNT(*)""",
    "4: O_OL_CNT sums up to the lines of a district": """
        SELECT o.w, o.d, o.n, l.n FROM
        (SELECT o_w_id AS w, o_d_id AS d, SUM(o_ol_cnt) AS n FROM orders GROUP BY o_w_id, o_d_id) o
        JOIN (SELECT ol_w_id AS w, ol_d_id AS d, COUNT(*) AS n FROM order_line
          GROUP BY ol_w_id, ol_d_id) l ON o.w = l.w AND o.d = l.d WHERE o.n <> l.n""",
    "5: without carrier are the orders in NEW_ORDER": """
        SELECT o_w_id, o_d_id, o_id, o_carrier_id, no_o_id FROM orders LEFT JOIN new_order
        ON no_w_id = o_w_id AND no_d_id = o_d_id AND no_o_id = o_id
        WHERE CASE WHEN o_carrier_id IS NULL THEN 1 ELSE 0 END
          <> CASE WHEN no_o_id IS NULL THEN 0 ELSE 1 END""",
    "6: O_OL_CNT is the number of an order's lines": """
        SELECT o_w_id, o_d_id, o_id, o_ol_cnt, COUNT(ol_number) FROM orders LEFT JOIN order_line
        ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id
        GROUP BY o_w_id, o_d_id, o_id, o_ol_cnt HAVING o_ol_cnt <> COUNT(ol_number)""",
    "7: lines are delivered with their order": """
        SELECT o_w_id, o_d_id, o_id, ol_number FROM orders JOIN order_line
        ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id
        WHERE (ol_delivery_d IS NULL AND o_carrier_id IS NOT NULL)
          OR (ol_delivery_d IS NOT NULL AND o_carrier_id IS NULL)""",
    "8: W_YTD is what was paid there": """
        SELECT w_id, w_ytd, h.paid FROM warehouse
        JOIN (SELECT h_w_id, SUM(h_amount) AS paid FROM history GROUP BY h_w_id) h ON h_w_id = w_id
        WHERE w_ytd <> h.paid""",
    "9: D_YTD is what was paid there": """
        SELECT d_w_id, d_id, d_ytd, h.paid FROM district JOIN (SELECT h_w_id, h_d_id,
          SUM(h_amount) AS paid FROM history GROUP BY h_w_id, h_d_id) h
        ON h_w_id = d_w_id AND h_d_id = d_id WHERE d_ytd <> h.paid""",
    "10: C_BALANCE is what was delivered less what was paid": """
        SELECT c_w_id, c_d_id, c_id, c_balance, l.amount, h.paid FROM customer
        LEFT JOIN (SELECT o_w_id, o_d_id, o_c_id, SUM(ol_amount) AS amount FROM orders
          JOIN order_line ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id
          WHERE ol_delivery_d IS NOT NULL GROUP BY o_w_id, o_d_id, o_c_id) l
          ON o_w_id = c_w_id AND o_d_id = c_d_id AND o_c_id = c_id
        LEFT JOIN (SELECT h_c_w_id, h_c_d_id, h_c_id, SUM(h_amount) AS paid FROM history
          GROUP BY h_c_w_id, h_c_d_id, h_c_id) h
          ON h_c_w_id = c_w_id AND h_c_d_id = c_d_id AND h_c_id = c_id
        WHERE c_balance <> NVL(l.amount, 0) - NVL(h.paid, 0)""",
    "12: C_BALANCE and C_YTD_PAYMENT sum up to what was delivered": """
        SELECT c_w_id, c_d_id, c_id, c_balance, c_ytd_payment, l.amount FROM customer
        LEFT JOIN (SELECT o_w_id, o_d_id, o_c_id, SUM(ol_amount) AS amount FROM orders
          JOIN order_line ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id
          WHERE ol_delivery_d IS NOT NULL GROUP BY o_w_id, o_d_id, o_c_id) l
          ON o_w_id = c_w_id AND o_d_id = c_d_id AND o_c_id = c_id
        WHERE c_balance + c_ytd_payment <> NVL(l.amount, 0)""",
}
NEVER_DELIVERED = """
    SELECT (SELECT COUNT(*) FROM orders) - (SELECT COUNT(*) FROM new_order) FROM dual"""


def broken(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """The conditions that do not hold, with some rows that show it."""
    found = {}
    for name, query in CONDITIONS.items():
        rows = connection.execute(query.encode()).fetchmany(5)
        if rows:
            found[name] = rows
    return found


def delivered(connection: Connection) -> int:
    """How many orders are no longer in NEW_ORDER (condition 11 compares it with the beginning)."""
    row = connection.execute(NEVER_DELIVERED.encode()).fetchone()
    assert row is not None
    return int(row[0])
