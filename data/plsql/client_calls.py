"""CALL by a client: what OUT and IN OUT parameters, or a function, give is one row for it.

So PostgreSQL does it, and its drivers: an OUT parameter has a place among the arguments (NULL, or
a parameter of the statement, whose value does not matter), and a column of its name in the row.
The bind variables that a block assigns come back in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.plsql.cursors import Run
from data.plsql.scope import CONTEXT, Frame, Get, Routine, Routines, Var
from data.plsql.tree import Apply, Argument, Bind, Block, Call, Expr, Name
from data.plsql.types import CursorType, PlType, RecordType, Scalar
from protocol.errors import NotSupportedError
from protocol.sqltypes import BOOLEAN, REF_CURSOR, VARCHAR, Kind, SqlType

if TYPE_CHECKING:
    from data.plsql.compiler import Compiler


@dataclass(slots=True)
class Out:
    """A column of the row: `get` reads it from the frame of a block that has run."""

    name: str
    type: SqlType
    get: Get


def call_of(block: Block) -> tuple[Expr, list[Argument]] | None:
    """The routine and the arguments of a block that is one call."""
    if len(block.body) != 1 or not isinstance(block.body[0], Call):
        return None
    target = block.body[0].target
    return (target.base, target.arguments) if isinstance(target, Apply) else (target, [])


def compiled_call(compiler: Compiler, block: Block) -> tuple[Run, list[Out]] | None:
    """A call with something to give; None: there is nothing, it is a block like others."""
    found = call_of(block)
    if found is None:
        return None
    base, arguments = found
    symbol = compiler.symbol(base)
    if not isinstance(symbol, Routines):
        return None
    for as_function in (False, True):
        routine = compiler.routine_for(symbol, arguments, as_function)
        if routine is not None:
            return _call(compiler, base, arguments, routine)
    if arguments and isinstance(arguments[0].value, Bind):  # pgjdbc's {? = call f(?)}
        routine = compiler.routine_for(symbol, arguments[1:], True)
        if routine is not None:
            return _call(compiler, base, arguments[1:], routine)
    return None


def _call(
    compiler: Compiler, base: Expr, arguments: list[Argument], routine: Routine
) -> tuple[Run, list[Out]]:
    outs: list[Out] = []
    before: list[tuple[int, PlType, Get | None]] = []
    after: list[tuple[str, int]] = []
    placed: list[Argument] = []
    for number, argument in enumerate(arguments):
        name = argument.name or routine.parameters[number].name
        parameter = next(one for one in routine.parameters if one.name == name)
        if parameter.mode == "IN":
            placed.append(argument)
            continue
        slot = compiler.activation.slot()
        hidden = f" {name}"
        compiler.scope.names[hidden] = Var(compiler.activation, slot, parameter.type)
        if isinstance(argument.value, Bind):
            compiler.note_bind(argument.value.name, parameter.type)
            after.append((argument.value.name, slot))
        get = compiler.get(argument.value) if parameter.mode == "IN OUT" else None
        before.append((slot, parameter.type, get))
        outs += _columns(name, parameter.type, slot)
        placed.append(Argument(Name(argument.value.at, hidden), argument.name))
    made = compiler.call(base, placed, as_function=routine.is_function).get
    if routine.is_function:
        slot = compiler.activation.slot()
        assert routine.returns is not None
        outs = _columns(routine.name, routine.returns, slot) + outs

    def run(f: Frame) -> None:
        for place, type_, get in before:
            f[place] = type_.initial() if get is None else type_.coerce(get(f))
        result = made(f)
        if routine.is_function:
            f[slot] = result
        for bind, place in after:
            f[CONTEXT].binds[bind] = f[place]

    return compiler.as_statement(run, base.at), outs


def _columns(name: str, type_: PlType, slot: int) -> list[Out]:
    """Of a value in the client's row: a record is one column for each field."""
    if not isinstance(type_, RecordType):
        return [Out(name.lower(), column_type(type_, name), _slot(slot))]
    fields = zip(type_.names, type_.types, strict=True)
    return [
        Out(field.lower(), column_type(known, f"{name}.{field}"), _field(slot, number))
        for number, (field, known) in enumerate(fields)
    ]


def _field(slot: int, number: int) -> Get:
    return lambda f: None if f[slot] is None else f[slot].fields[number]


def _slot(slot: int) -> Get:
    return lambda f: f[slot]


def column_type(type_: PlType | None, name: str) -> SqlType:
    """Of a value in the client's row. Raises NotSupportedError for collections and the like."""
    if type_ is None:
        return VARCHAR
    if isinstance(type_, CursorType):
        return REF_CURSOR
    if not isinstance(type_, Scalar):
        raise NotSupportedError(
            f"{name}: a client gets no collections, and no records inside of records",
            hint="Call it in a block, and give single values, records or REF CURSORs back.",
        )
    if type_.sql.kind in (Kind.CHAR, Kind.NCHAR) and not type_.sql.length:
        return VARCHAR
    return BOOLEAN if type_.sql.kind is Kind.BOOLEAN else type_.sql


def bound(compiler: Compiler) -> list[Out]:
    """The bind variables that a block assigns."""
    return [
        Out(name.lower() if not name.isdigit() else f"p{name}", known, _bind(name))
        for name, known in compiler.bind_outs.items()
    ]


def _bind(name: str) -> Get:
    return lambda f: f[CONTEXT].binds.get(name)
