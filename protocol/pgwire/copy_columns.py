"""COPY text and csv, many lines at once and column by column. Pure: bytes in, columns or None out.

A chunk of whole lines is cut by a few calls that work at C's speed, and each column is decoded by
one function made for its type. That is right only for data written in the plain way: no escapes
but NULLs, no quotes, numbers and moments as PostgreSQL prints them. For anything else (and for
anything wrong) `rows` answers None, and the caller decodes the chunk line by line with the decoders
of copy_rows.py, which are the reference: what they accept, and which error names which line and
column, is decided there alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from protocol.errors import GridError
from protocol.pgwire import datetimes as dt
from protocol.pgwire.row_columns import RowColumns
from protocol.pgwire.values import decode_text, decoder
from protocol.sqltypes import PADDED_KINDS, Kind, SqlType, StorageValue

# the texts of one column, none of them NULL → values; raises GridError
ColumnDecoder = Callable[[list[str]], list[StorageValue]]

ROWS_MIN = 4  # fewer lines are decoded one by one: columns would not pay
LINES_AT_ONCE = 4096  # bounds what lies about between text and rows
DAYS_KEPT = 20_000  # about 3 MB
MOMENTS_KEPT = 20_000  # about 3 MB

_INTEGERS = re.compile(r"(?:-?[0-9]{1,19}\n)*+")
_FLOATS = re.compile(r"(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?\n)*+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FRACTIONS = re.compile(r"(?:[0-9:. -]{19}(?:\.[0-9]{1,6})?\n)*+")
_INTEGER_LIMITS = {  # least and greatest
    Kind.TINYINT: (0, 255),
    Kind.SMALLINT: (-(2**15), 2**15 - 1),
    Kind.INTEGER: (-(2**31), 2**31 - 1),
    Kind.BIGINT: (-(2**63), 2**63 - 1),
}
_BOOLEANS = {"t": 1, "true": 1, "f": 0, "false": 0}
# " HH:MM" and ":SS" → microseconds; a date alone has neither
_MINUTES = {f"{s}{m // 60:02d}:{m % 60:02d}": m * 60_000_000 for m in range(1440) for s in " T"}
_MINUTES[""] = 0
_SECONDS = {f":{second:02d}": second * dt.US_PER_SECOND for second in range(60)}
_SECONDS[""] = 0
_days: dict[str, int] = {}  # "YYYY-MM-DD" → microseconds since 1970, as they come
_moments_met: dict[str, int] = {}  # the same of moments in whole seconds


class Columns:
    """The decoder of the lines of one COPY."""

    def __init__(
        self,
        types: tuple[SqlType, ...],
        delimiter: str,
        null: str,
        quote: str,
        not_null: frozenset[int] = frozenset(),
    ) -> None:
        """quote: "" for text format. not_null: columns in which `null` stands for itself."""
        self._decoders = tuple(column_decoder(type) for type in types)
        self._delimiter = delimiter
        self._null = null
        self._quote = quote
        self._not_null = not_null
        self._text = not quote
        self._ends = f"{delimiter}\n{delimiter}"  # a field that holds a line end ends each line

    @staticmethod
    def fit(types: tuple[SqlType, ...], delimiter: str, null: str) -> bool:
        """May the lines of this format be cut so?"""
        if not types or delimiter in "\n\r\\" or any(c in null for c in "\n\r\0"):
            return False
        return null == "\\N" or "\\" not in null

    def rows(self, data: bytes) -> RowColumns | None:
        """The rows of whole lines, the last one without its line end; None: not all are plain."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return None
        if "\0" in text or (self._quote and self._quote in text):
            return None
        returns = text.count("\r")
        if returns:
            if text.count("\r\n") + text.endswith("\r") != returns:
                return None
            text = text.replace("\r\n", "\n").removesuffix("\r")
        lines = text.count("\n") + 1
        if lines < ROWS_MIN:
            return None
        if lines <= LINES_AT_ONCE:
            return self._decoded(text, lines)
        rows: RowColumns | None = None
        every = text.split("\n")
        for at in range(0, lines, LINES_AT_ONCE):
            some = every[at : at + LINES_AT_ONCE]
            more = self._decoded("\n".join(some), len(some))
            if more is None:
                return None
            if rows is None:
                rows = more
            else:
                rows.add(more)
        return rows

    def _decoded(self, text: str, lines: int) -> RowColumns | None:
        width = len(self._decoders)
        backslashes = text.count("\\")
        if backslashes and not self._text and "\\." in text:
            return None  # perhaps the end of the data
        fields = text.replace("\n", self._ends).split(self._delimiter)
        if len(fields) != lines * (width + 1) - 1:
            return None
        if fields[width :: width + 1].count("\n") != lines - 1:
            return None
        null = self._null
        columns: list[list[StorageValue]] = []
        nulls = 0
        try:
            for at, decode in enumerate(self._decoders):
                texts = fields[at :: width + 1]
                absent = 0 if at in self._not_null else texts.count(null)
                nulls += absent
                if not absent:
                    columns.append(decode(texts))
                elif absent == lines:
                    columns.append([None] * lines)
                elif decode is _same:
                    columns.append([None if t == null else t for t in texts])
                else:
                    found = iter(decode([t for t in texts if t != null]))
                    columns.append([None if t == null else next(found) for t in texts])
        except GridError:
            return None
        if self._text and backslashes != nulls * null.count("\\"):
            return None  # escapes
        return RowColumns(columns, lines)


