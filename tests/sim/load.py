"""What clients do to a simulated grid, and the verdict on what they were told.

The tables and checkers are the drill's (tests/drill); here a few keys are contended, and clients
belong to hosts that die under them.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.drill import checks
from tests.drill.history import Operation, Outcome, Verdict, of
from tests.drill.registers import use_one
from tests.sim.grid import SimGrid, Site
from tests.sim.loop import SimLoop
from tests.sim.sql import ConnectionLostError, SqlConnection, SqlError
from tests.support import bank_tables

ACCOUNTS, OPENING = 6, 1000
KEYS = 3  # of registers, lists and counters
EMPTY_LIST = "-"
TABLES = (*bank_tables.MONEY, *bank_tables.OBJECTS)
# What a client may hear: rolled back, lock not available, not serving, too many, unknown outcome.
ALLOWED = ("40", "55P03", "57", "08", "53300", "23505")
ANSWER_S = 90.0  # longer than every wait that an instance promises to end
CONNECT_S = 5.0
# Statements over several replica sets see whole transactions only.
READ_ATOMICITY_PROMISED = True

Body = Callable[["Client", SqlConnection], Awaitable[Any]]


async def fill(grid: SimGrid, site: Site) -> None:
    """A user and the tables, filled; at the first instance, before any fault."""
    assert site.instance is not None
    session = site.instance._engine.open_session("database1", "admin", {}, 1, is_superuser=True)
    await _run(session, "CREATE USER terry IDENTIFIED BY 'tiger'")
    await _run(session, "GRANT CREATE SESSION, CREATE TABLE TO terry")
    session.close()
    session = site.instance._engine.open_session("database1", "terry", {}, 2)
    for sql in TABLES:
        await _run(session, sql)
    for n in range(ACCOUNTS):
        await _run(session, f"INSERT INTO bank VALUES ({n}, {OPENING})")
    for n in range(KEYS):
        await _run(session, f"INSERT INTO registers VALUES ({n}, 0)")
        await _run(session, f"INSERT INTO lists VALUES ({n}, '{EMPTY_LIST}')")
        await _run(session, f"INSERT INTO counters VALUES ({n}, 0)")
    session.close()


class _Waiting:
    """A sink for one statement without rows."""

    writable = True

    def __init__(self) -> None:
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def done(self, tag: str) -> None:
        self.answer.set_result(tag)

    def fail(self, error: Exception) -> None:
        self.answer.set_exception(error)


async def _run(session: Any, sql: str) -> None:
    sink = _Waiting()
    session.execute(session.prepare(sql, ()), (), None, 0, sink)
    await sink.answer


@dataclass
class Recorder:
    """What all clients did."""

    history: list[Operation] = field(default_factory=list)
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    numbers: int = 0


class Client:
    """One operation after the other, each recorded."""

    def __init__(self, number: int, grid: SimGrid, loop: SimLoop, recorder: Recorder) -> None:
        self.number = number
        self.grid = grid
        self.chance = random.Random(f"{grid.seed} {number}")
        self.recorder = recorder
        self.done = False
        self._loop = loop
        self._at = number % len(grid.sites)
        self._connection: SqlConnection | None = None
        self._may_commit = False

    def token(self) -> int:
        """A number never used before."""
        self.recorder.numbers += 1
        return self.recorder.numbers

    async def run(self, works: list[Any], until_s: float, think_s: float) -> None:
        """Work until then."""
        while self.grid.scheduler.now < until_s:
            await self.chance.choice(works)(self)
            await asyncio.sleep(self.chance.uniform(0, 2 * think_s))  # virtual time
        if self._connection is not None:
            self._connection.close()
        self.done = True

    async def operate(self, workload: str, action: str, key: Any, value: Any, body: Body) -> Any:
        """One operation; None if there was nobody to ask."""
        connection = await self._connected()
        if connection is None:
            await asyncio.sleep(0.05)  # virtual time
            return None
        self._may_commit = False
        scheduler = self.grid.scheduler
        result, outcome, state = None, Outcome.OK, ""
        start_s = scheduler.now
        try:
            result = await body(self, connection)
        except SqlError as error:
            state = error.state
            refused = not state.startswith(("08", "XX"))
            outcome = Outcome.FAILED if refused or not self._may_commit else Outcome.UNKNOWN
            self._heard(workload, state, error.error)
        except ConnectionLostError:
            state = "lost"
            outcome = Outcome.UNKNOWN if self._may_commit else Outcome.FAILED
            if scheduler.now - start_s > ANSWER_S:
                self.grid.problem(f"client {self.number}: {workload} {action} {key}: no answer")
        operation = Operation(
            *(self.number, action, key, value, result, start_s, scheduler.now, outcome),
            *(workload, state, connection.site.name),
        )
        self.recorder.history.append(operation)
        self.grid.note(f"client {self.number}", str(operation))
        if state:
            await self._after_error(connection, state)
        return operation

    def _heard(self, where: str, state: str, error: Exception) -> None:
        self.recorder.errors[where, state] += 1
        detail = getattr(error, "detail", "")
        self.recorder.texts.setdefault((where, state), f"{error} {detail}")
        self.grid.note(f"client {self.number}", f"{where} {state} {error} {detail}")

    # -- what bodies are made of ------------------------------------------------------------------
    async def query(self, sql: str, *values: Any) -> Any:
        """The first value of the first row."""
        assert self._connection is not None
        _, rows = await self._connection.execute(sql, *values, patience_s=ANSWER_S)
        return rows[0][0] if rows else None

    async def change(self, sql: str, *values: Any) -> int:
        """A statement that commits by itself; the number of rows."""
        assert self._connection is not None
        self._may_commit = True
        tag, _ = await self._connection.execute(sql, *values, patience_s=ANSWER_S)
        return _count(tag)

    def will_commit(self) -> None:
        """What follows may take effect although its answer is lost."""
        self._may_commit = True

    async def transaction(self, statements: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Several statements and COMMIT."""
        connection = self._connection
        assert connection is not None
        await connection.execute("BEGIN", patience_s=ANSWER_S)
        for sql, values in statements:
            tag, _ = await connection.execute(sql, *values, patience_s=ANSWER_S)
            if not _count(tag):
                self.grid.problem(f"client {self.number}: no row: {sql} {values}")
        self._may_commit = True
        await connection.execute("COMMIT", patience_s=ANSWER_S)

    # -- connection -------------------------------------------------------------------------------
    async def _connected(self) -> SqlConnection | None:
        if self._connection is not None and not self._connection.lost:
            return self._connection
        sites = self.grid.sites
        site = sites[self._at]
        self._at = (self._at + 1) % len(sites)
        self._connection = None
        connection = SqlConnection(self.grid, site, self._loop)
        try:
            await connection.open(CONNECT_S)
        except ConnectionLostError:
            return None
        except SqlError as error:
            self._heard("connect", error.state, error.error)
            return None
        self._connection = connection
        return connection

    async def _after_error(self, connection: SqlConnection, state: str) -> None:
        if state == "lost" or state.startswith("08"):
            connection.close()
        else:
            try:
                await connection.execute("ROLLBACK", patience_s=10.0)
            except (SqlError, ConnectionLostError):
                connection.close()
        if state.startswith("57") and self.chance.random() < 0.5:
            connection.close()
        await asyncio.sleep(self.chance.uniform(0.005, 0.05))  # virtual time


