"""What names stand for, and calls: of subprograms, supplied packages, collections' methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data.plsql import values
from data.plsql.errors import of_grid_error, predefined
from data.plsql.scope import (
    CONTEXT,
    Activation,
    Builtin,
    Frame,
    Get,
    Hooks,
    LabelSymbol,
    PackageSymbol,
    Routine,
    Routines,
    Scope,
    Set,
    SqlTemplate,
    Symbol,
    Typed,
    frame_of,
)
from data.plsql.supplied import PACKAGES, REFUSED
from data.plsql.tree import Argument, Bind, Expr, Literal, Member, Name
from data.plsql.types import (
    Collection,
    CollectionType,
    CursorType,
    PlType,
    Record,
    RecordType,
    Scalar,
)
from data.plsql.values import Value
from protocol.errors import GridError, NotSupportedError, SqlSyntaxError, UnknownObjectError
from protocol.pgwire.values import ResultColumn
from protocol.sqltypes import REF_CURSOR, VARCHAR, SqlType


class Calls:
    """A part of the compiler: see compiler.py."""

    text: str
    scope: Scope
    activation: Activation
    hooks: Hooks
    bind_types: dict[str, SqlType]  # of values that come from the client, as far as known
    bind_outs: dict[str, SqlType]  # of bind variables that are assigned
    current: dict[str, Get]  # marks of WHERE CURRENT OF
    owner: str  # of a stored unit: its SQL has the rights and the schema of its owner

    def expression(self, expr: Expr) -> Typed:
        """See expressions.py."""
        raise NotImplementedError

    def get(self, expr: Expr) -> Get:
        """See expressions.py."""
        raise NotImplementedError

    def setter(self, target: Expr, known: PlType | None = None) -> Set:
        """See targets.py."""
        raise NotImplementedError

    def sql_function(self, name: str, gets: list[Get], at: int) -> Typed:
        """See expressions.py."""
        raise NotImplementedError

    def bind_name(self, name: str) -> str:
        """See compiler.py."""
        raise NotImplementedError

    def note_bind(self, name: str, type_: PlType | None) -> None:
        """The type of something a bind variable is the value of."""
        if isinstance(type_, Scalar):
            self.bind_types.setdefault(name, type_.sql)

    def note_out(self, target: Expr, type_: PlType | None) -> None:
        """A bind variable is assigned something of this type."""
        if isinstance(target, Bind):
            known = type_.sql if isinstance(type_, Scalar) else VARCHAR
            if isinstance(type_, CursorType):
                known = REF_CURSOR
            if self.bind_outs.get(target.name, VARCHAR) == VARCHAR:
                self.bind_outs[target.name] = known

    # -- names -------------------------------------------------------------------------------------
    def undeclared(self, name: str, at: int) -> GridError:
        """The error for a name that stands for nothing."""
        package = name.split(".")[0]
        if package in REFUSED:
            return NotSupportedError(
                f"{package} is not supported", hint=REFUSED[package], position=at + 1
            )
        return UnknownObjectError(f"identifier '{name}' must be declared", position=at + 1)

    def dotted(self, expr: Expr) -> tuple[str, ...]:
        """a.b.c as names; empty if it is something else."""
        if isinstance(expr, Name):
            return (expr.name,)
        if isinstance(expr, Member):
            base = self.dotted(expr.base)
            return (*base, expr.name) if base else ()
        return ()

    def symbol_or_none(self, expr: Expr) -> Symbol | None:
        """What a (qualified) name stands for; None for values and what is unknown."""
        if isinstance(expr, Name):
            found = self.scope.find(expr.name)
            if found is not None:
                return found
            return PACKAGES.get(expr.name) or self.hooks.unit((expr.name,))
        if isinstance(expr, Member):
            base = self.symbol_or_none(expr.base)
            if isinstance(base, PackageSymbol):
                return base.names.get(expr.name)
            if isinstance(base, LabelSymbol | Routines) and isinstance(expr.base, Name):
                return self.scope.inside(expr.base.name, expr.name)
            names = self.dotted(expr)
            if base is None and len(names) == 2 and self.scope.find(names[0]) is None:
                return self.hooks.unit(names)  # schema.unit
        return None

    def symbol(self, expr: Expr) -> Symbol | None:
        """The same, but a missing member of a package is an error."""
        found = self.symbol_or_none(expr)
        if found is None and isinstance(expr, Member):
            base = self.symbol_or_none(expr.base)
            if isinstance(base, PackageSymbol | LabelSymbol):
                raise self.undeclared(expr.name, expr.at)
        return found

    # -- calls -------------------------------------------------------------------------------------
    def call(
        self, base: Expr, arguments: list[Argument], *, as_function: bool, bare: bool = False
    ) -> Typed:
        """A call; bare: a name without brackets. Raises UnknownObjectError, SqlSyntaxError."""
        symbol = self.symbol(base)
        if isinstance(symbol, Builtin):
            return self._builtin(symbol, arguments, base.at, as_function)
        if isinstance(symbol, Routines):
            return self._routine(symbol, arguments, base.at, as_function)
        if symbol is None and as_function:
            names = self.dotted(base)
            if names and names[0] in REFUSED:
                raise self.undeclared(names[0], base.at)
            if names and not bare and self.scope.find(names[0]) is None:
                gets = [self.get(argument.value) for argument in arguments]
                return self.sql_function(".".join(names), gets, base.at)
        raise self.undeclared(".".join(self.dotted(base)) or "expression", base.at)

    def _builtin(
        self, symbol: Builtin, arguments: list[Argument], at: int, as_function: bool
    ) -> Typed:
        if as_function and not symbol.is_function:
            raise SqlSyntaxError(f"{symbol.name} is no function", position=at + 1)
        arguments = self._in_place(symbol, arguments, at)
        if not symbol.least <= len(arguments) <= symbol.most:
            raise self._wrong_arguments(symbol.name, at)
        function = symbol.call
        if symbol.outs:
            setters = [
                (n, self.setter(a.value)) for n, a in enumerate(arguments) if n in symbol.outs
            ]
            gets = [self.get(a.value) for a in arguments]

            def with_outs(f: Frame) -> Value:
                results = function(f[CONTEXT], [get(f) for get in gets])
                for (_, put), value in zip(setters, results, strict=False):
                    put(f, value)
                return None

            return Typed(with_outs)
        gets = [self.get(argument.value) for argument in arguments]
        return Typed(lambda f: function(f[CONTEXT], [get(f) for get in gets]))

    def _in_place(self, symbol: Builtin, arguments: list[Argument], at: int) -> list[Argument]:
        """Named arguments of a supplied package, in their places."""
        if all(not argument.name for argument in arguments):
            return arguments
        by_name = {argument.name: argument for argument in arguments if argument.name}
        placed = [argument for argument in arguments if not argument.name]
        for name in symbol.parameters[len(placed) :]:
            if name in by_name:
                placed.append(by_name.pop(name))
            elif by_name:
                placed.append(Argument(Literal(at, None)))
        if by_name:
            raise self._wrong_arguments(symbol.name, at)
        return placed

    def _wrong_arguments(self, name: str, at: int) -> UnknownObjectError:
        return UnknownObjectError(
            f"wrong number or types of arguments in call to '{name}'", position=at + 1
        )

    def _routine(
        self, symbol: Routines, arguments: list[Argument], at: int, as_function: bool
    ) -> Typed:
        routine = self.routine_for(symbol, arguments, as_function)
        if routine is not None:
            placed = self._placed(routine, arguments, _converts)
            assert placed is not None
            return self._invocation(routine, placed)
        if all(routine.is_function is not as_function for routine in symbol.overloads):
            kind = "function" if as_function else "procedure"
            raise SqlSyntaxError(f"'{symbol.name}' is no {kind}", position=at + 1)
        raise self._wrong_arguments(symbol.name, at)

    def routine_for(
        self, symbol: Routines, arguments: list[Argument], as_function: bool
    ) -> Routine | None:
        """The routine of a name that takes these arguments, best without a conversion.

        With a conversion only one may take them: else the call would be ambiguous.
        """
        routines = [one for one in symbol.overloads if one.is_function is as_function]
        for routine in routines:
            if self._placed(routine, arguments, _alike) is not None:
                return routine
        fit = [one for one in routines if self._placed(one, arguments, _converts) is not None]
        return fit[0] if len(fit) == 1 else None

    def _placed(
        self, routine: Routine, arguments: list[Argument], may_pass: Callable[[str, str], bool]
    ) -> list[Expr | None] | None:
        """The argument of each parameter (None: its default); None if they do not fit."""
        placed: dict[str, Expr] = {}
        for number, argument in enumerate(arguments):
            if not argument.name and number >= len(routine.parameters):
                return None
            name = argument.name or routine.parameters[number].name
            if name in placed:
                return None
            placed[name] = argument.value
        names = {parameter.name for parameter in routine.parameters}
        if not placed.keys() <= names:
            return None
        for parameter in routine.parameters:
            given = placed.get(parameter.name)
            if given is None:
                if parameter.default is None:
                    return None
            elif not self._fits(given, parameter.type, may_pass):
                return None
        return [placed.get(parameter.name) for parameter in routine.parameters]

    def _fits(self, given: Expr, wanted: PlType, may_pass: Callable[[str, str], bool]) -> bool:
        """May a value of this expression be passed? To choose among overloaded routines."""
        known = self.expression(given).type
        if isinstance(given, Literal):
            return given.value is None or (
                isinstance(wanted, Scalar)
                and any(may_pass(family, _family(wanted)) for family in _families(given))
            )
        if known is None:
            return True
        if isinstance(known, Scalar) and isinstance(wanted, Scalar):
            return may_pass(_family(known), _family(wanted))
        return isinstance(known, Scalar) is isinstance(wanted, Scalar)

    def _invocation(self, routine: Routine, placed: list[Expr | None]) -> Typed:
        ins: list[tuple[int, Callable[[Value], Value], Get]] = []
        defaults: list[tuple[int, Callable[[Value], Value], Get]] = []
        outs: list[tuple[int, Set]] = []
        initial: list[tuple[int, PlType]] = []
        for parameter, given in zip(routine.parameters, placed, strict=True):
            coerce = parameter.type.coerce
            if isinstance(given, Bind):
                self.note_bind(given.name, parameter.type)
            if parameter.mode != "IN":
                assert given is not None
                self.note_out(given, parameter.type)
                outs.append((parameter.slot, self.setter(given)))
            if parameter.mode == "OUT":
                initial.append((parameter.slot, parameter.type))
            elif given is not None:
                ins.append((parameter.slot, coerce, self.get(given)))
            else:
                assert parameter.default is not None
                defaults.append((parameter.slot, coerce, parameter.default))
        parent = routine.activation.parent
        outer = frame_of(parent, self.activation) if parent is not None else None
        is_own = parent is self.activation
        activation = routine.activation

        def invoke(f: Frame) -> Value:
            context = f[CONTEXT]
            above = f if is_own else outer(f) if outer is not None else None
            frame = activation.frame(above, context)
            for slot, coerce, get in ins:
                frame[slot] = coerce(get(f))
            for slot, coerce, get in defaults:
                frame[slot] = coerce(get(above or frame))  # it is the declaring block's expression
            for slot, type_ in initial:
                frame[slot] = type_.initial()
            context.enter()
            try:
                result = routine.run(frame)  # type: ignore[misc]
            finally:
                context.depth -= 1
            for slot, put in outs:
                put(f, frame[slot])
            return result

        return Typed(invoke, routine.returns)

    # -- methods of collections --------------------------------------------------------------------
    def method(self, base: Typed, name: str, gets: list[Get], at: int) -> Get:
        """collection.COUNT and the like."""
        if base.type is not None and not isinstance(base.type, CollectionType):
            raise self.undeclared(name, at)
        function = _METHODS.get(name)
        if function is None:
            raise self.undeclared(name, at)
        get = base.get

        def run(f: Frame) -> Value:
            collection = get(f)
            if collection is None:
                if name == "EXISTS":
                    return False
                raise predefined("COLLECTION_IS_NULL")
            if not isinstance(collection, Collection):
                raise predefined("VALUE_ERROR", f": {name} of something that is no collection")
            return function(collection, *[one(f) for one in gets])

        return run

    # -- SQL for one value -------------------------------------------------------------------------
    def sql_value(self, sql: str, template: SqlTemplate | None) -> Get:
        """The value of SELECT expression FROM dual."""
        gets = template.gets if template is not None else []
        ask = self.sql_call(sql, template)
        return lambda f: ask(f, [get(f) for get in gets])

    def sql_call(
        self, sql: str, template: SqlTemplate | None = None
    ) -> Callable[[Frame, list[Value]], Value]:
        """The same, with values for $1…: their types are those of the values."""

        owner = self.owner

        def ask(f: Frame, given: list[Value]) -> Value:
            bound = [values.to_storage(value) for value in given]
            types = tuple(None if v is None else t for t, v in bound)
            try:
                rows = f[CONTEXT].host.query(sql, types, bound, owner)
                found = rows.fetch(2)
                rows.close()
            except GridError as error:
                raise of_grid_error(error) from error
            return values.reader(rows.columns[0].type)(found[0][0]) if found else None

        return ask


def _alike(given: str, wanted: str) -> bool:
    """May a value of one family be passed as another's, without a conversion?"""
    return given == wanted


