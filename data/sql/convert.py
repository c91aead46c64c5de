"""Storage values of one type → storage values of another: parameters, literals, casts. Pure.

`converter` gives None where nothing has to be done, so that the hot path can skip it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import lru_cache

from data.sql import datetimes, numbers
from data.sql.datetimes import DAY_US, SECOND_US
from data.sql.single import NAN, double_value, single
from data.sql.type_names import type_text
from protocol.errors import (
    InvalidTextError,
    OutOfRangeError,
    StringTooLongError,
    TypeMismatchError,
)
from protocol.pgwire.arrays import array_text, split_array
from protocol.pgwire.uuids import canonical_uuid
from protocol.sqltypes import (
    BYTES_KINDS,
    FLOAT_KINDS,
    INTEGER_KINDS,
    MICROSECOND_KINDS,
    NUMERIC_KINDS,
    PADDED_KINDS,
    TEXT_KINDS,
    Kind,
    SqlType,
    StorageValue,
    element_type,
)

Convert = Callable[[StorageValue], StorageValue]
_INTEGER_DIGITS = {Kind.TINYINT: 3, Kind.SMALLINT: 5, Kind.INTEGER: 10, Kind.BIGINT: 19}
_TRUE = frozenset({"t", "true", "y", "yes", "on", "1"})
_FALSE = frozenset({"f", "false", "n", "no", "off", "0"})


def int_scale(sql_type: SqlType) -> int | None:
    """The scale when the storage value is an int holding a number, else None."""
    if sql_type.kind in INTEGER_KINDS:
        return 0
    return sql_type.scale if sql_type.is_scaled else None


def int_digits(sql_type: SqlType) -> int:
    """How many digits the int of a scaled or integer type can have."""
    return _INTEGER_DIGITS.get(sql_type.kind) or sql_type.precision


def adapt(
    values: tuple[StorageValue, ...], from_types: tuple[SqlType, ...], to: tuple[SqlType, ...]
) -> tuple[StorageValue, ...]:
    """Parameter values of `from_types` as the storage values of `to` that a plan wants."""
    out: list[StorageValue] = []
    for value, source, target in zip(values, from_types, to, strict=True):
        convert = converter(source, target)
        out.append(value if convert is None or value is None else convert(value))
    return tuple(out)


@lru_cache(maxsize=2048)
def converter(source: SqlType, target: SqlType) -> Convert | None:
    """How a storage value of `source` becomes one of `target`; never called with None.

    It rounds numbers, checks ranges and lengths; the empty string becomes None. Raises
    TypeMismatchError if there is no way from one to the other; what it returns may raise
    OutOfRangeError, StringTooLongError, InvalidTextError, DatetimeError.
    """
    kind = target.kind
    if kind is Kind.UNKNOWN:
        return None
    if kind is Kind.JSON:
        return _to_json(source)
    if kind is Kind.UUID:
        return _to_uuid(source)
    if kind in TEXT_KINDS:
        return _to_text(source, target)
    if source.kind in TEXT_KINDS:
        return _from_text(target)
    if kind is Kind.ARRAY and source.kind is Kind.ARRAY:
        return convert_array(source, target)
    if kind in NUMERIC_KINDS:
        return _to_number(source, target)
    if kind in MICROSECOND_KINDS and source.kind in MICROSECOND_KINDS:
        return _moment(target) if source.kind != kind or source != target else None
    if kind in BYTES_KINDS and source.kind in BYTES_KINDS:
        return _fit_bytes(target) if target.length else None
    if kind is source.kind:
        return None
    if kind is Kind.BOOLEAN and source.kind in NUMERIC_KINDS:
        return lambda value: int(value not in (0, "0", 0.0))
    if kind is Kind.TT_TIME and source.kind in MICROSECOND_KINDS:
        return lambda value: value % DAY_US  # type: ignore[operator]
    raise TypeMismatchError(
        f"a value of type {type_text(source)} cannot become {type_text(target)}"
    )


class Conversion:
    """A converter that is part of a plan; plans go from process to process, functions do not."""

    __slots__ = ("_convert", "_source", "_target")

    def __init__(self, source: SqlType, target: SqlType, convert: Convert) -> None:
        self._source = source
        self._target = target
        self._convert = convert

    def __call__(self, value: StorageValue) -> StorageValue:
        return self._convert(value)

    def __reduce__(self) -> tuple[object, tuple[SqlType, SqlType]]:
        return conversion, (self._source, self._target)


@lru_cache(maxsize=2048)
def conversion(source: SqlType, target: SqlType) -> Conversion | None:
    """As `converter`, for a plan."""
    convert = converter(source, target)
    return None if convert is None else Conversion(source, target, convert)


# -- texts ----------------------------------------------------------------------------------------
def text_of(sql_type: SqlType) -> Callable[[StorageValue], str]:
    """Storage value → text as SQL shows it in a VARCHAR (CHARs padded, dates in ISO form)."""
    kind = sql_type.kind
    if kind in PADDED_KINDS and sql_type.length:
        length = sql_type.length
        return lambda value: str(value).ljust(length)
    if kind in TEXT_KINDS:
        return lambda value: value if type(value) is str else str(value)
    scale = int_scale(sql_type)
    if scale is not None and scale > 0:
        return lambda value: numbers.from_scaled(value, scale)  # type: ignore[arg-type]
    if kind is Kind.TT_DATE:
        return lambda value: datetimes.date_text(value)  # type: ignore[arg-type]
    if kind is Kind.DATE:
        return lambda value: datetimes.timestamp_text(value, 0)  # type: ignore[arg-type]
    if kind is Kind.TIMESTAMPTZ:
        return lambda value: datetimes.timestamp_text(value) + "+00"  # type: ignore[arg-type]
    if kind in MICROSECOND_KINDS:
        digits = sql_type.precision or 6
        return lambda value: datetimes.timestamp_text(value, digits)  # type: ignore[arg-type]
    if kind is Kind.TT_TIME:
        return lambda value: datetimes.time_text(value)  # type: ignore[arg-type]
    if kind in BYTES_KINDS:
        return lambda value: value.hex().upper()  # type: ignore[union-attr]
    if kind is Kind.BOOLEAN:
        return lambda value: "true" if value else "false"
    if kind in FLOAT_KINDS:
        return single_text if kind is Kind.BINARY_FLOAT else float_text
    if kind is Kind.INTERVAL_DS:
        return lambda value: interval_text(value)  # type: ignore[arg-type]
    if kind is Kind.INTERVAL_YM:
        return lambda value: months_text(value)  # type: ignore[arg-type]
    if kind is Kind.ARRAY:
        return _array_text(element_type(sql_type))
    return str


def float_text(value: StorageValue) -> str:
    """Shortest text that reads back the same; whole numbers without ".0"."""
    text = repr(float(value))  # type: ignore[arg-type]
    return _FLOAT_WORDS.get(text) or text.removesuffix(".0")


_FLOAT_WORDS = {"nan": NAN, "inf": "Infinity", "-inf": "-Infinity"}


def single_text(value: StorageValue) -> str:
    """The same of a float of 32 bits."""
    number = float(value)  # type: ignore[arg-type]
    for digits in range(6, 10):
        text = f"{number:.{digits}g}"
        if single(text) == number:
            return _FLOAT_WORDS.get(text) or text
    return float_text(value)


def interval_text(us: int) -> str:
    """+000000003 04:05:06.000000, as Oracle shows a day-to-second interval."""
    sign = "-" if us < 0 else "+"
    days, rest = divmod(abs(us), DAY_US)
    return f"{sign}{days:09} {datetimes.time_text(rest, pad=True)}"


def months_text(months: int) -> str:
    """+000000001-02."""
    return f"{'-' if months < 0 else '+'}{abs(months) // 12:09}-{abs(months) % 12:02}"


def _to_text(source: SqlType, target: SqlType) -> Convert | None:
    length, by_bytes = target.length, target.byte_length
    padded = target.kind in PADDED_KINDS
    is_text = source.kind in TEXT_KINDS and not (source.kind in PADDED_KINDS and not padded)
    show = None if is_text else text_of(source)
    name = type_text(target)

    def convert(value: StorageValue) -> StorageValue:
        text = show(value) if show is not None else value
        assert type(text) is str
        if padded:
            text = text.rstrip(" ")
        elif not text:
            return None
        if length and (len(text.encode()) if by_bytes else len(text)) > length:
            raise StringTooLongError(f"value too long for type {name}")
        return text

    return convert


def _from_text(target: SqlType) -> Convert:
    inner = _text_parser(target)

    def convert(value: StorageValue) -> StorageValue:
        return None if value == "" else inner(value)

    return convert


def _text_parser(target: SqlType) -> Convert:
    kind = target.kind
    if kind is Kind.BINARY_FLOAT:
        return lambda v: _narrow(_float(v))
    if kind in FLOAT_KINDS:
        return _float
    if kind in NUMERIC_KINDS:
        return lambda v: numbers.store_decimal(numbers.to_decimal(v), target)
    if kind in MICROSECOND_KINDS:
        cut = _moment(target)
        return lambda v: cut(datetimes.parse_moment(v))  # type: ignore[arg-type]
    if kind is Kind.TT_TIME:
        return lambda v: datetimes.parse_time(v)  # type: ignore[arg-type]
    if kind in BYTES_KINDS:
        return _bytes_of_text(target)
    if kind is Kind.BOOLEAN:
        return _boolean
    if kind is Kind.INTERVAL_DS:
        return lambda v: datetimes.parse_interval(v)  # type: ignore[arg-type]
    if kind is Kind.INTERVAL_YM:
        return lambda v: datetimes.parse_months(v)  # type: ignore[arg-type]
    if kind is Kind.ARRAY:
        return _array_of_text(element_type(target))
    raise TypeMismatchError(f"text cannot become {type_text(target)}")


def _float(value: StorageValue) -> float | str:
    try:
        return double_value(float(value))  # type: ignore[arg-type]
    except ValueError:
        raise InvalidTextError(f'invalid number: "{value!s:.60}"') from None


def _narrow(value: StorageValue) -> float | str:
    """As a BINARY_FLOAT; a finite number beyond it is refused."""
    narrow = single(value)
    if narrow in _INFINITE and value not in _INFINITE:
        raise OutOfRangeError("value out of range for type BINARY_FLOAT")
    return narrow


_INFINITE = (math.inf, -math.inf)


def _boolean(value: StorageValue) -> int:
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return int(word in _TRUE)
    raise InvalidTextError(f'invalid boolean: "{word[:60]}"')


def _bytes_of_text(target: SqlType) -> Convert:
    fit = _fit_bytes(target)

    def convert(value: StorageValue) -> StorageValue:
        text = str(value)
        try:
            return fit(bytes.fromhex(text.removeprefix("\\x").removeprefix("0x")))
        except ValueError:
            raise InvalidTextError("invalid hexadecimal text") from None

    return convert


def _fit_bytes(target: SqlType) -> Convert:
    length, fixed, name = target.length, target.kind is Kind.BINARY, type_text(target)

    def fit(value: StorageValue) -> StorageValue:
        assert type(value) is bytes
        if length and len(value) > length:
            raise StringTooLongError(f"value too long for type {name}")
        return value.ljust(length, b"\0") if fixed else value

    return fit


# -- arrays and JSON ------------------------------------------------------------------------------
def convert_array(source: SqlType, target: SqlType) -> Convert | None:
    """An array with elements of another type."""
    inner = converter(element_type(source), element_type(target))
    if inner is None:
        return None

    def convert(value: StorageValue) -> StorageValue:
        return json.dumps([None if v is None else inner(v) for v in json.loads(str(value))])

    return convert


def _array_text(element: SqlType) -> Callable[[StorageValue], str]:
    show = text_of(element)

    def text(value: StorageValue) -> str:
        return array_text(None if v is None else show(v) for v in json.loads(str(value)))

    return text


def _array_of_text(element: SqlType) -> Convert:
    inner = converter(SqlType(Kind.VARCHAR), element)

    def convert(value: StorageValue) -> StorageValue:
        items = split_array(str(value))
        return json.dumps([i if i is None or inner is None else inner(i) for i in items])

    return convert


def _to_json(source: SqlType) -> Convert | None:
    """Texts must be JSON; numbers and truth values are."""
    if source.kind is Kind.JSON:
        return None
    if source.kind in TEXT_KINDS:
        return check_json
    if source.kind in NUMERIC_KINDS or source.kind is Kind.BOOLEAN:
        return text_of(source)
    raise TypeMismatchError(f"a value of type {type_text(source)} cannot become JSON")


def _to_uuid(source: SqlType) -> Convert | None:
    if source.kind is Kind.UUID:
        return None
    if source.kind in BYTES_KINDS:
        return lambda value: canonical_uuid(value.hex())  # type: ignore[union-attr]
    if source.kind in TEXT_KINDS:
        return lambda value: canonical_uuid(str(value)) if value != "" else None
    raise TypeMismatchError(f"a value of type {type_text(source)} cannot become UUID")


def check_json(value: StorageValue) -> StorageValue:
    """The text if it is JSON. Raises InvalidTextError."""
    if value == "":
        return None
    try:
        json.loads(str(value), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidTextError(f'invalid input syntax for type JSON: "{value!s:.60}"') from None
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)


# -- numbers and moments --------------------------------------------------------------------------
def _to_number(source: SqlType, target: SqlType) -> Convert | None:
    if source.kind is Kind.BOOLEAN:
        source = SqlType(Kind.TINYINT)
    if source.kind not in NUMERIC_KINDS:
        raise TypeMismatchError(
            f"a value of type {type_text(source)} cannot become {type_text(target)}"
        )
    scale, to_scale = int_scale(source), int_scale(target)
    if scale is not None and to_scale is not None:
        same = scale == to_scale and int_digits(source) <= int_digits(target)
        if source.kind is target.kind and same:
            return None
        if same and (source.kind, target.kind) in _WIDENING:
            return None
        return lambda v: numbers.store_int(v, scale, target)  # type: ignore[arg-type]
    if target.kind in FLOAT_KINDS:
        return _number_to_float(source, target, scale)
    if source.kind in FLOAT_KINDS and target.kind in INTEGER_KINDS:
        return lambda v: _float_to_int(v, target)
    if scale is not None and not target.precision:
        return lambda v: numbers.from_scaled(v, scale)  # type: ignore[arg-type]
    if scale is not None:
        return lambda v: numbers.store_int(v, scale, target)  # type: ignore[arg-type]
    if source == target or (source.kind is Kind.NUMBER and target == SqlType(Kind.NUMBER)):
        return None
    return lambda v: numbers.store_decimal(numbers.to_decimal(v), target)


def _number_to_float(source: SqlType, target: SqlType, scale: int | None) -> Convert | None:
    narrow = target.kind is Kind.BINARY_FLOAT
    if source.kind in FLOAT_KINDS:
        return _narrow if narrow and source.kind is not target.kind else None
    unit = 1 if scale is None else numbers.POW10[scale]

    def convert(value: StorageValue) -> StorageValue:
        number = float(value) if scale is None else value / unit  # type: ignore[arg-type,operator]
        return _narrow(number) if narrow else number

    return convert


def _float_to_int(value: StorageValue, target: SqlType) -> StorageValue:
    return numbers.store_decimal(numbers.to_decimal(value), target)


_ORDER = (Kind.TINYINT, Kind.SMALLINT, Kind.INTEGER, Kind.BIGINT)
_WIDENING = frozenset((a, b) for i, a in enumerate(_ORDER) for b in _ORDER[i + 1 :]) | {
    (a, Kind.NUMBER) for a in _ORDER
}


def _moment(target: SqlType) -> Convert:
    """Microseconds as the type can hold them: a TIMESTAMP(p) is rounded, a date is cut."""
    unit = moment_unit(target)
    half = unit // 2 if target.kind is Kind.TIMESTAMP else 0
    if unit == 1:
        return lambda value: datetimes.check(value)  # type: ignore[arg-type]

    def cut(value: StorageValue) -> StorageValue:
        assert type(value) is int
        value += half
        return datetimes.check(value - value % unit)

    return cut


def moment_unit(target: SqlType) -> int:
    """Microseconds of the smallest step of a date or timestamp type."""
    if target.kind is Kind.TT_DATE:
        return DAY_US
    if target.kind is Kind.DATE:
        return SECOND_US
    if target.kind is Kind.TIMESTAMP and target.precision < 6:
        return int(10 ** (6 - target.precision))
    return 1
