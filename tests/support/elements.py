"""Builders for tests of storage and what stands on it: small tables, elements, log entries."""

from __future__ import annotations

from pathlib import Path

from data.catalog.catalog import CatalogChange, CreateTable, ElementAction, row_of
from data.catalog.objects import Check, Column, Distribution, Index, Table
from data.storage import changes as row_changes
from data.storage.changes import RowChange
from data.storage.element import Element
from data.storage.entry import EntryKind, LogEntry, TxnPayload, encode_payload, encode_txns
from data.storage.settings import ElementIdentity, StorageSettings
from protocol.ids import TxnId
from protocol.sqltypes import BIGINT, DOUBLE, NUMBER, VARCHAR, Kind, SqlType, StorageRow

MONEY = SqlType(Kind.NUMBER, precision=12, scale=2)

CUSTOMERS = Table(  # an integer key: SQLite's rowid
    id=20000,
    schema="TERRY",
    name="CUSTOMERS",
    columns=(
        Column("ID", BIGINT, nullable=False),
        Column("NAME", VARCHAR, nullable=False),
        Column("EMAIL", VARCHAR),
        Column("CREDIT", MONEY),
    ),
    distribution=Distribution.HASH,
    distribution_key=("ID",),
    indexes=(
        Index(20001, "CUSTOMERS_PK", ("ID",), unique=True, primary=True, constraint=True),
        Index(20002, "CUSTOMERS_EMAIL_UK", ("EMAIL",), unique=True, constraint=True),
    ),
    checks=(Check("CREDIT_POSITIVE", "CREDIT >= 0", '"CREDIT" >= 0'),),
)
PARTS = Table(  # a key of two columns that are not the first ones: WITHOUT ROWID
    id=20010,
    schema="TERRY",
    name="PARTS",
    columns=(
        Column("NOTE", VARCHAR),
        Column("CODE", VARCHAR, nullable=False),
        Column("WEIGHT", DOUBLE),
        Column("LOT", BIGINT, nullable=False),
        Column("PRICE", NUMBER),
    ),
    distribution=Distribution.HASH,
    distribution_key=("CODE",),
    indexes=(
        Index(20011, "PARTS_PK", ("LOT", "CODE"), unique=True, primary=True, constraint=True),
        Index(20012, "PARTS_NOTE", ("NOTE", "PRICE")),
    ),
)
NOTES = Table(  # without a key: a hidden row key
    id=20020,
    schema="TERRY",
    name="NOTES",
    columns=(Column("TEXT", VARCHAR),),
    distribution=Distribution.DUPLICATE,
    row_key=True,
)
TABLES = (CUSTOMERS, PARTS, NOTES)


def identity_of(element: int = 1, database_id: str = "db-1") -> ElementIdentity:
    """Element `element` of database1, on an instance of its own."""
    return ElementIdentity(
        database="database1",
        database_id=database_id,
        element=element,
        instance=f"host{element}.instance1",
        replica_set=1,
        data_space=element,
    )


def txn(number: int) -> TxnId:
    """A transaction id."""
    return TxnId(1, "incarnation-1", number)


def commit_entry(
    element: Element, changes: list[RowChange], number: int = 0, term: int = 1, ddl: bytes = b""
) -> LogEntry:
    """The next COMMIT entry of an element."""
    lsn = element.tail.lsn + 1
    payload = TxnPayload(row_changes.encode(changes), ddl)
    return LogEntry(term, lsn, EntryKind.COMMIT, txn(number or lsn), encode_payload(payload))


def prepare_entry(
    element: Element,
    changes: list[RowChange],
    number: int,
    participants: tuple[int, ...] = (1, 2),
    locks: bytes = b"",
) -> LogEntry:
    """The next PREPARE entry of an element."""
    payload = TxnPayload(row_changes.encode(changes), b"", participants, locks)
    lsn = element.tail.lsn + 1
    return LogEntry(1, lsn, EntryKind.PREPARE, txn(number), encode_payload(payload))


def decision_entry(
    element: Element, kind: EntryKind, number: int, participants: tuple[int, ...] = ()
) -> LogEntry:
    """The COMMIT or ABORT of a transaction prepared elsewhere in the log."""
    payload = encode_payload(TxnPayload(participants=participants))
    return LogEntry(1, element.tail.lsn + 1, kind, txn(number), payload)


def forget_entry(element: Element, *numbers: int) -> LogEntry:
    """The FORGET of decided transactions."""
    payload = encode_txns(tuple(txn(number) for number in numbers))
    return LogEntry(1, element.tail.lsn + 1, EntryKind.FORGET, None, payload)


def ddl_change(element: Element, *actions: ElementAction, tables: tuple[Table, ...]) -> bytes:
    """An encoded DDL statement that puts `tables` into the catalog and performs `actions`."""
    return CatalogChange(
        element.schema_version + 1, tuple(row_of(t) for t in tables), (), actions
    ).encode()


def reopen(element: Element) -> Element:
    """The element as after the end of its process."""
    element.close(clean=False)
    return Element.open(element.path, element.settings)


def apply(element: Element, *entries: LogEntry) -> None:
    """As one batch."""
    element.begin()
    for entry in entries:
        element.apply_entry(entry)
    element.commit()


def undo(element: Element, *entries: LogEntry) -> None:
    """As one batch; the newest comes first."""
    element.begin()
    for entry in entries:
        element.undo_entry(entry)
    element.commit()


def apply_ddl(element: Element, *actions: ElementAction, tables: tuple[Table, ...]) -> LogEntry:
    """Run a DDL statement as a batch of its own; returns its entry."""
    entry = commit_entry(element, [], ddl=ddl_change(element, *actions, tables=tables))
    apply(element, entry)
    return entry


def new_element(
    path: Path,
    number: int = 1,
    settings: StorageSettings | None = None,
    tables: tuple[Table, ...] = TABLES,
) -> Element:
    """A new element with the tables above, in sync."""
    element = Element.create(path, identity_of(number), settings or StorageSettings())
    apply_ddl(element, *(CreateTable(t) for t in tables), tables=tables)
    element.mark_in_sync()
    return element


def write(element: Element, table: str, rows: list[StorageRow], number: int = 0) -> LogEntry:
    """Insert rows as a committed transaction; returns its entry."""
    element.begin()
    entry = commit_entry(element, element.insert_rows(table, rows), number)
    element.append(entry)
    element.commit()
    return entry


def customer(number: int, email: str | None = None) -> StorageRow:
    """A row of TERRY.CUSTOMERS."""
    return (number, f"name {number}", email, 10 * number, number % 4096)


def contents(element: Element) -> dict[str, list[StorageRow]]:
    """All rows of all tables in the last committed state, in key order."""
    names = element.read(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\' "
        "AND name NOT LIKE 'sqlite%' ORDER BY name"
    )
    found: dict[str, list[StorageRow]] = {}
    for (name,) in names:
        rows = element.read(f'SELECT * FROM "{name}"')
        found[str(name)] = sorted(rows, key=repr)
    return found