def _count(tag: str) -> int:
    last = tag.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


# -- work -----------------------------------------------------------------------------------------
async def transfer(client: Client) -> None:
    """Money from one account to another, and a receipt."""
    giver, taker = client.chance.sample(range(ACCOUNTS), 2)
    amount = client.chance.randint(1, 20)
    number = client.token()
    pay = "UPDATE bank SET balance = balance + $1 WHERE id = $2"
    moves: list[tuple[str, tuple[Any, ...]]] = [(pay, (-amount, giver)), (pay, (amount, taker))]
    if client.chance.random() < 0.8:
        moves.sort(key=lambda move: move[1][1])
    receipt = ("INSERT INTO receipts VALUES ($1, $2, $3, $4)", (number, giver, taker, amount))
    await client.operate(
        *("bank", "transfer", number, (giver, taker, amount)),
        lambda one, _: one.transaction([*moves, receipt]),
    )


async def read_sum(client: Client) -> None:
    """The sum of all balances, by one statement."""

    async def body(one: Client, _: SqlConnection) -> int:
        return int(await one.query("SELECT SUM(balance) FROM bank"))

    await client.operate("bank", "sum", 0, None, body)


async def read_sums(client: Client) -> None:
    """The same sum again and again in one REPEATABLE READ transaction."""

    async def body(one: Client, connection: SqlConnection) -> int:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ", patience_s=ANSWER_S)
        sums = []
        for _ in range(3):
            sums.append(int(await one.query("SELECT SUM(balance) FROM bank")))
            await asyncio.sleep(one.chance.uniform(0.0, 0.1))  # virtual time
        await connection.execute("COMMIT", patience_s=ANSWER_S)
        return next((number for number in sums if number != sums[0]), sums[0])

    await client.operate("bank", "sum", 0, None, body)


