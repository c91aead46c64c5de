"""Types of PL/SQL, and the values that have parts: records, collections, cursors. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from data.plsql import floats, values
from data.plsql.errors import PlError, predefined
from data.plsql.memory import ELEMENT_BYTES, FIELD_BYTES, long_text, present
from data.plsql.values import Moment, Padded, Value
from data.sql import convert
from data.sql.numbers import round_decimal
from protocol.errors import GridError
from protocol.sqltypes import BYTES_KINDS, FLOAT_KINDS, INTEGER_KINDS, TEXT_KINDS, Kind, SqlType

Coerce = Callable[[Value], Value]
INTEGER_MIN, INTEGER_MAX = -(2**31), 2**31 - 1  # of a PLS_INTEGER
STRING_MAX = 32_767  # characters of a VARCHAR2 variable
COLLECTION_MAX = 10_000_000  # elements; what is kept is limited by the block's memory


class PlType:
    """A type. `coerce` makes a value fit, or raises VALUE_ERROR; `initial` is a variable's first
    value."""

    name = ""
    coerce: Coerce

    def initial(self) -> Value:
        """A new variable's value."""
        return None


class Scalar(PlType):
    """A type of SQL, or one of PL/SQL's integers (`low`, `high`)."""

    def __init__(
        self,
        sql: SqlType,
        name: str = "",
        low: int | None = None,
        high: int = 0,
        subset: bool = False,
    ) -> None:
        self.sql = sql
        self.name = name
        self.coerce = _coercion(sql) if low is None else _ranged(low, high, subset)

    def without_null(self) -> Scalar:
        """The same, NOT NULL."""
        made, inner = Scalar(self.sql, self.name), self.coerce

        def checked(value: Value) -> Value:
            fitting = inner(value)
            if fitting is None:
                raise predefined("VALUE_ERROR", ": NULL for a variable that is NOT NULL")
            return fitting

        made.coerce = checked
        return made


class CursorType(PlType):
    """REF CURSOR: a variable holds an open cursor, or NULL."""

    name = "REF CURSOR"

    def __init__(self) -> None:
        self.coerce = lambda value: value


class RecordType(PlType):
    """Fields in their order; `defaults` make the first value of some."""

    def __init__(self, name: str, fields: list[tuple[str, PlType]]) -> None:
        self.name = name
        self.names = [field for field, _ in fields]
        self.types = [type_ for _, type_ in fields]
        self.positions = {field: at for at, (field, _) in enumerate(fields)}
        self.defaults: dict[int, Callable[[Any], Value]] = {}
        self.coerce = self._coerce

    def initial(self) -> Value:
        """A record of NULLs."""
        return Record(self, [type_.initial() for type_ in self.types])

    def has_defaults(self) -> bool:
        """Of a field, or of one of a record inside."""
        inside = (t.has_defaults() for t in self.types if isinstance(t, RecordType))
        return bool(self.defaults) or any(inside)

    def fresh(self, frame: Any) -> Value:
        """A record with its defaults."""
        made = [t.fresh(frame) if isinstance(t, RecordType) else t.initial() for t in self.types]
        for at, get in self.defaults.items():
            made[at] = self.types[at].coerce(get(frame))
        return Record(self, made)

    def made(self, given: list[Value]) -> Record:
        """A record of these values. Raises ROWTYPE_MISMATCH, VALUE_ERROR."""
        if len(given) != len(self.types):
            raise predefined("ROWTYPE_MISMATCH")
        return Record(self, [t.coerce(v) for t, v in zip(self.types, given, strict=True)])

    def _coerce(self, value: Value) -> Value:
        if value is None:
            return self.initial()
        if not isinstance(value, Record):
            raise predefined("VALUE_ERROR", ": not a record")
        return self.made(value.fields)


class Record:
    """A value of a RecordType."""

    __slots__ = ("_held", "_memory", "fields", "type")

    def __init__(self, type_: RecordType, fields: list[Value]) -> None:
        self._held = 0
        self._memory = present()
        self.type = type_
        self.fields = fields
        self._count(FIELD_BYTES * len(fields) + sum(map(long_text, fields)))

    def put(self, position: int, value: Value) -> None:
        """Change a field; `value` fits already. Raises STORAGE_ERROR."""
        more = long_text(value) - long_text(self.fields[position])
        if more:
            self._count(more)
        self.fields[position] = value

    def _count(self, count: int) -> None:
        self._memory.take(count)
        self._held += count

    def __del__(self) -> None:
        self._memory.give(self._held)


