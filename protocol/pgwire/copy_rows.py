"""COPY data: text, csv and binary rows between bytes and storage values. Pure.

A RowDecoder takes chunks as they come (rows may span them) and returns whole rows; a CopyRowEncoder
is called like a values.RowEncoder and returns finished CopyData messages, one per row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from protocol.errors import CopyDataError, GridError, TooLargeError
from protocol.limits import ROW_BYTES_MAX
from protocol.pgwire.copy_columns import Columns
from protocol.pgwire.row_columns import RowColumns
from protocol.pgwire.values import Decoder, binary_encoder, decoder, text_encoder
from protocol.sqltypes import SqlType, StorageRow, StorageValue

BINARY_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_BINARY_HEADER = BINARY_SIGNATURE + bytes(8)
_BINARY_TRAILER = b"\xff\xff"


class CopyFormat(NamedTuple):
    """The columns of a COPY and how its data is written. Defaults as in PostgreSQL."""

    types: tuple[SqlType, ...]
    names: tuple[str, ...]
    format: str = "text"  # text, csv or binary
    delimiter: str = ""  # "": a tab (text), a comma (csv)
    null: str | None = None  # None: \N (text), nothing between delimiters (csv)
    header: bool = False
    header_names: bool = False  # the header must name the columns
    quote: str = '"'
    escape: str = ""  # "": the same as quote
    force_quote: frozenset[int] = frozenset()  # column positions, 0-based
    force_null: frozenset[int] = frozenset()
    force_not_null: frozenset[int] = frozenset()

    @property
    def is_binary(self) -> bool:
        """True: the overall format code in CopyInResponse and CopyOutResponse is 1."""
        return self.format == "binary"

    @property
    def delimiter_text(self) -> str:
        """The delimiter with its default filled in."""
        return self.delimiter or ("," if self.format == "csv" else "\t")

    @property
    def null_text(self) -> str:
        """What stands for NULL, with its default filled in."""
        if self.null is not None:
            return self.null
        return "" if self.format == "csv" else "\\N"

    def row_decoder(self) -> RowDecoder:
        """A fresh decoder for one COPY FROM STDIN."""
        if self.format == "binary":
            return BinaryRowDecoder(self)
        if self.format == "csv":
            return CsvRowDecoder(self)
        return TextRowDecoder(self)

    def row_encoder(self) -> CopyRowEncoder:
        """The encoder for COPY TO STDOUT."""
        return CopyRowEncoder(self)


class RowDecoder(Protocol):
    """Bytes in, rows out. Every method raises GridError; its detail names line and column."""

    def feed(self, chunk: bytes) -> list[StorageRow] | RowColumns:
        """The rows that are complete with this chunk."""
        ...

    def finish(self) -> list[StorageRow]:
        """The data is over: the last row if it had no line end."""
        ...


class _LineDecoder:
    """What text and csv share: cutting lines, the header, end marker, line numbers."""

    def __init__(self, copy: CopyFormat) -> None:
        self._copy = copy
        self._decoders: tuple[Decoder, ...] = tuple(decoder(type, 0) for type in copy.types)
        self._width = len(copy.types)
        self._null = copy.null_text.encode()
        self._delimiter = copy.delimiter_text.encode()
        self._rest = bytearray()
        self._scanned = 0  # bytes of _rest that hold no complete record
        self._line = 0
        self._ended = False
        self._skip_header = copy.header
        self._columns: Columns | None = None
        delimiter, null = copy.delimiter_text, copy.null_text
        if Columns.fit(copy.types, delimiter, null):
            quote = copy.quote if copy.format == "csv" else ""
            self._columns = Columns(copy.types, delimiter, null, quote, copy.force_not_null)

    def feed(self, chunk: bytes) -> list[StorageRow] | RowColumns:
        """See RowDecoder."""
        newline = chunk.rfind(b"\n")
        if newline < 0:
            self._keep(chunk)
            return []
        whole = bytes(self._rest + chunk[:newline])
        self._rest = bytearray()
        rows = self._lines(whole)
        self._keep(chunk[newline + 1 :])
        return rows

    def _lines(self, whole: bytes) -> list[StorageRow] | RowColumns:
        """The rows of some whole lines: all at once if they are plain, else one by one."""
        rows = None
        if self._columns is not None and not (self._ended or self._skip_header):
            rows = self._columns.rows(whole)
        if rows is None:
            return self._records(whole.split(b"\n"))
        self._line += len(rows)
        return rows

    def _header(self, line: bytes) -> None:
        """Skip it, or compare its names."""
        self._skip_header = False
        if not self._copy.header_names:
            return
        found = [
            None if name is None else name.decode("utf-8", "replace") for name in self._fields(line)
        ]
        if len(found) != self._width:
            raise CopyDataError(
                f"wrong number of fields in header line: got {len(found)}, expected {self._width}"
            )
        for number, (name, wanted) in enumerate(zip(found, self._copy.names, strict=True), 1):
            if name != wanted:
                raise CopyDataError(
                    f"column name mismatch in header line field {number}:"
                    f' got "{name or ""}", expected "{wanted}"'
                )

    def _fields(self, line: bytes) -> list[bytes | None]:
        raise NotImplementedError

    def line_by_line(self) -> None:
        """Decode every line on its own from now on: the reference for what is done at once."""
        self._columns = None

    def finish(self) -> list[StorageRow]:
        """See RowDecoder."""
        if not self._rest or self._ended:
            return []
        last = bytes(self._rest)
        self._rest = bytearray()
        return self._records([last], last=True)

    def _keep(self, chunk: bytes) -> None:
        self._rest += chunk
        if len(self._rest) > ROW_BYTES_MAX:
            raise TooLargeError(f"a row of COPY data is longer than {ROW_BYTES_MAX} bytes")

    def _records(self, lines: list[bytes], last: bool = False) -> list[StorageRow]:
        raise NotImplementedError

    def _row(self, fields: list[bytes | None]) -> StorageRow:
        if len(fields) != self._width:
            problem = "extra data after last expected column"
            if len(fields) < self._width:
                problem = f'missing data for column "{self._copy.names[len(fields)]}"'
            raise CopyDataError(problem, detail=f"COPY, line {self._line}")
        column = 0
        try:
            values: list[StorageValue] = []
            for column, field in enumerate(fields):
                values.append(None if field is None else self._decoders[column](field))
        except GridError as error:
            where = f"COPY, line {self._line}, column {self._copy.names[column]}"
            error.detail = error.detail or where
            raise
        return tuple(values)


_SIMPLE_ESCAPES = {
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
}
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code in _SIMPLE_ESCAPES:
        return _SIMPLE_ESCAPES[code]
    if code[:1] == b"x" and len(code) > 1:
        return bytes((int(code[1:], 16),))
    if code[:1] in b"01234567":
        return bytes((int(code, 8) & 0xFF,))
    return code


class TextRowDecoder(_LineDecoder):
    """COPY's text format: one line per row, backslash escapes, \\N for NULL."""

    def _records(self, lines: list[bytes], last: bool = False) -> list[StorageRow]:
        rows: list[StorageRow] = []
        held = b""
        for line in lines:
            if held:
                line, held = held + line, b""
            if line.endswith(b"\\") and (len(line) - len(line.rstrip(b"\\"))) % 2:
                held = line[:-1] + b"\\012"  # an escaped line end is part of the value
                continue
            if self._ended:
                break
            if line.endswith(b"\r"):
                line = line[:-1]
            if self._skip_header:
                self._header(line)
            elif line == b"\\.":
                self._ended = True
            else:
                self._line += 1
                rows.append(self._row(self._fields(line)))
        if held:
            if last:
                raise CopyDataError("unexpected end of COPY data", detail=f"line {self._line + 1}")
            self._rest = bytearray(held[:-4] + b"\\\n") + self._rest
        return rows

    def _fields(self, line: bytes) -> list[bytes | None]:
        null = self._null
        if b"\\" not in line:
            if not line and self._width == 0:
                return []
            return [None if field == null else field for field in line.split(self._delimiter)]
        return [
            None if field == null else _ESCAPE.sub(_unescaped, field)
            for field in self._split_escaped(line)
        ]

    def _split_escaped(self, line: bytes) -> list[bytes]:
        """Split at delimiters that are not escaped."""
        fields: list[bytes] = []
        held = b""
        for part in line.split(self._delimiter):
            part = held + part
            held = b""
            if (len(part) - len(part.rstrip(b"\\"))) % 2:
                held = part + self._delimiter
            else:
                fields.append(part)
        if held:
            fields.append(held[: -len(self._delimiter)])
        return fields


