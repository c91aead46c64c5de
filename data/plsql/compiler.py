"""Blocks and stored units → closures: declarations, blocks, subprograms, packages. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from data.catalog.objects import StoredUnit
from data.plsql import types
from data.plsql.calls import row_type
from data.plsql.client_calls import Out, bound, compiled_call
from data.plsql.current_of import with_key
from data.plsql.cursors import Run
from data.plsql.errors import PREDEFINED, USER_DEFINED, PlError, predefined
from data.plsql.parser import parse_block, parse_unit
from data.plsql.scope import (
    Activation,
    CursorSymbol,
    ExceptionSymbol,
    Frame,
    Hooks,
    PackageSymbol,
    ParameterSpec,
    Routine,
    Routines,
    Scope,
    Symbol,
    TypeSymbol,
    Var,
)
from data.plsql.sqltext import sql_template
from data.plsql.statements import Returned, Statements
from data.plsql.tokens import BIND, tokens
from data.plsql.tree import (
    Block,
    CursorName,
    Declaration,
    ExceptionName,
    Package,
    Parameter,
    Subprogram,
    TypeName,
    TypeRef,
    Variable,
)
from data.plsql.type_names import TypeNames
from data.plsql.types import CollectionType, CursorType, PlType, RecordType
from data.plsql.values import Value
from protocol.errors import DuplicateObjectError, GridError, SqlSyntaxError
from protocol.sqltypes import SqlType

Init = Callable[[Frame], object]


@dataclass(slots=True)
class CompiledBlock:
    """An anonymous block. `binds`: its bind variables in the order of their numbers, with types
    as far as they are known; `outs`: what its client gets."""

    activation: Activation
    run: Run
    binds: list[str]
    types: list[SqlType | None]
    outs: list[Out]


@dataclass(slots=True)
class CompiledUnit:
    """A stored unit: its symbol; a package has an activation and what makes its variables."""

    symbol: Symbol
    activation: Activation | None = None
    initialise: Run | None = None


_MAY_BIND = re.compile(r":\w|\$\d")


def compile_block(text: str, hooks: Hooks, is_call: bool = False) -> CompiledBlock:
    """A block; `is_call`: it is one CALL. Raises SqlSyntaxError, NotSupportedError, …."""
    block = parse_block(text)
    activation = Activation(None)
    compiler = Compiler(text, hooks, Scope(None, activation), "")
    if _MAY_BIND.search(text):  # their order is that of the text, not of compilation
        for token in tokens(text):
            if token.kind == BIND:
                compiler.bind_name(token.text.lstrip(":$").upper())
    call = compiled_call(compiler, block) if is_call else None
    if call is not None:
        run, outs = call
    else:
        run = compiler.block(block)
        outs = bound(compiler)
    known = [compiler.bind_types.get(name) for name in compiler.bind_names]
    return CompiledBlock(activation, run, compiler.bind_names, known, outs)


@dataclass(slots=True)
class Fault:
    """Something wrong in a stored unit. `part`: PACKAGE BODY, or the unit's kind."""

    part: str
    error: GridError


def compile_unit(
    unit: StoredUnit,
    hooks: Hooks,
    announce: Callable[[CompiledUnit], None],
    faults: list[Fault],
) -> CompiledUnit:
    """A stored unit. `announce` is called before bodies are compiled: they may call one another.

    Raises GridError, the first of `faults`.
    """
    key = f"{unit.schema}.{unit.name}"
    try:
        parsed = parse_unit(unit.text)
        if isinstance(parsed.content, Subprogram):
            made = _standalone(parsed.content, unit, hooks, key, announce, faults)
        else:
            made = _package(parsed.content, unit, hooks, key, announce, faults)
    except GridError as error:
        if all(fault.error is not error for fault in faults):
            faults.append(Fault(unit.kind, error))
    if faults:
        raise faults[0].error
    return made


def _standalone(
    content: Subprogram,
    unit: StoredUnit,
    hooks: Hooks,
    key: str,
    announce: Callable[[CompiledUnit], None],
    faults: list[Fault],
) -> CompiledUnit:
    activation = Activation(None)
    owner = "" if content.by_caller else unit.schema
    compiler = Compiler(unit.text, hooks, Scope(None, activation), key, owner)
    compiler.note_fault = lambda error: faults.append(Fault(unit.kind, error))
    routine = compiler.routine(content, parent=None)
    symbol = Routines(content.name, [routine])
    made = CompiledUnit(symbol)
    announce(made)
    compiler.scope.names[content.name] = symbol
    compiler.routine_body(routine, content)
    return made


