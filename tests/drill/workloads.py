"""What the clients of a drill do, and the tables they do it to.

Every workload keeps a few rows busy, over all replica sets. Registers and lists are left for new
ones after a while, so that a history of one key stays short enough to be judged.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg

from tests.drill import checks, transactions
from tests.drill.clients import Client, Connection, Recorder, is_allowed
from tests.drill.history import Operation, Verdict, of
from tests.drill.quiet import Gate
from tests.drill.registers import use_one
from tests.support import bank_tables
from tests.support.copies import ElementRows

ACCOUNTS = 24
VAULTS, POCKETS = 4, 4
OPENING = 1000
COUNTERS = 6
KEYS_AT_ONCE = 3  # registers and lists in use
EPOCH_S = 8.0  # how long they are in use
ORDERED_SHARE = 0.9
PAUSE_S = 0.04  # between two operations of a client: two cores run everything
ROWS_AT_ONCE = 100
READ_COMMITTED = "READ COMMITTED"
SERIALIZABLE = "SERIALIZABLE"
LEVELS = (READ_COMMITTED, "REPEATABLE READ", SERIALIZABLE)
# Statements over several replica sets see whole transactions (docs/isolation.md).
READ_ATOMICITY_PROMISED = True

TABLES = (
    *bank_tables.MONEY,
    "CREATE TABLE pockets (vault TT_INTEGER NOT NULL, pocket TT_INTEGER NOT NULL,"
    " balance TT_BIGINT NOT NULL, PRIMARY KEY (vault, pocket)) DISTRIBUTE BY HASH (vault)",
    *bank_tables.OBJECTS,
    *transactions.TABLES,
)
TABLE_NAMES = tuple(sql.split()[2] for sql in TABLES)
EMPTY_LIST = "-"  # the empty text would be NULL


@dataclass(frozen=True)
class Load:
    """One drill's load: which clients there are, and when it began."""

    began_s: float
    levels: tuple[str, ...]  # isolation levels that the grid knows
    epochs: int
    gate: Gate
    is_disk_full: bool = False  # a fault of this drill

    def keys(self) -> list[int]:
        """The registers and lists in use now."""
        epoch = min(self.epochs - 1, int((time.monotonic() - self.began_s) / EPOCH_S))
        return [epoch * KEYS_AT_ONCE + n for n in range(KEYS_AT_ONCE)]


Work = Callable[[Client, Load], Coroutine[Any, Any, None]]


async def make_tables(connection: Connection, seconds: float) -> int:
    """The tables, filled; returns the number of epochs. Tables of a drill before are dropped."""
    for name, sql in zip(TABLE_NAMES, TABLES, strict=True):
        try:
            await connection.execute(f"DROP TABLE {name}")
        except asyncpg.UndefinedTableError:
            pass
        await connection.execute(sql)
    epochs = int(seconds / EPOCH_S) + 1
    keys = range(epochs * KEYS_AT_ONCE)
    await _fill(connection, "bank", ((n, OPENING) for n in range(ACCOUNTS)))
    places = itertools.product(range(VAULTS), range(POCKETS))
    await _fill(connection, "pockets", ((v, p, OPENING) for v, p in places))
    await _fill(connection, "counters", ((n, 0) for n in range(COUNTERS)))
    await _fill(connection, "registers", ((n, 0) for n in keys))
    await _fill(connection, "lists", ((n, f"'{EMPTY_LIST}'") for n in keys))
    await transactions.prepare(connection)
    return epochs