class CsvRowDecoder(_LineDecoder):
    """COPY's csv format: quoted fields may hold delimiters and line ends."""

    def __init__(self, copy: CopyFormat) -> None:
        super().__init__(copy)
        quote = copy.quote.encode()
        escape = (copy.escape or copy.quote).encode()
        self._quote, self._escape = quote, escape
        q, e, d = re.escape(quote), re.escape(escape), re.escape(self._delimiter)
        # possessive (*+): hostile data cannot make it backtrack
        inside = rb"(?:[^" + q + rb"]|" + q + q + rb")*+"
        if e != q:
            inside = rb"(?:[^" + q + e + rb"]|" + e + rb"[\s\S])*+"
        piece = rb"(?:" + q + inside + q + rb"|[^" + q + d + rb"])*+"
        self._field = re.compile(rb"(" + piece + rb")(" + d + rb"|\Z)")
        self._quoted = re.compile(q + rb"(" + inside + rb")" + q)
        self._quote_or_escape = re.compile(q + rb"|" + e)
        self._escaped_pair = re.compile(e + rb"([" + q + e + rb"])")

    def _records(self, lines: list[bytes], last: bool = False) -> list[StorageRow]:
        rows: list[StorageRow] = []
        held: list[bytes] = []
        for line in lines:
            if self._ended:
                break
            if self._ends_quoted(line, bool(held)):
                held.append(line)
                continue
            if held:
                line = b"\n".join([*held, line])
                held = []
            if line.endswith(b"\r"):
                line = line[:-1]
            if self._skip_header:
                self._header(line)
            elif line == b"\\.":
                self._ended = True
            else:
                self._line += 1
                rows.append(self._row(self._fields(line)))
        if held:
            if last:
                raise CopyDataError(
                    "unterminated CSV quoted field", detail=f"line {self._line + 1}"
                )
            self._rest = bytearray(b"\n".join(held) + b"\n")
        return rows

    def _ends_quoted(self, line: bytes, quoted: bool) -> bool:
        """True: the line's end is inside a quoted field; `quoted`: so is its beginning."""
        if self._escape == self._quote:
            return quoted ^ (line.count(self._quote) % 2 == 1)
        at = 0
        while (match := self._quote_or_escape.search(line, at)) is not None:
            at = match.end()
            if match[0] == self._quote:
                quoted = not quoted
            elif quoted and line[at : at + 1] in (self._quote, self._escape):
                at += 1  # an escaped character
        return quoted

    def _fields(self, line: bytes) -> list[bytes | None]:
        if self._quote not in line:
            null, force = self._null, self._copy.force_not_null
            return [
                None if field == null and column not in force else field
                for column, field in enumerate(line.split(self._delimiter))
            ]
        fields: list[bytes | None] = []
        at = 0
        while True:
            match = self._field.match(line, at)
            if match is None:
                raise CopyDataError("unterminated CSV quoted field", detail=f"line {self._line}")
            fields.append(self._value(match[1], len(fields)))
            at = match.end()
            if not match[2]:
                return fields

    def _value(self, raw: bytes, column: int) -> bytes | None:
        if self._quote not in raw:
            if raw == self._null and column not in self._copy.force_not_null:
                return None
            return raw
        value = self._quoted.sub(lambda match: self._escaped_pair.sub(rb"\1", match[1]), raw)
        if value == self._null and column in self._copy.force_null:
            return None
        return value