def _package(
    content: Package,
    unit: StoredUnit,
    hooks: Hooks,
    key: str,
    announce: Callable[[CompiledUnit], None],
    faults: list[Fault],
) -> CompiledUnit:
    activation = Activation(None, package=key)
    scope = Scope(None, activation, unit.name)
    owner = "" if content.by_caller else unit.schema
    compiler = Compiler(unit.text, hooks, scope, key, owner)
    compiler.note_fault = lambda error: faults.append(Fault(unit.kind, error))
    made = CompiledUnit(PackageSymbol(unit.name, scope.names), activation)
    announce(made)
    inits = compiler.declare(content.declarations)
    public = dict(scope.names)
    made.symbol = PackageSymbol(unit.name, public)
    announce(made)
    main: Run | None = None
    if unit.body:
        try:
            more, main = _package_body(unit, hooks, scope, key, owner, faults)
            inits += more
        except GridError as error:
            faults.append(Fault(f"{unit.kind} BODY", error))

    def initialise(f: Frame) -> object:
        for init in inits:
            init(f)
        return main(f) if main is not None else None

    made.initialise = initialise
    if not faults:
        try:
            _bodies_are_there(public, unit.body)
        except GridError as error:
            faults.append(Fault(f"{unit.kind} BODY", error))
    return made


def _package_body(
    unit: StoredUnit, hooks: Hooks, scope: Scope, key: str, owner: str, faults: list[Fault]
) -> tuple[list[Init], Run | None]:
    whole = parse_unit(unit.body).content
    assert isinstance(whole, Package)
    inside = Compiler(unit.body, hooks, scope, key, owner)
    inside.note_fault = lambda error: faults.append(Fault(f"{unit.kind} BODY", error))
    inits = inside.declare(whole.declarations)
    if not whole.body:
        return inits, None
    return inits, inside.guarded(inside.sequence(whole.body), whole.handlers)


def _bodies_are_there(public: dict[str, Symbol], body: str) -> None:
    for symbol in public.values():
        if isinstance(symbol, Routines):
            for routine in symbol.overloads:
                if routine.run is None:
                    if body:
                        raise SqlSyntaxError(f"{routine.name} has no body in the package body")
                    routine.run = _without_body(routine.name)


def _without_body(name: str) -> Run:
    def run(f: Frame) -> object:
        raise predefined("PROGRAM_ERROR", f": the package body of {name} does not exist")

    return run