async def transfer_what_is_there(client: Client) -> None:
    """A SERIALIZABLE transfer that reads both balances and writes what it has computed."""
    giver, taker = client.chance.sample(range(ACCOUNTS), 2)
    amount = client.chance.randint(1, 20)
    number = client.token()

    async def body(one: Client, connection: SqlConnection) -> None:
        await connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE", patience_s=ANSWER_S)
        for account, change in ((giver, -amount), (taker, amount)):
            before = int(await one.query("SELECT balance FROM bank WHERE id = $1", account))
            sql = "UPDATE bank SET balance = $1 WHERE id = $2"
            await connection.execute(sql, before + change, account, patience_s=ANSWER_S)
        receipt = "INSERT INTO receipts VALUES ($1, $2, $3, $4)"
        await connection.execute(receipt, number, giver, taker, amount, patience_s=ANSWER_S)
        one.will_commit()
        await connection.execute("COMMIT", patience_s=ANSWER_S)

    await client.operate("bank", "transfer", number, (giver, taker, amount), body)


async def use_register(client: Client) -> None:
    """Read, write or compare-and-set one register."""
    key = client.chance.randrange(KEYS)

    async def read(one: Client, _: SqlConnection) -> int:
        return int(await one.query("SELECT v FROM registers WHERE id = $1", key))

    await use_one(client, key, read, client.token)


async def use_list(client: Client) -> None:
    """Read a list, append to one, or to two in one transaction."""
    key = client.chance.randrange(KEYS)
    kind = client.chance.random()
    if kind < 0.4:

        async def read(one: Client, _: SqlConnection) -> str:
            return _items(await one.query("SELECT items FROM lists WHERE id = $1", key))

        await client.operate("lists", "read", key, None, read)
        return
    element = str(client.token())
    sql = "UPDATE lists SET items = items || $1 WHERE id = $2"
    if kind < 0.7:
        await client.operate(
            "lists", "append", (key,), element, lambda one, _: one.change(sql, f" {element}", key)
        )
        return
    two = tuple(sorted(client.chance.sample(range(KEYS), 2)))
    appends: list[tuple[str, tuple[Any, ...]]] = [(sql, (f" {element}", k)) for k in two]
    await client.operate("lists", "append", two, element, lambda one, _: one.transaction(appends))


async def race(client: Client) -> None:
    """Claim a name that others claim just now: by a primary key, or a unique column beside it."""
    name = f"n{int(client.grid.scheduler.now * 5)}"
    token = client.token()
    if client.chance.random() < 0.5:
        sql = "INSERT INTO thrones VALUES ($1, $2)"
        await client.operate(
            "thrones", "claim", name, token, lambda one, _: one.change(sql, name, token)
        )
    else:
        sql = "INSERT INTO claims VALUES ($1, $2)"
        await client.operate(
            "claims", "claim", name, token, lambda one, _: one.change(sql, token, name)
        )


async def count(client: Client) -> None:
    """Add one to a counter, or read it."""
    key = client.chance.randrange(KEYS)
    if client.chance.random() < 0.3:

        async def read(one: Client, _: SqlConnection) -> int:
            return int(await one.query("SELECT n FROM counters WHERE id = $1", key))

        await client.operate("counters", "read", key, None, read)
        return
    sql = "UPDATE counters SET n = n + 1 WHERE id = $1"
    await client.operate("counters", "add", key, 1, lambda one, _: one.change(sql, key))