async def _fill(connection: Connection, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    left = iter(rows)
    while some := list(itertools.islice(left, ROWS_AT_ONCE)):
        values = ", ".join(f"({', '.join(map(str, row))})" for row in some)
        await connection.execute(f"INSERT INTO {table} VALUES {values}")


async def known_levels(connection: Connection) -> tuple[str, ...]:
    """The isolation levels that are not refused as not supported."""
    known = []
    for level in LEVELS:
        try:
            await connection.execute(f"BEGIN ISOLATION LEVEL {level}")
            await connection.fetchval("SELECT COUNT(*) FROM bank")
            known.append(level)
        except asyncpg.FeatureNotSupportedError:
            pass
        await connection.execute("ROLLBACK")
    return tuple(known)


async def run(client: Client, load: Load, work: Work, stop: asyncio.Event) -> None:
    """Work until told to stop."""
    try:
        while not stop.is_set():
            async with load.gate.turn():
                await work(client, load)
            await asyncio.sleep(client.chance.uniform(0, 2 * PAUSE_S))  # keeps the rate modest
    finally:
        await client.close()


# -- work -----------------------------------------------------------------------------------------
async def transfer(client: Client, _: Load) -> None:
    """Money from one account to another, and a receipt: one transaction over replica sets."""
    giver, taker = client.chance.sample(range(ACCOUNTS), 2)
    amount = client.chance.randint(1, 20)
    number = _token(client)
    pay = "UPDATE bank SET balance = balance + $1 WHERE id = $2"
    moves = [(pay, (-amount, giver)), (pay, (amount, taker))]
    if client.chance.random() < ORDERED_SHARE:  # the others may meet in a deadlock
        moves.sort(key=lambda move: move[1][1])
    receipt = ("INSERT INTO receipts VALUES ($1, $2, $3, $4)", (number, giver, taker, amount))
    statements: list[tuple[str, tuple[Any, ...]]] = [*moves, receipt]
    await client.operate(
        *("bank", "transfer", number, (giver, taker, amount)),
        lambda one, _: one.transaction(statements),
    )


async def read_sum(client: Client, load: Load) -> None:
    """The sum of all balances, by one statement, at one of the isolation levels.

    But for READ COMMITTED the transaction goes on to read all balances once more, one by one: it
    sees what the statement has seen. The result is then the wrong one of both, if there is one.
    """
    level = client.chance.choice(load.levels)

    async def body(_: Client, connection: Connection) -> int:
        await connection.execute(f"BEGIN ISOLATION LEVEL {level}")
        total = int(await connection.fetchval("SELECT SUM(balance) FROM bank"))
        if level != READ_COMMITTED:
            again = 0
            for account in client.chance.sample(range(ACCOUNTS), ACCOUNTS):
                sql = "SELECT balance FROM bank WHERE id = $1"
                again += int(await connection.fetchval(sql, account))
            total = again if total == ACCOUNTS * OPENING else total
        await connection.execute("COMMIT")
        return total

    await client.operate("bank", "sum", level, None, body)


async def move_in_vault(client: Client, _: Load) -> None:
    """Money from pocket to pocket of one vault, which is in one replica set; or the vault's sum."""
    vault = client.chance.randrange(VAULTS)
    if client.chance.random() < 0.5:
        sql = "SELECT SUM(balance) FROM pockets WHERE vault = $1"
        await client.operate("vaults", "sum", vault, None, _value(sql, vault))
        return
    giver, taker = client.chance.sample(range(POCKETS), 2)
    amount = client.chance.randint(1, 20)
    pay = "UPDATE pockets SET balance = balance + $1 WHERE vault = $2 AND pocket = $3"
    moves = [(pay, (-amount, vault, giver)), (pay, (amount, vault, taker))]
    await client.operate(
        "vaults", "transfer", vault, (giver, taker, amount), lambda one, _: one.transaction(moves)
    )


async def use_register(client: Client, load: Load) -> None:
    """Read, write or compare-and-set one register."""
    key = client.chance.choice(load.keys())
    read = _value("SELECT v FROM registers WHERE id = $1", key)
    await use_one(client, key, read, lambda: _token(client))


async def use_list(client: Client, load: Load) -> None:
    """Read a list, append to one, or to two in one transaction."""
    keys = load.keys()
    key = client.chance.choice(keys)
    kind = client.chance.random()
    if kind < 0.4:
        sql = "SELECT items FROM lists WHERE id = $1"

        async def read(_: Client, connection: Connection) -> str:
            return _items(await connection.fetchval(sql, key))

        await client.operate("lists", "read", key, None, read)
        return
    element = str(_token(client))
    sql = "UPDATE lists SET items = items || $1 WHERE id = $2"
    if kind < 0.7:
        await client.operate(
            "lists", "append", (key,), element, lambda one, _: one.change(sql, f" {element}", key)
        )
        return
    two = tuple(sorted(client.chance.sample(keys, 2)))
    appends: list[tuple[str, tuple[Any, ...]]] = [(sql, (f" {element}", k)) for k in two]
    await client.operate("lists", "append", two, element, lambda one, _: one.transaction(appends))


async def race(client: Client, load: Load) -> None:
    """Claim a name that others claim just now: by a primary key, or a unique column beside it."""
    moment = int((time.monotonic() - load.began_s) * 5)
    name = f"n{moment}"
    token = _token(client)
    values: tuple[Any, ...]
    if client.chance.random() < 0.5:
        workload, sql, values = "thrones", "INSERT INTO thrones VALUES ($1, $2)", (name, token)
    else:
        workload, sql, values = "claims", "INSERT INTO claims VALUES ($1, $2)", (token, name)
    await client.operate(workload, "claim", name, token, lambda one, _: one.change(sql, *values))


async def count(client: Client, _: Load) -> None:
    """Add one to a counter, or read it."""
    key = client.chance.randrange(COUNTERS)
    if client.chance.random() < 0.3:
        body = _value("SELECT n FROM counters WHERE id = $1", key)
        await client.operate("counters", "read", key, None, body)
        return
    if client.chance.random() < 0.3:
        await transactions.add_under_lock(client, key)
        return
    sql = "UPDATE counters SET n = n + 1 WHERE id = $1"
    await client.operate("counters", "add", key, 1, lambda one, _: one.change(sql, key))


async def change_shift(client: Client, load: Load) -> None:
    """Where the grid knows SERIALIZABLE; else nothing."""
    if SERIALIZABLE in load.levels:
        await transactions.change_shift(client, client.chance.randrange(transactions.PAIRS))
    else:
        await asyncio.sleep(1.0)  # nothing to do


def clients() -> tuple[Work, ...]:
    """What each client does."""
    return (
        *(transfer, transfer, transfer, read_sum, move_in_vault, move_in_vault),
        *(use_register, use_register, use_register, use_list, use_list, use_list),
        *(race, race, race, count, count, count, change_shift, change_shift),
        *(transactions.Large(), transactions.take_number, transactions.make_and_drop),
    )


_numbers = itertools.count(1)


def _token(client: Client) -> int:
    """A number never used before, with the client in its last two digits."""
    return next(_numbers) * 100 + client.number


def _value(sql: str, *values: Any) -> Callable[[Client, Connection], Coroutine[Any, Any, Any]]:
    async def body(_: Client, connection: Connection) -> Any:
        found = await connection.fetchval(sql, *values)
        return None if found is None else int(found)

    return body


def _items(text: str) -> str:
    return text.removeprefix(EMPTY_LIST).strip()


# -- verdicts -------------------------------------------------------------------------------------
def judge(recorder: Recorder, elements: list[ElementRows], load: Load) -> list[Verdict]:
    """All checkers on the history and on what is in the files of the elements."""
    history = recorder.history
    first = _whole_copy(elements, 0)
    allowed = partial(is_allowed, is_disk_full=load.is_disk_full)
    batches = Counter(batch for (batch,) in _rows(first, "HEAP", "BATCH"))
    duty: Counter[int] = Counter()
    for pair, on in _rows(first, "SHIFTS", "PAIR", "DUTY"):
        duty[pair] += on
    return [
        *_final_balances(history, elements),
        *_sums(history, load.levels),
        checks.check_sums(
            "vaults: sums within one replica set",
            of(history, "vaults", "sum"),
            POCKETS * OPENING,
        ),
        _vaults(first),
        checks.check_registers(
            "registers: linearizable",
            of(history, "registers"),
            0,
            dict(_rows(first, "REGISTERS", "ID", "V")),
        ),
        checks.check_lists(
            "lists: none lost, torn, twice, reordered",
            of(history, "lists"),
            {key: _items(text) for key, text in _rows(first, "LISTS", "ID", "ITEMS")},
        ),
        checks.check_unique(
            "unique primary keys",
            of(history, "thrones"),
            _rows(first, "THRONES", "NAME", "OWNER"),
        ),
        checks.check_unique(
            "unique columns with a global index",
            of(history, "claims"),
            _rows(first, "CLAIMS", "NAME", "ID"),
        ),
        _claims_index(first),
        checks.check_counters(
            "counters",
            of(history, "counters"),
            dict(_rows(first, "COUNTERS", "ID", "N")),
        ),
        *transactions.judge(history, batches, duty, is_atomic=READ_ATOMICITY_PROMISED),
        checks.check_errors("errors: of the retriable class", recorder.errors, allowed),
    ]


def _sums(history: list[Operation], levels: tuple[str, ...]) -> list[Verdict]:
    """Of each isolation level."""
    sums = of(history, "bank", "sum")
    return [
        checks.check_sums(
            f"bank: sums over replica sets, {level}",
            [o for o in sums if o.key == level],
            ACCOUNTS * OPENING,
            is_promised=READ_ATOMICITY_PROMISED,
        )
        for level in levels
    ]


def _whole_copy(elements: list[ElementRows], number: int) -> list[ElementRows]:
    """The n-th element of each replica set: together one copy of everything.

    Those with the longest logs come first: after a fault that did not heal they are what counts.
    """
    sets: dict[int, list[ElementRows]] = {}
    for element in sorted(elements, key=lambda element: -element.tail):
        sets.setdefault(element.replica_set, []).append(element)
    return [copies[number] for _, copies in sorted(sets.items())]


def _rows(copy: list[ElementRows], table: str, *columns: str) -> list[tuple[Any, ...]]:
    return [row for e in copy for row in e.keys(f"TERRY.{table}", *columns).elements()]


def _final_balances(history: list[Any], elements: list[ElementRows]) -> list[Verdict]:
    copies = min(Counter(e.replica_set for e in elements).values())
    opening = dict.fromkeys(range(ACCOUNTS), OPENING)
    found = []
    for which in range(copies):
        copy = _whole_copy(elements, which)
        rows = _rows(copy, "RECEIPTS", "ID", "GIVER", "TAKER", "AMOUNT")
        receipts = {number: (giver, taker, amount) for number, giver, taker, amount in rows}
        found.append(
            checks.check_balances(
                f"bank: transfers are whole and kept, copy {which + 1}",
                of(history, "bank", "transfer"),
                opening,
                dict(_rows(copy, "BANK", "ID", "BALANCE")),
                receipts,
            )
        )
    return found


def _vaults(copy: list[ElementRows]) -> Verdict:
    totals: Counter[int] = Counter()
    for vault, balance in _rows(copy, "POCKETS", "VAULT", "BALANCE"):
        totals[vault] += balance
    wrong = [f"vault {v} has {t}" for v, t in totals.items() if t != POCKETS * OPENING]
    return Verdict("vaults: sums at the end", len(totals), tuple(wrong))


def _claims_index(copy: list[ElementRows]) -> Verdict:
    """The hidden table of the unique column has an entry for each row, with its bucket."""
    rows = Counter(_rows(copy, "CLAIMS", "NAME", "_BUCKET"))
    entries: Counter[tuple[Any, ...]] = Counter()
    for element in copy:
        for table, columns in element.columns.items():
            if table.startswith("GI.") and columns[:2] == ["NAME", "_TARGET"]:
                entries += element.keys(table, "NAME", "_TARGET")
    wrong = [f"no entry for {row}" for row in (rows - entries).elements()]
    wrong += [f"entry without row: {row}" for row in (entries - rows).elements()]
    return Verdict("global index fits its table", rows.total(), tuple(wrong[: checks.SHOWN]))
