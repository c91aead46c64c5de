"""The files of an export: the catalog as JSON, rows as batches of msgpack. See docs/operations.md.

Rows are as the element stores them, with their bucket: a topology with other replica sets takes
those whose buckets it gives to a set, nothing is computed again. All of it blocks: for threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from data.backup.files import FileReader, FileWriter
from data.catalog.catalog import Catalog
from data.catalog.element_ddl import (
    BUCKET,
    element_tables,
    full_row_columns,
    has_bucket,
    table_name,
)
from data.catalog.objects import CatalogObject, Grant, Sequence, Synonym, Table, User, View
from data.storage.images import ElementBuilder, ImageRows
from protocol.errors import CollectionError
from protocol.limits import MIB
from protocol.messages.backup import FileFacts
from protocol.sqltypes import StorageRow

FORMAT = 1
CATALOG_FILE = "catalog.json"
BATCH_ROWS = 1000
BATCH_BYTES = MIB
FRAME_BYTES = 4  # little endian: length of the batch that follows
FRAME_BYTES_MAX = 64 * MIB

_encode_rows = msgspec.msgpack.Encoder().encode
_decode_rows = msgspec.msgpack.Decoder(list[tuple[Any, ...]]).decode
Written = Callable[[int], None]  # bytes that went out; may raise to stop the work


class CatalogFile(msgspec.Struct, frozen=True, kw_only=True):
    """The catalog of an exported database."""

    format: int
    version: int
    next_id: int
    tables: tuple[Table, ...]
    views: tuple[View, ...]
    sequences: tuple[Sequence, ...]
    synonyms: tuple[Synonym, ...]
    users: tuple[User, ...]
    grants: tuple[Grant, ...]


_decode_catalog = msgspec.json.Decoder(CatalogFile).decode


def encode_catalog(catalog: Catalog) -> bytes:
    """A catalog as JSON."""

    def of(kind: type[Any]) -> tuple[Any, ...]:
        return tuple(item for item in catalog.by_id.values() if isinstance(item, kind))

    file = CatalogFile(
        format=FORMAT,
        version=catalog.version,
        next_id=catalog.next_id,
        tables=of(Table),
        views=of(View),
        sequences=of(Sequence),
        synonyms=of(Synonym),
        users=of(User),
        grants=of(Grant),
    )
    return msgspec.json.format(msgspec.json.encode(file), indent=1)


def decode_catalog(data: bytes) -> Catalog:
    """The reverse. Raises CollectionError."""
    try:
        file = _decode_catalog(data)
    except msgspec.MsgspecError as error:
        raise CollectionError(f"the catalog of the export is not understood: {error}") from error
    if file.format != FORMAT:
        raise CollectionError(f"the export has format {file.format}, this software knows {FORMAT}")
    objects: tuple[CatalogObject, ...] = (
        *file.users, *file.tables, *file.views, *file.sequences, *file.synonyms, *file.grants
    )  # fmt: skip
    return Catalog(file.version, file.next_id, objects)


# -- out -------------------------------------------------------------------------------------------
def write_all(
    image: Path, folder: Path, prefix: str, *, packed: bool, whole: bool, written: Written
) -> tuple[FileFacts, ...]:
    """The files of one replica set; see messages/backup.py ExportImage. Raises GridError."""
    rows = ImageRows(image)
    try:
        found = []
        if whole:
            found.append(_write_catalog(rows.catalog, folder, prefix, packed=packed))
        for table in element_tables(rows.catalog):
            if table.temporary or not (whole or has_bucket(table)):
                continue
            path = f"{prefix}/{table.id}.rows"
            found.append(_write_table(rows, table, folder, path, packed, written))
        return tuple(found)
    finally:
        rows.close()


def _write_catalog(catalog: Catalog, folder: Path, prefix: str, *, packed: bool) -> FileFacts:
    writer = FileWriter(folder, f"{prefix}/{CATALOG_FILE}", packed=packed)
    try:
        writer.write(encode_catalog(catalog))
        return writer.close()
    except BaseException:
        writer.abandon()
        raise


def _write_table(
    rows: ImageRows, table: Table, folder: Path, path: str, packed: bool, written: Written
) -> FileFacts:
    writer = FileWriter(folder, path, packed=packed)
    count = 0
    try:
        for batch in rows.batches(table, BATCH_ROWS, BATCH_BYTES):
            body = _encode_rows(batch)
            written(writer.write(len(body).to_bytes(FRAME_BYTES, "little") + body))
            count += len(batch)
        facts = writer.close()
    except BaseException:
        writer.abandon()
        raise
    return msgspec.structs.replace(
        facts, table=table_name(table), rows=count, columns=full_row_columns(table)
    )


# -- in --------------------------------------------------------------------------------------------
def read_catalog(folder: Path, facts: FileFacts) -> Catalog:
    """The catalog of an export. Raises CollectionError."""
    reader = FileReader(folder, facts)
    try:
        return decode_catalog(b"".join(iter(reader.read, b"")))
    finally:
        reader.close()


def batches(folder: Path, facts: FileFacts) -> Iterator[list[StorageRow]]:
    """The rows of a file. Raises CollectionError, at the latest at its end, if it is damaged."""
    reader = FileReader(folder, facts)
    buffer = bytearray()
    count = 0
    try:
        while piece := reader.read():
            buffer += piece
            at = 0
            while len(buffer) - at >= FRAME_BYTES:
                length = int.from_bytes(buffer[at : at + FRAME_BYTES], "little")
                end = at + FRAME_BYTES + length
                if length > FRAME_BYTES_MAX:
                    raise CollectionError(f"{folder / facts.path} is damaged: a batch is too long")
                if len(buffer) < end:
                    break
                rows = _decoded(bytes(buffer[at + FRAME_BYTES : end]), folder / facts.path)
                count += len(rows)
                yield rows
                at = end
            del buffer[:at]
    finally:
        reader.close()
    if buffer or count != facts.rows:
        raise CollectionError(f"{folder / facts.path} is damaged: {count} of {facts.rows} rows")


def _decoded(body: bytes, path: Path) -> list[StorageRow]:
    try:
        return _decode_rows(body)
    except msgspec.MsgspecError as error:
        raise CollectionError(f"{path} is damaged: {error}") from error


def fill(
    builder: ElementBuilder,
    folder: Path,
    files: tuple[FileFacts, ...],
    buckets: frozenset[int],
    batch_rows: int,
    read: Written,
) -> int:
    """Insert the rows of these buckets, and those of duplicate tables; how many. Raises GridError.

    `batch_rows` at once; `read` is told of the bytes of each batch's share of its file; it may
    raise to stop the work.
    """
    tables = {table_name(t): t for t in element_tables(builder.catalog)}
    count = 0
    for facts in files:
        table = tables.get(facts.table)
        if table is None or set(facts.columns) != set(full_row_columns(table)):
            raise CollectionError(f"{folder / facts.path} does not fit the catalog of the export")
        at = facts.columns.index(BUCKET) if has_bucket(table) else -1
        share = facts.size // max(1, facts.rows)
        for rows in batches(folder, facts):
            mine = rows if at < 0 else [row for row in rows if row[at] in buckets]
            for first in range(0, len(mine), batch_rows):
                builder.insert(facts.table, facts.columns, mine[first : first + batch_rows])
            count += len(mine)
            read(share * len(rows))
    return count
