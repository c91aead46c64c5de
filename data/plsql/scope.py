"""Names while a block is compiled: what each stands for, and where its value will be. Pure.

A *frame* holds the variables of one activation of a subprogram: frame[0] is the frame of the
subprogram (or package) around it, frame[1] the Context of the run, then the variables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from data.plsql.types import PlType, RecordType
from data.plsql.values import Value
from protocol.pgwire.values import ResultColumn
from protocol.sqltypes import SqlType

Frame = list[Any]
Get = Callable[[Frame], Value]
Set = Callable[[Frame, Value], None]
OUTER, CONTEXT, FIRST_SLOT = 0, 1, 2


class Typed(NamedTuple):
    """An expression, compiled. `type` None: known only when it runs."""

    get: Get
    type: PlType | None = None


class Activation:
    """The variables of one subprogram, block or package. `package`: its key, if it is one."""

    def __init__(self, parent: Activation | None, package: str = "") -> None:
        self.parent = parent
        self.package = package
        self.slots = FIRST_SLOT

    def slot(self) -> int:
        """Room for one more variable."""
        self.slots += 1
        return self.slots - 1

    def frame(self, parent: Frame | None, context: object) -> Frame:
        """A new frame."""
        return [parent, context, *([None] * (self.slots - FIRST_SLOT))]


@dataclass(slots=True)
class Var:
    """A variable, constant or parameter."""

    activation: Activation
    slot: int
    type: PlType | None
    writable: bool = True


@dataclass(slots=True, eq=False)
class ExceptionSymbol:
    """An exception with its number: 1 if it has none, as SQLCODE says. Itself is its identity."""

    name: str
    code: int
    message: str = ""


@dataclass(slots=True)
class TypeSymbol:
    """A type."""

    type: PlType


@dataclass(slots=True)
class ParameterSpec:
    """Of a routine or cursor; `default` None: it must be given."""

    name: str
    type: PlType
    mode: str = "IN"
    default: Get | None = None
    slot: int = 0


@dataclass(slots=True)
class SqlTemplate:
    """SQL text with $n for variables; `gets` give their values, `types` those that are declared.

    `owner`: whose rights and schema it has; "": those of the session.
    """

    text: str
    gets: list[Get]
    types: tuple[SqlType | None, ...]
    owner: str = ""


@dataclass(slots=True)
class CursorSymbol:
    """An explicit cursor: its state is in a slot; `row`: a record of its columns."""

    name: str
    activation: Activation
    slot: int
    parameters: list[ParameterSpec] = field(default_factory=list)
    template: SqlTemplate | None = None
    row: RecordType | None = None
    key: tuple[str, ...] = ()  # columns behind the row's own, for WHERE CURRENT OF


@dataclass(slots=True, eq=False)
class Routine:
    """A procedure or function (`returns`); `run` is set when its body has been compiled."""

    name: str
    parameters: list[ParameterSpec]
    returns: PlType | None
    activation: Activation
    run: Callable[[Frame], Any] | None = None
    is_function: bool = False


@dataclass(slots=True)
class Routines:
    """All routines of a name."""

    name: str
    overloads: list[Routine]


@dataclass(slots=True)
class Builtin:
    """A routine of a supplied package. call(context, arguments); `outs`: positions of its OUT
    parameters, whose values it returns as a list."""

    name: str
    call: Callable[[Any, list[Value]], Any]
    least: int
    most: int
    is_function: bool = True
    outs: tuple[int, ...] = ()
    parameters: tuple[str, ...] = ()


@dataclass(slots=True)
class PackageSymbol:
    """A package; what of it can be seen from here."""

    name: str
    names: dict[str, Symbol]


@dataclass(slots=True)
class LabelSymbol:
    """A labelled block or a subprogram's own name: qualifies what is declared there."""

    scope: Scope


Symbol = (
    Var
    | ExceptionSymbol
    | TypeSymbol
    | CursorSymbol
    | Routines
    | Builtin
    | PackageSymbol
    | LabelSymbol
)


class Scope:
    """The declarations of one block."""

    def __init__(self, parent: Scope | None, activation: Activation, label: str = "") -> None:
        self.parent = parent
        self.activation = activation
        self.label = label
        self.names: dict[str, Symbol] = {}

    def find(self, name: str) -> Symbol | None:
        """What a name stands for here, the innermost first; what is declared before labels."""
        label: LabelSymbol | None = None
        scope: Scope | None = self
        while scope is not None:
            found = scope.names.get(name)
            if found is not None:
                return found
            if label is None and scope.label == name:
                label = LabelSymbol(scope)
            scope = scope.parent
        return label

    def inside(self, label: str, name: str) -> Symbol | None:
        """What was declared in the block, loop or subprogram around with this label."""
        scope: Scope | None = self
        while scope is not None:
            if scope.label == label and name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return None


class Hooks(Protocol):
    """What the compiler asks of the database."""

    def columns_of_table(self, name: tuple[str, ...]) -> list[tuple[str, SqlType]] | None:
        """Columns of a table or view (upper case names); None: there is no such one."""
        ...

    def describe(
        self, sql: str, types: tuple[SqlType | None, ...]
    ) -> tuple[ResultColumn, ...] | None:
        """Columns of a statement's rows. Raises GridError."""
        ...

    def unit(self, name: tuple[str, ...]) -> Symbol | None:
        """A stored procedure, function or package that the user may run; None: none such."""
        ...

    def parameter_types(self, sql: str, types: tuple[SqlType | None, ...]) -> tuple[SqlType, ...]:
        """Types of a statement's parameters. Raises GridError."""
        ...

    def primary_key(self, name: tuple[str, ...]) -> tuple[str, ...]:
        """Columns of the primary key of a table; () without one."""
        ...

    def is_sequence(self, name: tuple[str, ...]) -> bool:
        """Is it a sequence?"""
        ...


def frame_of(target: Activation, here: Activation) -> Get | None:
    """How code of `here` finds the frame of `target`; None: it is its own."""
    depth, at = 0, here
    while at is not target:
        if at.parent is None:
            key = target.package
            return lambda f: f[CONTEXT].package(key)
        depth, at = depth + 1, at.parent
    if depth == 0:
        return None
    if depth == 1:
        return lambda f: f[OUTER]
    if depth == 2:
        return lambda f: f[OUTER][OUTER]

    def climb(f: Frame) -> Frame:
        for _ in range(depth):
            f = f[OUTER]
        return f

    return climb


def reading(var: Var, here: Activation) -> Get:
    """How a variable is read."""
    slot, frame = var.slot, frame_of(var.activation, here)
    if frame is None:
        return lambda f: f[slot]
    return lambda f: frame(f)[slot]


def writing(activation: Activation, slot: int, here: Activation) -> Set:
    """How a slot is written; the value fits already."""
    frame = frame_of(activation, here)

    def local(f: Frame, value: Value) -> None:
        f[slot] = value

    def outer(f: Frame, value: Value) -> None:
        assert frame is not None
        frame(f)[slot] = value

    return local if frame is None else outer
