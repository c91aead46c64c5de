"""What can be assigned: variables, fields, elements, bind variables. And INTO."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data.plsql import values
from data.plsql.calls import row_type
from data.plsql.errors import predefined
from data.plsql.expressions import Expressions
from data.plsql.scope import CONTEXT, Frame, Set, Typed, TypeSymbol, Var, writing
from data.plsql.tree import Apply, Bind, Expr, Into, Member
from data.plsql.types import Collection, CollectionType, PlType, Record, RecordType
from data.plsql.values import Value
from protocol.errors import SqlSyntaxError
from protocol.pgwire.values import ResultColumn
from protocol.sqltypes import StorageRow

PutRow = Callable[[Frame, tuple[ResultColumn, ...], StorageRow], None]


class Targets(Expressions):
    """Compiles targets; a part of the compiler."""

    def setter(self, target: Expr, known: PlType | None = None) -> Set:
        """Assigns a value, converted to the target's type; `known`: of the value."""
        if isinstance(target, Bind):
            name = self.bind_name(target.name)
            self.note_out(target, known)

            def bind(f: Frame, value: Value) -> None:
                f[CONTEXT].binds[name] = value

            return bind
        symbol = self.symbol_or_none(target)
        if isinstance(symbol, Var):
            return self._variable(symbol, target)
        if isinstance(target, Member):
            return self._field_setter(target)
        if isinstance(target, Apply) and not isinstance(
            self.symbol_or_none(target.base), TypeSymbol
        ):
            return self._element_setter(target)
        names = self.dotted(target)
        if names and symbol is None:
            raise self.undeclared(".".join(names), target.at)
        raise SqlSyntaxError("this cannot be assigned to", position=target.at + 1)

    def _variable(self, symbol: Var, target: Expr) -> Set:
        if not symbol.writable:
            raise SqlSyntaxError(
                "a constant, an IN parameter or a loop's variable cannot be assigned to",
                position=target.at + 1,
            )
        put = writing(symbol.activation, symbol.slot, self.activation)
        if symbol.type is None:
            return put
        coerce = symbol.type.coerce
        if symbol.activation is self.activation:
            slot = symbol.slot

            def local(f: Frame, value: Value) -> None:
                f[slot] = coerce(value)

            return local
        return lambda f, value: put(f, coerce(value))

    def _field_setter(self, target: Member) -> Set:
        base = self._for_write(target.base)
        get, name = base.get, target.name
        if isinstance(base.type, RecordType):
            position = base.type.positions.get(name)
            if position is None:
                raise self.undeclared(name, target.at)
            coerce = base.type.types[position].coerce

            def field(f: Frame, value: Value) -> None:
                get(f).put(position, coerce(value))

            return field
        if base.type is not None:
            raise self.undeclared(name, target.at)

        def by_name(f: Frame, value: Value) -> None:
            record = get(f)
            if not isinstance(record, Record) or name not in record.type.positions:
                raise predefined("VALUE_ERROR", f": no field {name}")
            at = record.type.positions[name]
            record.put(at, record.type.types[at].coerce(value))

        return by_name

    def _element_setter(self, target: Apply) -> Set:
        base = self._for_write(target.base)
        if base.type is not None and not isinstance(base.type, CollectionType):
            raise SqlSyntaxError("only collections have elements", position=target.at + 1)
        if len(target.arguments) != 1:
            raise SqlSyntaxError("an element has one index", position=target.at + 1)
        get, index = base.get, self.get(target.arguments[0].value)

        def element(f: Frame, value: Value) -> None:
            collection = get(f)
            if collection is None:
                raise predefined("COLLECTION_IS_NULL")
            collection.set(index(f), collection.type.element.coerce(value))

        return element

    def _for_write(self, base: Expr) -> Typed:
        """What a part of is assigned: an element of an associative array comes to be."""
        typed = self.expression(base)
        if isinstance(base, Member) and isinstance(typed.type, RecordType):
            if self.symbol_or_none(base) is None:
                outer = self._for_write(base.base)
                if isinstance(outer.type, RecordType):
                    return self.field(outer, base.name, base.at)
            return typed
        parts = RecordType | CollectionType
        if not isinstance(base, Apply) or not isinstance(typed.type, parts):
            return typed
        symbol = self.symbol_or_none(base.base)
        if symbol is not None and not isinstance(symbol, Var):
            return typed
        collection = self._for_write(base.base)
        if not (isinstance(collection.type, CollectionType) and len(base.arguments) == 1):
            return typed
        if collection.type.kind != "index by":
            return typed
        get, index, part = collection.get, self.get(base.arguments[0].value), typed.type

        def made(f: Frame) -> Value:
            found, at = get(f), index(f)
            if found.key(at) not in found.items:
                found.set(at, part.fresh(f) if isinstance(part, RecordType) else part.initial())
            return found.get(at)

        return Typed(made, part)

    # -- INTO --------------------------------------------------------------------------------------
    def row_setter(self, into: Into) -> PutRow:
        """Assigns one row to the targets: a record, or one target for each column."""
        setters = [self.setter(target) for target in into.targets]
        known = [self._type_of(target) for target in into.targets]
        first = known[0]
        if len(setters) == 1 and isinstance(first, RecordType):
            put, type_ = setters[0], first

            def record(f: Frame, columns: tuple[ResultColumn, ...], row: StorageRow) -> None:
                put(f, type_.made(_read(columns, row)))

            return record

        def each(f: Frame, columns: tuple[ResultColumn, ...], row: StorageRow) -> None:
            if len(row) != len(setters):
                raise predefined("ROWTYPE_MISMATCH")
            for one, value in zip(setters, _read(columns, row), strict=True):
                one(f, value)

        return each

    def bulk_setter(self, into: Into) -> Callable[..., None]:
        """Assigns all rows to collections: put(f, columns, rows)."""
        found = [self._type_of(target) for target in into.targets]
        setters = [self.setter(target) for target in into.targets]
        for known, target in zip(found, into.targets, strict=True):
            if not isinstance(known, CollectionType):
                raise SqlSyntaxError("BULK COLLECT INTO needs collections", position=target.at + 1)

        def put(f: Frame, columns: tuple[ResultColumn, ...], rows: Sequence[StorageRow]) -> None:
            read = [_read(columns, row) for row in rows]
            for number, (known, one) in enumerate(zip(found, setters, strict=True)):
                assert isinstance(known, CollectionType)
                element = known.element
                made: list[Value]
                if isinstance(element, RecordType) and len(found) == 1:
                    made = [element.made(row) for row in read]
                elif columns and len(columns) != len(found):  # none: FORALL over nothing
                    raise predefined("ROWTYPE_MISMATCH")
                else:
                    made = [row[number] for row in read]
                one(f, filled(known, made))

        return put

    def _type_of(self, target: Expr) -> PlType | None:
        if isinstance(target, Bind):
            return None
        return self.expression(target).type

    def record_of(self, columns: tuple[ResultColumn, ...]) -> RecordType:
        """The record of a query's columns."""
        return row_type(columns)


def filled(type_: CollectionType, elements: list[Value]) -> Collection:
    """A collection of any kind with these elements, from 1."""
    made = Collection(type_)
    made.fill(elements)
    return made


def _read(columns: tuple[ResultColumn, ...], row: StorageRow) -> list[Value]:
    return [values.reader(c.type)(v) for c, v in zip(columns, row, strict=True)]