class Compiler(TypeNames, Statements):
    """Compiles one text."""

    def __init__(
        self, text: str, hooks: Hooks, scope: Scope, unit_name: str, owner: str = ""
    ) -> None:
        self.text = text
        self.owner = owner
        self.hooks = hooks
        self.scope = scope
        self.activation = scope.activation
        self.unit_name = unit_name
        self.loops = []
        self.labels = []
        self.gone_to = set()
        self.current = {}
        self.note_fault = None
        self.is_function = False
        self.bind_names: list[str] = []
        self.bind_types = {}
        self.bind_outs = {}

    def bind_name(self, name: str) -> str:
        """A bind variable is used: note it. $n is number n."""
        if name.isdigit():
            while len(self.bind_names) < int(name):
                self.bind_names.append(str(len(self.bind_names) + 1))
        elif name not in self.bind_names:
            self.bind_names.append(name)
        return name

    # -- blocks ------------------------------------------------------------------------------------
    def block(self, block: Block) -> Run:
        """A block: what it declares is made each time it is entered."""
        with self.inner(block.label):
            inits = tuple(self.declare(block.declarations))
            loops, self.loops = self.loops, list(self.loops)
            body = self.sequence(block.body)
            if block.handlers:
                body = self.guarded(body, block.handlers)
            self.loops = loops
        if not inits:
            return body

        def run(f: Frame) -> object:
            for init in inits:
                init(f)
            return body(f)

        return run

    def declare(self, declarations: list[Declaration]) -> list[Init]:
        """Note the names; gives what makes their values."""
        inits: list[Init] = []
        waiting: list[tuple[Routine, Subprogram]] = []
        for declaration in declarations:
            with self.noted(declaration.at):
                if isinstance(declaration, Subprogram):
                    waiting += self._subprogram(declaration)
                    continue
                init = self._declaration(declaration, inits)
                if init is not None:
                    inits.append(init)
        for routine, subprogram in waiting:
            with self.noted(subprogram.at):
                self.routine_body(routine, subprogram)
        return inits

    def _declaration(self, declaration: Declaration, inits: list[Init]) -> Init | None:
        names = self.scope.names
        if declaration.name in names and not isinstance(names[declaration.name], Routines):
            if isinstance(declaration, CursorName) and self._completes(declaration, inits):
                return None
            raise DuplicateObjectError(
                f"{declaration.name} is declared twice", position=declaration.at + 1
            )
        if isinstance(declaration, Variable):
            return self._variable_declared(declaration)
        if isinstance(declaration, ExceptionName):
            code = declaration.code or USER_DEFINED
            message = next((m for c, m in PREDEFINED.values() if c == code), "")
            names[declaration.name] = ExceptionSymbol(declaration.name, code, message)
            return None
        if isinstance(declaration, TypeName):
            names[declaration.name] = TypeSymbol(self._declared_type(declaration))
            return None
        assert isinstance(declaration, CursorName)
        return self._cursor(declaration)

    def _variable_declared(self, declaration: Variable) -> Init:
        type_ = self.type_of(declaration.type)
        get = self.get(declaration.default) if declaration.default is not None else None
        slot = self.activation.slot()
        writable = not declaration.constant
        self.scope.names[declaration.name] = Var(self.activation, slot, type_, writable)
        coerce, not_null = type_.coerce, declaration.type.not_null
        if not_null:
            self.scope.names[declaration.name] = Var(
                self.activation, slot, _NotNull(type_), writable
            )
        if get is None:
            if isinstance(type_, RecordType) and type_.has_defaults():
                return _fresh(type_, slot)
            return _initial(type_, slot)
        value = get

        def init(f: Frame) -> None:
            made = coerce(value(f))
            if made is None and not_null:
                raise predefined("VALUE_ERROR", ": NULL for a variable that is NOT NULL")
            f[slot] = made

        return init

    def _declared_type(self, declaration: TypeName) -> PlType:
        kind, name = declaration.kind, declaration.name
        if kind == "ref cursor":
            return CursorType()
        if kind == "record":
            fields = [(one.name, self._field_type(one)) for one in declaration.fields]
            made = RecordType(name, fields)
            for at, one in enumerate(declaration.fields):
                if one.default is not None:
                    made.defaults[at] = self.get(one.default)
            return made
        assert declaration.element is not None
        element = self.type_of(declaration.element)
        if kind == "subtype":
            return self._subtype(declaration, element)
        if kind == "table" and declaration.index is not None:
            index = self.type_of(declaration.index)
            return CollectionType(name, "index by", element, index, 0)
        return CollectionType(name, kind, element, None, declaration.limit)

    def _field_type(self, field: Variable) -> PlType:
        found = self.type_of(field.type)
        is_plain = isinstance(found, types.Scalar) and field.type.not_null
        return found.without_null() if is_plain else found  # type: ignore[attr-defined]

    def _subtype(self, declaration: TypeName, base: PlType) -> PlType:
        made = base
        if declaration.low is not None and declaration.high is not None:
            nothing: Frame = [None, None]
            low, high = self.get(declaration.low)(nothing), self.get(declaration.high)(nothing)
            if type(low) is not int or type(high) is not int or not isinstance(base, types.Scalar):
                raise SqlSyntaxError("RANGE of whole numbers only", position=declaration.at + 1)
            made = types.Scalar(base.sql, declaration.name, low, high)
        assert declaration.element is not None
        if declaration.element.not_null and isinstance(made, types.Scalar):
            made = made.without_null()
        return made

    # -- cursors -----------------------------------------------------------------------------------
    def _cursor(self, declaration: CursorName) -> Init:
        slot = self.activation.slot()
        symbol = CursorSymbol(declaration.name, self.activation, slot)
        self.scope.names[declaration.name] = symbol
        self._cursor_query(symbol, declaration)

        def init(f: Frame) -> None:
            f[slot] = None

        return init

    def _cursor_query(self, symbol: CursorSymbol, declaration: CursorName) -> None:
        with self.inner(declaration.name) as scope:
            symbol.parameters = [self._parameter(one) for one in declaration.parameters]
            for one in symbol.parameters:
                one.slot = self.activation.slot()
                scope.names[one.name] = Var(self.activation, one.slot, one.type, False)
            if declaration.query is None:
                return
            query = declaration.query
            text = self.text[query.at : query.end]
            text, symbol.key = with_key(text, self.hooks)
            symbol.template = sql_template(self, text, query.at)
            columns = self.hooks.describe(symbol.template.text, symbol.template.types)
            if columns is None:
                raise SqlSyntaxError("a cursor needs a query", position=query.at + 1)
            symbol.row = row_type(columns[: len(columns) - len(symbol.key)])

    def _completes(self, declaration: CursorName, inits: list[Init]) -> bool:
        """The query of a cursor whose head was declared in the package."""
        symbol = self.scope.names[declaration.name]
        if not isinstance(symbol, CursorSymbol) or symbol.template is not None:
            return False
        self._cursor_query(symbol, declaration)
        return True

    # -- subprograms -------------------------------------------------------------------------------
    def _subprogram(self, subprogram: Subprogram) -> list[tuple[Routine, Subprogram]]:
        found = self.scope.names.get(subprogram.name)
        if not isinstance(found, Routines):
            found = Routines(subprogram.name, [])
            self.scope.names[subprogram.name] = found
        routine = self._declared_before(found, subprogram)
        if routine is None:
            routine = self.routine(subprogram, self.activation)
            found.overloads.append(routine)
        return [(routine, subprogram)] if subprogram.body is not None else []

    def _declared_before(self, found: Routines, subprogram: Subprogram) -> Routine | None:
        """The routine whose head was declared before."""
        if subprogram.body is None:
            return None
        names = [parameter.name for parameter in subprogram.parameters]
        families = [_shape(self.type_of(p.type)) for p in subprogram.parameters]
        for routine in found.overloads:
            same_names = names == [p.name for p in routine.parameters]
            if (
                routine.run is None
                and same_names
                and families == [_shape(p.type) for p in routine.parameters]
            ):
                return routine
        return None

    def routine(self, subprogram: Subprogram, parent: Activation | None) -> Routine:
        """The head of a subprogram."""
        activation = Activation(parent)
        parameters = []
        for one in subprogram.parameters:
            made = self._parameter(one)
            made.slot = activation.slot()
            parameters.append(made)
        returns = self.type_of(subprogram.returns) if subprogram.returns is not None else None
        return Routine(subprogram.name, parameters, returns, activation, None, returns is not None)

    def _parameter(self, one: Parameter) -> ParameterSpec:
        unconstrained = TypeRef(one.type.at, one.type.name, (), one.type.attribute)
        type_ = self.type_of(unconstrained)
        default = self.get(one.default) if one.default is not None else None
        return ParameterSpec(one.name, type_, one.mode, default)

    def routine_body(self, routine: Routine, subprogram: Subprogram) -> None:
        """Compile the body of a subprogram."""
        assert subprogram.body is not None
        saved = self.scope, self.activation, self.loops, self.is_function, self.labels
        self.activation, self.loops, self.labels = routine.activation, [], []
        self.is_function = routine.is_function
        self.scope = Scope(saved[0], routine.activation, subprogram.name)
        for one in routine.parameters:
            self.scope.names[one.name] = Var(
                routine.activation, one.slot, one.type, one.mode != "IN"
            )
        try:
            subprogram.body.label = subprogram.name
            body = self.block(subprogram.body)
        finally:
            self.scope, self.activation, self.loops, self.is_function, self.labels = saved
        routine.run = _called(routine, body)


