"""The text of dbTransactions. Pure."""

from __future__ import annotations

from mgmt.api.schema_databases import DbTransactionsReply, TransactionRow
from mgmt.cli.command import Arguments
from mgmt.cli.render import long_moment, table

HEADINGS = (
    *("Transaction", "Elem", "State", "Age(s)", "Prepared(s)", "RS"),
    *("Rows", "Locks", "Waits for"),
)


def transactions_text(reply: DbTransactionsReply, arguments: Arguments) -> str:
    """A line per transaction, the oldest first, then who did not answer."""
    title = f"Database {reply.name} transactions as of {long_moment(reply.as_of)}"
    lines = [title, ""]
    if reply.transactions:
        lines.append(table(HEADINGS, [_row(one) for one in reply.transactions]))
    else:
        lines.append("No transactions")
    if reply.silent:
        lines += ["", f"No answer from: {', '.join(reply.silent)}"]
    return "\n".join(lines)


def _row(one: TransactionRow) -> tuple[object, ...]:
    return (
        one.transaction,
        one.coordinator,
        one.state,
        _seconds(one.age_ms),
        _seconds(one.prepared_ms) if one.prepared_ms else None,
        ",".join(f"{n}*" if n in one.prepared_at else str(n) for n in one.participants),
        one.rows,
        one.locks,
        one.waits_for or None,
    )


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.1f}"