class CollectionType(PlType):
    """`kind`: index by (an associative array), table (nested), varray."""

    def __init__(
        self, name: str, kind: str, element: PlType, index: PlType | None, limit: int
    ) -> None:
        self.name = name
        self.kind = kind
        self.element = element
        self.limit = limit
        self.index = index
        self.coerce = self._coerce

    def initial(self) -> Value:
        """An associative array is empty, the others are NULL until they are made."""
        return Collection(self) if self.kind == "index by" else None

    def made(self, given: list[Value]) -> Collection:
        """A nested table or varray with these elements, from 1. Raises SUBSCRIPT_OUTSIDE_LIMIT."""
        if self.limit and len(given) > self.limit:
            raise predefined("SUBSCRIPT_OUTSIDE_LIMIT")
        made = Collection(self)
        made.fill(given)
        return made

    def _coerce(self, value: Value) -> Value:
        if value is None:
            return self.initial()
        if not isinstance(value, Collection) or value.type.kind != self.kind:
            raise predefined("VALUE_ERROR", ": not a collection of that type")
        return value.copied(self)


class Collection:
    """A value of a CollectionType: elements by index, the indexes in order."""

    __slots__ = ("_held", "_memory", "items", "keys", "size", "type")

    def __init__(self, type_: CollectionType) -> None:
        self._held = 0
        self._memory = present()
        self.type = type_
        self.items: dict[Any, Value] = {}
        self.keys: list[Any] = []  # ascending
        self.size = 0  # of tables and varrays: the last place, also if its element was deleted

    def __del__(self) -> None:
        self._memory.give(self._held)

    def _count(self, count: int) -> None:
        """So many bytes more, or fewer. Raises STORAGE_ERROR."""
        self._memory.take(count)
        self._held += count

    def fill(self, given: list[Value]) -> None:
        """These elements, from 1, converted; it is empty before."""
        self._count(ELEMENT_BYTES * len(given) + sum(map(long_text, given)))
        coerce = self.type.element.coerce
        self.items = {at: coerce(value) for at, value in enumerate(given, 1)}
        self.keys = list(self.items)
        self.size = len(self.keys)

    def copied(self, type_: CollectionType) -> Collection:
        """A copy, of an equal type. Raises STORAGE_ERROR."""
        made = Collection(type_)
        made._count(self._held)
        coerce = type_.element.coerce if not isinstance(type_.element, Scalar) else None
        made.items = {k: coerce(v) for k, v in self.items.items()} if coerce else dict(self.items)
        made.keys = list(self.keys)
        made.size = self.size
        return made

    def key(self, index: Value) -> Any:
        """A subscript. Raises VALUE_ERROR."""
        if index is None:
            raise predefined("VALUE_ERROR", ": NULL index table key value")
        if type(index) is int:
            return index
        if self.type.index is not None:
            return self.type.index.coerce(index)
        at = values.number(index)
        return at if type(at) is int else int(round_decimal(Decimal(at), 0))

    def get(self, index: Value) -> Value:
        """An element. Raises NO_DATA_FOUND, SUBSCRIPT_BEYOND_COUNT, SUBSCRIPT_OUTSIDE_LIMIT."""
        try:
            return self.items[index]
        except (KeyError, TypeError):
            key = self.key(index)
            if key in self.items:
                return self.items[key]
        self._check_place(key)
        raise predefined("NO_DATA_FOUND")

    def _check_place(self, key: Any) -> None:
        if self.type.kind != "index by" and not 0 < key <= self.size:
            outside = key < 1 or (self.type.limit and key > self.type.limit)
            raise predefined("SUBSCRIPT_OUTSIDE_LIMIT" if outside else "SUBSCRIPT_BEYOND_COUNT")

    def set(self, index: Value, value: Value) -> None:
        """Change or, in an associative array, add an element; `value` fits already."""
        key = self.key(index)
        if key in self.items:
            more = long_text(value) - long_text(self.items[key])
            if more:
                self._count(more)
        else:
            self._check_place(key)
            self._count(ELEMENT_BYTES + long_text(value))
            if not self.keys or key > self.keys[-1]:
                self.keys.append(key)
            else:
                insort(self.keys, key)
        self.items[key] = value

    def extend(self, count: int, value: Value) -> None:
        """Add elements at the end."""
        last = self.size
        if self.type.limit and last + count > self.type.limit:
            raise predefined("SUBSCRIPT_OUTSIDE_LIMIT")
        if last + count > COLLECTION_MAX:
            raise predefined("STORAGE_ERROR")
        self._count(max(count, 0) * (ELEMENT_BYTES + long_text(value)))
        copy = self.type.element.coerce if isinstance(value, Record | Collection) else None
        for key in range(last + 1, last + count + 1):
            self.items[key] = copy(value) if copy is not None else value
            self.keys.append(key)
        self.size = max(last, last + count)

    def trim(self, count: int) -> None:
        """Remove places from the end, also those of deleted elements."""
        if count > self.size:
            raise predefined("SUBSCRIPT_BEYOND_COUNT")
        self.size -= max(count, 0)
        while self.keys and self.keys[-1] > self.size:
            self._drop(self.keys.pop())

    def _drop(self, key: Any) -> None:
        self._count(-ELEMENT_BYTES - long_text(self.items.pop(key)))

    def delete(self, low: Value = None, high: Value = None) -> None:
        """Remove one element, or all from `low` to `high`; without all, and the places."""
        if low is None:
            self.size = 0
            self.items.clear()
            self.keys.clear()
            self._count(-self._held)
            return
        low = self.key(low)
        high = low if high is None else self.key(high)
        begin, end = bisect_left(self.keys, low), bisect_right(self.keys, high)
        for key in self.keys[begin:end]:
            self._drop(key)
        del self.keys[begin:end]

    def next(self, index: Value) -> Value:
        """The first index above."""
        at = bisect_right(self.keys, self.key(index))
        return self.keys[at] if at < len(self.keys) else None

    def prior(self, index: Value) -> Value:
        """The last index below."""
        at = bisect_left(self.keys, self.key(index))
        return self.keys[at - 1] if at else None

    def in_order(self) -> Iterator[tuple[Any, Value]]:
        """Indexes with their elements."""
        for key in self.keys:
            yield key, self.items[key]