@lru_cache(maxsize=512)
def column_decoder(type: SqlType) -> ColumnDecoder:
    """The decoder of a column of this type: what is plain at once, else value by value."""
    if type.kind in PADDED_KINDS:
        return lambda texts: [text.rstrip(" ") for text in texts]
    one = decoder(type, 0)
    if one is decode_text:
        return _same
    plain = _plain_decoder(type)

    def decode(texts: list[str]) -> list[StorageValue]:
        if plain is not None:
            try:
                return plain(texts)
            except (ValueError, KeyError):
                pass
        return [one(text.encode()) for text in texts]

    return decode


def _plain_decoder(type: SqlType) -> ColumnDecoder | None:
    kind = type.kind
    if kind in _INTEGER_LIMITS:
        return _integers(*_INTEGER_LIMITS[kind])
    if type.is_scaled:
        limit = 10**type.precision - 1
        return _scaled(limit, type.scale) if type.scale else _integers(-limit, limit)
    if kind is Kind.BINARY_DOUBLE:
        return _doubles
    if kind is Kind.BOOLEAN:
        return lambda texts: [_BOOLEANS[text] for text in texts]
    if kind is Kind.TT_DATE:
        return _dates
    if kind is Kind.DATE or (kind is Kind.TIMESTAMP and type.precision < 6):
        return _whole_seconds  # the type rounds fractions
    if kind in (Kind.TIMESTAMP, Kind.TT_TIMESTAMP):
        return _moments
    return None


def _same(texts: list[str]) -> list[StorageValue]:
    return texts  # type: ignore[return-value]


def _integers(least: int, greatest: int) -> ColumnDecoder:
    def decode(texts: list[str]) -> list[StorageValue]:
        if _INTEGERS.fullmatch("\n".join(texts) + "\n") is None:
            raise ValueError
        values = list(map(int, texts))
        if min(values) < least or max(values) > greatest:
            raise ValueError
        return values  # type: ignore[return-value]

    return decode


def _scaled(limit: int, scale: int) -> ColumnDecoder:
    pattern = re.compile(rf"(?:-?[0-9]{{1,18}}(?:\.[0-9]{{1,{scale}}})?\n)*+")

    def decode(texts: list[str]) -> list[StorageValue]:
        if pattern.fullmatch("\n".join(texts) + "\n") is None:
            raise ValueError
        parts = [text.partition(".") for text in texts]
        values = [int(whole + fraction.ljust(scale, "0")) for whole, _, fraction in parts]
        if min(values) < -limit or max(values) > limit:
            raise ValueError
        return values  # type: ignore[return-value]

    return decode


def _doubles(texts: list[str]) -> list[StorageValue]:
    if _FLOATS.fullmatch("\n".join(texts) + "\n") is None:
        raise ValueError
    return list(map(float, texts))


def _know_days(dates: set[str]) -> None:
    if len(_days) > DAYS_KEPT:
        _days.clear()
    for date in dates.difference(_days):
        if _DATE.fullmatch(date) is None:
            raise ValueError
        _days[date] = dt.parse_timestamp(date)


def _dates(texts: list[str]) -> list[StorageValue]:
    _know_days(set(texts))
    return [_days[text] for text in texts]


def _whole_seconds(texts: list[str]) -> list[StorageValue]:
    """Moments: each that comes again, as days do, is decoded once."""
    known = _moments_met
    distinct = set(texts)
    new = list(distinct.difference(known))
    if new:
        if len(known) > MOMENTS_KEPT:
            known.clear()
            new = list(distinct)
        known.update(zip(new, _each_whole_second(new), strict=True))
    return list(map(known.__getitem__, texts))


def _each_whole_second(texts: list[str]) -> list[int]:
    days, minutes, seconds = _days, _MINUTES, _SECONDS
    _know_days({text[:10] for text in texts})
    return [days[text[:10]] + minutes[text[10:16]] + seconds[text[16:]] for text in texts]


def _moments(texts: list[str]) -> list[StorageValue]:
    try:
        return _whole_seconds(texts)
    except KeyError:
        if _FRACTIONS.fullmatch("\n".join(texts) + "\n") is None:
            raise
    days, minutes, seconds = _days, _MINUTES, _SECONDS
    return [
        days[text[:10]] + minutes[text[10:16]] + seconds[text[16:19]] + int(text[20:].ljust(6, "0"))
        for text in texts
    ]
