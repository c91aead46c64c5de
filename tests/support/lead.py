"""A LeadWriter on a real element with pretended copies, for tests without a grid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.catalog.catalog import CatalogChange, CreateTable, row_of
from data.catalog.objects import Column, Distribution, Index, Table
from data.distribution.places import Places
from data.storage.element import Element
from data.storage.entry import LogEntry
from data.storage.settings import ElementIdentity, StorageSettings
from data.txn.lead import LeadWriter
from protocol.clock import boottime_s
from protocol.errors import (
    GridError,
    NotLeadError,
    PeerLostError,
    PeerUnreachableError,
    ReplicaSetDownError,
)
from protocol.ids import TxnId
from protocol.messages.sql import InsertRows, Ran, RunSql, RunStatement
from protocol.messages.txn import (
    AskOutcome,
    CommitSingle,
    Decide,
    Forget,
    Prepare,
    RollBack,
    UndoStatement,
)
from protocol.sqltypes import Kind, SqlType

T = 1000
NUMBER10 = SqlType(Kind.NUMBER, 10, 0)
DB = "db1"


class Copies:
    """Stands for replication: acknowledges at once, or when told."""

    term = 1

    def __init__(self) -> None:
        self.hold = False
        self.ok = True  # the lease
        self.ended = 0  # terms that the writer ended
        self.waiting: list[Callable[[GridError | None], None]] = []
        self.missing: set[str] = set()  # who lacks the batch
        self.batches: list[list[LogEntry]] = []

    def end_term(self) -> None:
        self.ended += 1

    def lead_ok(self) -> bool:
        return self.ok

    def copy_ok(self, bucket: int) -> bool:
        return False

    def replicate(
        self,
        entries: list[LogEntry],
        on_done: Callable[[GridError | None], None],
        effect_bytes: int = 0,
        ahead: bool = False,
    ) -> None:
        self.batches.append(entries)
        self.waiting.append(on_done)
        self.missing = {"copies"} if self.hold else set()
        if ahead:
            self.missing.add("lead")
        self._check()

    def applied(self) -> None:
        self.missing.discard("lead")
        self._check()

    def acknowledge(self) -> None:
        self.missing.discard("copies")
        self._check()

    def _check(self) -> None:
        if not self.missing:
            waiting, self.waiting = self.waiting, []
            for done in waiting:
                done(None)


class Answer:
    """A reply that can be awaited."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def reply(self, message: Any) -> None:
        self.future.set_result(message)

    def fail(self, error: GridError) -> None:
        self.future.set_exception(error)