class BinaryRowDecoder:
    """COPY's binary format."""

    def __init__(self, copy: CopyFormat) -> None:
        self._copy = copy
        self._decoders: tuple[Decoder, ...] = tuple(decoder(type, 1) for type in copy.types)
        self._width = len(copy.types)
        self._rest = bytearray()
        self._started = False
        self._ended = False
        self._row_number = 0

    def feed(self, chunk: bytes) -> list[StorageRow]:
        """See RowDecoder."""
        self._rest += chunk
        data = bytes(self._rest)
        at = 0
        if not self._started:
            at = self._header_end(data)
            if at < 0:
                return []
            self._started = True
        rows: list[StorageRow] = []
        while not self._ended:
            after = self._one(data, at, rows)
            if after < 0:
                break
            at = after
        self._rest = bytearray(data[at:])
        if len(self._rest) > ROW_BYTES_MAX:
            raise TooLargeError(f"a row of COPY data is longer than {ROW_BYTES_MAX} bytes")
        return rows

    def finish(self) -> list[StorageRow]:
        """See RowDecoder."""
        if not self._ended and (self._rest or not self._started):
            raise CopyDataError("unexpected end of binary COPY data")
        return []

    def _header_end(self, data: bytes) -> int:
        if len(data) >= 11 and not data.startswith(BINARY_SIGNATURE):
            raise CopyDataError("COPY file signature not recognized")
        if len(data) < 19:
            return -1
        flags = int.from_bytes(data[11:15], "big")
        if flags & 0xFFFF0000:
            raise CopyDataError("unrecognized critical flags in COPY file header")
        end = 19 + int.from_bytes(data[15:19], "big")
        if end > ROW_BYTES_MAX:
            raise CopyDataError("invalid COPY file header")
        return end if len(data) >= end else -1

    def _one(self, data: bytes, at: int, rows: list[StorageRow]) -> int:
        """Decode the row at `at`; return where it ends, -1 if it is not whole yet."""
        if len(data) < at + 2:
            return -1
        count = int.from_bytes(data[at : at + 2], "big", signed=True)
        at += 2
        if count == -1:
            self._ended = True
            return at
        if count != self._width:
            raise CopyDataError(f"row field count is {count}, expected {self._width}")
        fields: list[bytes | None] = []
        for _ in range(count):
            if len(data) < at + 4:
                return -1
            length = int.from_bytes(data[at : at + 4], "big", signed=True)
            at += 4
            if length < 0:
                if length != -1:
                    raise CopyDataError("invalid field size")
                fields.append(None)
                continue
            if length > ROW_BYTES_MAX:
                raise TooLargeError(f"a COPY field is longer than {ROW_BYTES_MAX} bytes")
            if len(data) < at + length:
                return -1
            fields.append(data[at : at + length])
            at += length
        self._row_number += 1
        try:
            rows.append(
                tuple(
                    None if field is None else decode(field)
                    for decode, field in zip(self._decoders, fields, strict=True)
                )
            )
        except GridError as error:
            error.detail = error.detail or f"COPY, row {self._row_number}"
            raise
        return at