def _called(routine: Routine, body: Run) -> Run:
    returns, name = routine.returns, routine.name
    if returns is None:

        def procedure(f: Frame) -> object:
            body(f)
            return None

        return procedure
    coerce = returns.coerce

    def function(f: Frame) -> Value:
        signal = body(f)
        if type(signal) is not Returned:
            raise PlError("", -6503, f"PL/SQL: Function {name} returned without value")
        return coerce(signal.value)

    return function


def _fresh(type_: RecordType, slot: int) -> Init:
    def init(f: Frame) -> None:
        f[slot] = type_.fresh(f)

    return init


def _initial(type_: PlType, slot: int) -> Init:
    if isinstance(type_, types.Scalar | CursorType):

        def null(f: Frame) -> None:
            f[slot] = None

        return null
    make = type_.initial

    def init(f: Frame) -> None:
        f[slot] = make()

    return init


def _shape(type_: PlType) -> object:
    return type_.sql.kind if isinstance(type_, types.Scalar) else type(type_)


class _NotNull(PlType):
    """A type whose variable is NOT NULL."""

    def __init__(self, inner: PlType) -> None:
        coerce = inner.coerce

        def checked(value: Value) -> Value:
            made = coerce(value)
            if made is None:
                raise predefined("VALUE_ERROR", ": NULL for a variable that is NOT NULL")
            return made

        self.coerce = checked