class Lead:
    """A leading writer and shorthand for talking to it."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self.copies = Copies()
        self.writer = LeadWriter(element, DB, 1)
        self.writer.attach(self.copies)
        self.writer.became_lead(1)

    def run(
        self, txn: TxnId, number: int, *steps: Any, commit: bool = False, wait_ms: int = 500
    ) -> asyncio.Future[Ran]:
        answer = Answer()
        self.writer.run(
            RunStatement(
                DB, 1, self.element.schema_version, 0, txn, 0, number, commit, steps, wait_ms
            ),
            answer,
        )
        return answer.future

    def call(self, method: Callable[[Any, Any], None], message: Any) -> asyncio.Future[Any]:
        answer = Answer()
        try:
            method(message, answer)
        except GridError as error:
            answer.fail(error)
        return answer.future

    def commit(self, txn: TxnId, statements: int) -> asyncio.Future[Any]:
        return self.call(
            self.writer.commit_single, CommitSingle(DB, 1, self.writer.term, txn, statements)
        )

    async def define(self, *tables: Table) -> None:
        """DDL: create tables."""
        change = CatalogChange(
            self.element.schema_version + 1,
            puts=tuple(row_of(table) for table in tables),
            actions=tuple(CreateTable(table) for table in tables),
        )
        ddl = TxnId(1, "ddl", change.version)
        await self.run(ddl, 1)
        message = CommitSingle(DB, 1, self.writer.term, ddl, 1, change.encode())
        await self.call(self.writer.commit_single, message)

    def rows(self) -> list[tuple[Any, ...]]:
        return self.element.read('SELECT ID, V FROM "U.T" ORDER BY ID')

    def undo_to(self, lsn: int) -> None:
        """Take the log back until `lsn` is its last, as a copy does; the writer leads no more."""
        self.writer.lost_lead()
        element = self.element
        element.begin()
        for number in range(element.tail.lsn, lsn, -1):
            entry = element.entry_at(number)
            assert entry is not None
            element.undo_entry(entry)
        element.commit()

    def redo_from(self, lsn: int) -> None:
        """Apply what the copies got after `lsn`, as a copy does."""
        self.element.begin()
        for entry in [e for batch in self.copies.batches for e in batch if e.lsn > lsn]:
            self.element.apply_entry(entry)
        self.element.commit()


def _table() -> Table:
    return Table(
        id=T,
        schema="U",
        name="T",
        columns=(Column("ID", NUMBER10, nullable=False), Column("V", NUMBER10)),
        distribution=Distribution.HASH,
        distribution_key=("ID",),
        indexes=(Index(T + 1, "PK_T", ("ID",), unique=True, primary=True, constraint=True),),
    )


async def make_lead(folder: Path, rs: int = 1) -> Lead:
    """A lead of a replica set with table U.T (ID primary key, V)."""
    identity = ElementIdentity(database=DB, database_id="1", element=rs, instance="host3.instance1")
    element = Element.create(folder / f"element{rs}", identity, StorageSettings())
    element.set_place(rs, 1)
    made = Lead(element)
    await made.define(_table())
    return made


def txn(n: int) -> TxnId:
    return TxnId(1, "life", n)


def insert(*rows: tuple[int, int]) -> InsertRows:
    return InsertRows(T, [(*row, 0) for row in rows])


def update(row: int, value: int) -> RunSql:
    return RunSql(T, 'UPDATE "U.T" SET V = ?2 WHERE ID = ?1', (row, value))


def add(row: int, more: int) -> RunSql:
    return RunSql(T, 'UPDATE "U.T" SET V = V + ?2 WHERE ID = ?1', (row, more))


class DirectRoutes:
    """Routes of a TransactionManager to leads in this process, losing what a test wants lost."""

    places = Places()

    def __init__(self, leads: dict[int, Lead]) -> None:
        self.leads = leads
        self.sent: list[Any] = []
        self.lose_answer: Callable[[Any], bool] = lambda message: False
        self.lose_request: Callable[[Any], bool] = lambda message: False
        self.passes: Callable[[Any], bool] = lambda message: True  # False: held back
        self.held: list[Callable[[], None]] = []

    def call(self, rs: int, message: Any, timeout_s: float) -> asyncio.Future[Any]:
        """As data/exec/router.py."""
        self.sent.append(message)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.lose_request(message):
            future.set_exception(PeerUnreachableError("lost"))
            return future
        answer = _Lossy(future, self.lose_answer(message))
        if self.passes(message):
            self._deliver(rs, message, answer)
        else:
            self.held.append(lambda: self._deliver(rs, message, answer))
        return future

    def send(
        self,
        rs: int,
        message: Any,
        on_reply: Callable[[Any, GridError | None], None],
        timeout_s: float,
    ) -> None:
        """As data/exec/router.py."""

        def came(future: asyncio.Future[Any]) -> None:
            if not future.cancelled():
                error = future.exception()
                assert error is None or isinstance(error, GridError)
                on_reply(None if error is not None else future.result(), error)

        self.call(rs, message, timeout_s).add_done_callback(came)

    def release(self) -> None:
        """Deliver what was held back."""
        held, self.held = self.held, []
        for deliver in held:
            deliver()

    def _deliver(self, rs: int, message: Any, answer: _Lossy) -> None:
        writer = self.leads[rs].writer
        handlers: dict[type, Callable[[], None]] = {
            RunStatement: lambda: writer.run(message, answer),
            UndoStatement: lambda: writer.undo_statement(message, answer),
            CommitSingle: lambda: writer.commit_single(message, answer),
            Prepare: lambda: writer.prepare(message, answer),
            Decide: lambda: writer.decide(message, answer),
            AskOutcome: lambda: writer.ask_outcome(message, answer),
            Forget: lambda: writer.forget(message, answer),
            RollBack: lambda: writer.roll_back(message, answer),
        }
        handlers[type(message)]()

    async def call_until(self, rs: int, message: Any, deadline_s: float) -> Any:
        """As data/exec/router.py."""
        while boottime_s() < deadline_s:
            try:
                return await self.call(rs, message, 1.0)
            except (NotLeadError, PeerUnreachableError, PeerLostError):
                await self.wait_for_change(0.01)
        raise ReplicaSetDownError("no answer")

    def call_instance(self, instance: str, message: Any, timeout_s: float) -> asyncio.Future[Any]:
        """As data/exec/router.py."""
        raise NotImplementedError

    def tell(self, rs: int, message: Any) -> None:
        """As data/exec/router.py."""
        self.call(rs, message, 1.0)

    def is_local(self, rs: int) -> bool:
        """As data/exec/router.py."""
        return False

    def may_repeat(self, error: GridError) -> bool:
        """As data/exec/router.py."""
        return isinstance(error, (NotLeadError, PeerUnreachableError))

    async def wait_for_change(self, at_most_s: float) -> None:
        """As data/exec/router.py."""
        await asyncio.sleep(0.001)  # stands for a change of the view


class _Lossy(Answer):
    """Passes an answer on, or reports the connection as lost instead."""

    def __init__(self, future: asyncio.Future[Any], lost: bool) -> None:
        self.future = future
        self._lost = lost

    def reply(self, message: Any) -> None:
        if self.future.done():
            return
        if self._lost:
            self.future.set_exception(PeerLostError("the answer was lost"))
        else:
            self.future.set_result(message)

    def fail(self, error: GridError) -> None:
        if not self.future.done():
            self.future.set_exception(PeerLostError("lost") if self._lost else error)