def _message(payload: bytes) -> bytes:
    return b"d%b%b" % ((len(payload) + 4).to_bytes(4, "big"), payload)


_TEXT_SPECIAL = re.compile(r"[\\\b\f\n\r\t\v]")
_TEXT_ESCAPES = {
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


class CopyRowEncoder:
    """Rows → CopyData messages. The session adds preamble, opened() and trailer."""

    __slots__ = ("_encoders", "copy", "formats", "types")

    def __init__(self, copy: CopyFormat) -> None:
        self.copy = copy
        self.types = copy.types
        self.formats = (int(copy.is_binary),) * len(copy.types)
        self._encoders = tuple(text_encoder(type) for type in copy.types)

    def preamble(self) -> bytes:
        """The header line of text and csv as a CopyData message; maybe nothing."""
        if self.copy.is_binary or not self.copy.header:
            return b""
        names = self.copy.names
        if self.copy.format == "csv":
            return self._csv_message([self._quoted(name, False) for name in names])
        return self._text_message([self._escaped(name) for name in names])

    def opened(self, rows: bytes | bytearray) -> bytes | bytearray:
        """The first rows of all with the binary header in front, inside their first message.

        PostgreSQL sends it so, and psycopg relies on it.
        """
        if not self.copy.is_binary:
            return rows
        end = 1 + int.from_bytes(rows[1:5], "big")
        return _message(_BINARY_HEADER + rows[5:end]) + rows[end:]

    def trailer(self, any_rows: bool) -> bytes:
        """What ends binary data, as a CopyData message; nothing for the others."""
        if not self.copy.is_binary:
            return b""
        return _message(_BINARY_TRAILER if any_rows else _BINARY_HEADER + _BINARY_TRAILER)

    def __call__(self, rows: Iterable[StorageRow], /) -> bytes:
        """One finished CopyData message per row."""
        if self.copy.is_binary:
            return b"".join([self._binary_row(row) for row in rows])
        if self.copy.format == "csv":
            return b"".join([self._csv_row(row) for row in rows])
        return b"".join([self._text_row(row) for row in rows])

    def _binary_row(self, row: StorageRow) -> bytes:
        parts = [len(row).to_bytes(2, "big")]
        for type, value in zip(self.types, row, strict=True):
            if value is None:
                parts.append(b"\xff\xff\xff\xff")
            else:
                data = binary_encoder(type)(value)
                parts.append(len(data).to_bytes(4, "big"))
                parts.append(data)
        return _message(b"".join(parts))

    def _text_row(self, row: StorageRow) -> bytes:
        null = self.copy.null_text
        return self._text_message(
            [
                null if value is None else self._escaped(encode(value))
                for encode, value in zip(self._encoders, row, strict=True)
            ]
        )

    def _text_message(self, cells: list[str]) -> bytes:
        return _message((self.copy.delimiter_text.join(cells) + "\n").encode())

    def _escaped(self, text: str) -> str:
        delimiter = self.copy.delimiter_text
        if _TEXT_SPECIAL.search(text):
            text = _TEXT_SPECIAL.sub(lambda match: _TEXT_ESCAPES[match[0]], text)
        if delimiter != "\t" and delimiter in text:
            text = text.replace(delimiter, "\\" + delimiter)
        return text

    def _csv_row(self, row: StorageRow) -> bytes:
        null, force = self.copy.null_text, self.copy.force_quote
        return self._csv_message(
            [
                null if value is None else self._quoted(encode(value), column in force)
                for column, (encode, value) in enumerate(zip(self._encoders, row, strict=True))
            ]
        )

    def _csv_message(self, cells: list[str]) -> bytes:
        return _message((self.copy.delimiter_text.join(cells) + "\n").encode())

    def _quoted(self, text: str, force: bool) -> str:
        quote, delimiter = self.copy.quote, self.copy.delimiter_text
        special = quote in text or delimiter in text or "\n" in text or "\r" in text
        lone_marker = text == "\\." and len(self.types) == 1
        if not (force or special or text == self.copy.null_text or lone_marker):
            return text
        escape = self.copy.escape or quote
        if escape != quote:
            text = text.replace(escape, escape * 2)
        return quote + text.replace(quote, escape + quote) + quote