# -- scalars ---------------------------------------------------------------------------------------
def _ranged(low: int, high: int, subset: bool) -> Coerce:
    """PLS_INTEGER and its subtypes; `subset`: NULL is not allowed."""

    def coerce(value: Value) -> Value:
        if type(value) is not int:
            if value is None and not subset:
                return None
            value = values.number(value)
            if value is None:
                raise predefined("VALUE_ERROR", ": NULL for a variable that is NOT NULL")
            value = int(round_decimal(_exact(value), 0))
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise _overflow()
        if not low <= value <= high:
            raise predefined("VALUE_ERROR", ": number out of the range of its type")
        return value

    return coerce


def _coercion(sql: SqlType) -> Coerce:
    kind = sql.kind
    if kind is Kind.NUMBER:
        return _number(sql)
    if kind in FLOAT_KINDS:
        return _float(floats.narrowed if kind is Kind.BINARY_FLOAT else floats.double)
    if kind is Kind.BOOLEAN:
        return values.truth
    if kind in (Kind.CHAR, Kind.NCHAR):
        return _char(sql.length or 1)
    if kind in TEXT_KINDS:
        return _text(sql.length or STRING_MAX)
    return _converted(sql)


def _overflow() -> PlError:
    return PlError("", -1426, "numeric overflow")


def _float(made: Callable[[Any], float]) -> Coerce:
    def coerce(value: Value) -> Value:
        if isinstance(value, str):
            try:
                return made(float(value))
            except ValueError:
                pass  # `number` says what is wrong
        return None if value is None else made(values.number(value))

    return coerce


def _exact(value: Any) -> Decimal:
    """Of a number. Raises PlError for an infinity and NaN."""
    if not isinstance(value, float):
        return Decimal(value)
    if value - value != 0:
        raise _overflow()
    return Decimal(values.text(value) or 0)


def _number(sql: SqlType) -> Coerce:
    if not sql.precision:

        def plain(value: Value) -> Value:
            if type(value) is int:
                return value
            if isinstance(value, float):
                return values.whole(_exact(value))
            return values.number(value)

        return plain
    scale, limit = sql.scale, Decimal(10) ** (sql.precision - sql.scale)

    def limited(value: Value) -> Value:
        if value is None:
            return None
        value = values.number(value)
        if type(value) is int and scale >= 0:
            rounded: Any = value
        else:
            rounded = values.whole(round_decimal(_exact(value), scale, ROUND_HALF_UP))
        if not -limit < rounded < limit:
            raise predefined("VALUE_ERROR", ": number precision too large")
        return rounded

    return limited


def _text(limit: int) -> Coerce:
    def coerce(value: Value) -> Value:
        if type(value) is not str:
            value = values.text(value)
            if value is None:
                return None
            if type(value) is Padded:
                value = str(value)
        if len(value) > limit:
            raise predefined("VALUE_ERROR", ": character string buffer too small")
        return value

    return coerce


def _char(length: int) -> Coerce:
    def coerce(value: Value) -> Value:
        value = values.text(value)
        if value is None:
            return None
        if len(value) > length:
            value = value.rstrip(" ")
            if len(value) > length:
                raise predefined("VALUE_ERROR", ": character string buffer too small")
        return Padded(value.ljust(length))

    return coerce


def _converted(sql: SqlType) -> Coerce:
    """Dates, times, intervals, binaries, the fixed integers: as SQL converts them."""
    read = values.reader(sql)
    is_number = sql.kind in INTEGER_KINDS
    is_bytes = sql.kind in BYTES_KINDS

    def coerce(value: Value) -> Value:
        if value is None or (type(value) is Moment and value.type == sql):
            return value
        if is_number:
            value = values.number(value)
        elif is_bytes and isinstance(value, str):
            try:
                value = bytes.fromhex(value)
            except ValueError:
                raise predefined("VALUE_ERROR", ": hex to raw conversion error") from None
        source, stored = values.to_storage(value)
        try:
            change = convert.converter(source, sql)
            return read(stored if change is None or stored is None else change(stored))
        except GridError as error:
            raise predefined("VALUE_ERROR", f": {error.message}") from error

    return coerce