def _converts(given: str, wanted: str) -> bool:
    """The same, with an implicit conversion: from and to text, but not of booleans."""
    return given == wanted or ("text" in (given, wanted) and "boolean" not in (given, wanted))


def _families(given: Literal) -> tuple[str, ...]:
    if isinstance(given.value, bool):
        return ("boolean",)
    return ("text", "moment") if isinstance(given.value, str) else ("number",)


def _family(type_: Scalar) -> str:
    name = type_.sql.kind.name
    if "CHAR" in name or name == "CLOB":
        return "text"
    if name == "BOOLEAN":
        return "boolean"
    if "BINARY" in name and name not in ("BINARY_FLOAT", "BINARY_DOUBLE"):
        return "bytes"
    if "DATE" in name or "TIME" in name or "INTERVAL" in name:
        return "moment"
    return "number"


def row_type(columns: tuple[ResultColumn, ...]) -> RecordType:
    """The record of a query's columns."""
    return RecordType("", [(column.name.upper(), Scalar(column.type)) for column in columns])


def _extend(collection: Collection, count: Value = 1, copy_of: Value = None) -> None:
    element: Any = collection.get(copy_of) if copy_of is not None else None
    if element is None:
        element = collection.type.element.initial()
    elif isinstance(element, Record | Collection):
        element = collection.type.element.coerce(element)
    collection.extend(int(values.number(count)), element)


_METHODS: dict[str, Callable[..., Value]] = {
    "COUNT": lambda c: len(c.keys),
    "FIRST": lambda c: c.keys[0] if c.keys else None,
    "LAST": lambda c: c.keys[-1] if c.keys else None,
    "LIMIT": lambda c: c.type.limit or None,
    "NEXT": Collection.next,
    "PRIOR": Collection.prior,
    "EXISTS": lambda c, index: index is not None and c.key(index) in c.items,
    "DELETE": Collection.delete,
    "EXTEND": _extend,
    "TRIM": lambda c, count=1: c.trim(int(values.number(count))),
}