async def lock_and_add(client: Client) -> None:
    """Add one to two counters that were locked and read before; sometimes go back and do one."""
    keys = client.chance.sample(range(KEYS), 2)
    if client.chance.random() < 0.8:
        keys.sort()
    how = client.chance.choice(("", "", " NOWAIT", " WAIT 1"))

    async def body(one: Client, connection: SqlConnection) -> None:
        await connection.execute("BEGIN", patience_s=ANSWER_S)
        for key in keys:
            sql = f"SELECT n FROM counters WHERE id = $1 FOR UPDATE{how}"
            value = int(await one.query(sql, key))
            if one.chance.random() < 0.3:
                await connection.execute("SAVEPOINT here", patience_s=ANSWER_S)
                await connection.execute("UPDATE counters SET n = n + 100", patience_s=ANSWER_S)
                await connection.execute("ROLLBACK TO SAVEPOINT here", patience_s=ANSWER_S)
            sql = "UPDATE counters SET n = $1 WHERE id = $2"
            await connection.execute(sql, value + 1, key, patience_s=ANSWER_S)
        one.will_commit()
        await connection.execute("COMMIT", patience_s=ANSWER_S)

    done = await client.operate("locked", "add", tuple(keys), 1, body)
    if done is not None:
        for key in keys:  # for the checker each counter got its own
            client.recorder.history.append(replace(done, workload="counters", key=key))


async def define(client: Client) -> None:
    """Make a table, use it, drop it."""
    name = f"t{client.number}"
    text = f"CREATE TABLE {name} (id TT_INTEGER NOT NULL PRIMARY KEY) DISTRIBUTE BY HASH"
    steps = (text, f"INSERT INTO {name} VALUES (1)", f"DROP TABLE {name}")
    for sql in steps:

        async def body(one: Client, connection: SqlConnection, sql: str = sql) -> None:
            one.will_commit()
            await connection.execute(sql, patience_s=ANSWER_S)

        await client.operate("ddl", sql.split()[0], name, None, body)


async def transfer_many(client: Client) -> None:
    """Every account of one half gives one to one of the other: many rows, one transaction."""
    half = ACCOUNTS // 2
    numbers = [client.token() for _ in range(half)]
    statements: list[tuple[str, tuple[Any, ...]]] = [
        ("INSERT INTO receipts VALUES ($1, $2, $3, 1)", (number, half + n, n))
        for n, number in enumerate(numbers)
    ]
    statements.append(("UPDATE bank SET balance = balance + 1 WHERE id < $1", (half,)))
    statements.append(("UPDATE bank SET balance = balance - 1 WHERE id >= $1", (half,)))
    done = await client.operate(
        "banks", "transfer", tuple(numbers), None, lambda one, _: one.transaction(statements)
    )
    if done is not None:
        for number in numbers:
            client.recorder.history.append(replace(done, workload="bank", key=number))


WORKS = (
    transfer,
    transfer_many,
    transfer,
    transfer_what_is_there,
    read_sum,
    read_sums,
    use_register,
    use_list,
    race,
    count,
    lock_and_add,
)
RARE_WORKS = (define,)


def _items(text: str) -> str:
    return text.removeprefix(EMPTY_LIST).strip()


def _is_allowed(where: str, state: str) -> bool:
    if where == "ddl" and state in ("42P07", "42P01"):
        return True  # what was done before and not answered
    return state.startswith(ALLOWED)


# -- verdicts -------------------------------------------------------------------------------------
Rows = Callable[..., list[tuple[Any, ...]]]


def judge(recorder: Recorder, rows: Rows) -> list[Verdict]:
    """All checkers; `rows(table, columns...)` reads one whole copy."""
    history = recorder.history
    receipts = {
        number: (giver, taker, amount)
        for number, giver, taker, amount in rows("RECEIPTS", "ID", "GIVER", "TAKER", "AMOUNT")
    }
    opening = dict.fromkeys(range(ACCOUNTS), OPENING)
    lists = {key: _items(text) for key, text in rows("LISTS", "ID", "ITEMS")}
    return [
        checks.check_balances(
            "transfers are whole and kept",
            of(history, "bank", "transfer"),
            opening,
            dict(rows("BANK", "ID", "BALANCE")),
            receipts,
        ),
        checks.check_sums(
            "sums by one statement",
            of(history, "bank", "sum"),
            ACCOUNTS * OPENING,
            is_promised=READ_ATOMICITY_PROMISED,
        ),
        checks.check_registers(
            "registers", of(history, "registers"), 0, dict(rows("REGISTERS", "ID", "V"))
        ),
        checks.check_lists("lists", of(history, "lists"), lists),
        checks.check_unique(
            "primary keys", of(history, "thrones"), rows("THRONES", "NAME", "OWNER")
        ),
        checks.check_unique("unique columns", of(history, "claims"), rows("CLAIMS", "NAME", "ID")),
        checks.check_counters(
            "counters", of(history, "counters"), dict(rows("COUNTERS", "ID", "N"))
        ),
        checks.check_errors("errors", recorder.errors, _is_allowed),
    ]
