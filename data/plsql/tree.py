"""The tree of a PL/SQL block. Types only.

`at` is the offset in the text, for error messages. Names are upper case, or as quoted.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    """Anything with a place in the text."""

    at: int


# -- expressions -----------------------------------------------------------------------------------
@dataclass(slots=True)
class Expr(Node):
    """An expression."""


@dataclass(slots=True)
class Literal(Expr):
    """A number (int, Decimal or float), text, boolean, or NULL."""

    value: object


@dataclass(slots=True)
class Bind(Expr):
    """:name, or a client's $n: `number` from 1."""

    name: str


@dataclass(slots=True)
class Name(Expr):
    """A variable, parameter, function without arguments, ….: one identifier."""

    name: str


@dataclass(slots=True)
class Member(Expr):
    """base.name: a field, a member of a package, a method of a collection."""

    base: Expr
    name: str


@dataclass(slots=True)
class Argument:
    """Of a call; `name` if it is given as name => value."""

    value: Expr
    name: str = ""


@dataclass(slots=True)
class Multiset(Expr):
    """left MULTISET UNION|INTERSECT|EXCEPT [DISTINCT] right, of nested tables."""

    operator: str
    distinct: bool
    left: Expr
    right: Expr


@dataclass(slots=True)
class Apply(Expr):
    """base(arguments): a call, an element of a collection, a constructor, a conversion."""

    base: Expr
    arguments: list[Argument]


@dataclass(slots=True)
class Attribute(Expr):
    """cursor%FOUND and the like; SQL%ROWCOUNT."""

    base: Expr
    name: str
    argument: Expr | None = None  # SQL%BULK_ROWCOUNT(i)


@dataclass(slots=True)
class Unary(Expr):
    """-x, +x, NOT x."""

    operator: str
    operand: Expr


@dataclass(slots=True)
class Binary(Expr):
    """left operator right; operators as in _OPERATORS of expressions.py, AND, OR, LIKE."""

    operator: str
    left: Expr
    right: Expr
    escape: Expr | None = None  # of LIKE


@dataclass(slots=True)
class IsNull(Expr):
    """x IS [NOT] NULL; EMPTY too."""

    operand: Expr
    negated: bool
    empty: bool = False


@dataclass(slots=True)
class In(Expr):
    """x IN (a, b, …)."""

    operand: Expr
    items: list[Expr]


@dataclass(slots=True)
class Case(Expr):
    """CASE, both forms; `operand` None: searched."""

    operand: Expr | None
    whens: list[tuple[Expr, Expr]]
    otherwise: Expr | None


@dataclass(slots=True)
class SqlExpr(Expr):
    """A function with a syntax of its own (CAST, EXTRACT, …): evaluated by SQL."""

    end: int


# -- types -----------------------------------------------------------------------------------------
@dataclass(slots=True)
class TypeRef(Node):
    """A type as written: a name with lengths, or something%TYPE, something%ROWTYPE."""

    name: tuple[str, ...]
    arguments: tuple[int | str, ...] = ()
    attribute: str = ""  # TYPE or ROWTYPE
    not_null: bool = False


# -- declarations ----------------------------------------------------------------------------------
@dataclass(slots=True)
class Declaration(Node):
    """Something with a name."""

    name: str


@dataclass(slots=True)
class Variable(Declaration):
    """A variable or constant."""

    type: TypeRef
    default: Expr | None = None
    constant: bool = False


@dataclass(slots=True)
class ExceptionName(Declaration):
    """name EXCEPTION; `code`: of PRAGMA EXCEPTION_INIT."""

    code: int = 0


@dataclass(slots=True)
class Parameter(Declaration):
    """Of a subprogram or a cursor."""

    type: TypeRef
    mode: str = "IN"  # IN, OUT, IN OUT
    default: Expr | None = None


@dataclass(slots=True)
class CursorName(Declaration):
    """CURSOR name (parameters) [RETURN type] IS query."""

    parameters: list[Parameter]
    query: Sql | None


@dataclass(slots=True)
class TypeName(Declaration):
    """TYPE or SUBTYPE. `kind`: record, table, varray, ref cursor, subtype."""

    kind: str
    fields: list[Variable] = field(default_factory=list)
    element: TypeRef | None = None
    index: TypeRef | None = None  # INDEX BY
    limit: int = 0  # of a VARRAY
    low: Expr | None = None  # RANGE of a subtype
    high: Expr | None = None


@dataclass(slots=True)
class Subprogram(Declaration):
    """A procedure, or a function (`returns` is set). `body` None: only declared."""

    parameters: list[Parameter]
    returns: TypeRef | None
    body: Block | None
    by_caller: bool = False  # AUTHID CURRENT_USER


# -- statements ------------------------------------------------------------------------------------
@dataclass(slots=True)
class Statement(Node):
    """A statement."""


@dataclass(slots=True)
class Handler(Node):
    """WHEN names THEN …; no names: OTHERS."""

    names: list[tuple[str, ...]]
    body: list[Statement]


@dataclass(slots=True)
class Block(Statement):
    """[DECLARE …] BEGIN … EXCEPTION … END."""

    declarations: list[Declaration]
    body: list[Statement]
    handlers: list[Handler]
    label: str = ""


@dataclass(slots=True)
class Null(Statement):
    """NULL."""


@dataclass(slots=True)
class Label(Statement):
    """<<name>>: the statement after it can be gone to."""

    name: str


@dataclass(slots=True)
class Goto(Statement):
    """GOTO label."""

    label: str


@dataclass(slots=True)
class Assign(Statement):
    """target := value."""

    target: Expr
    value: Expr


@dataclass(slots=True)
class Call(Statement):
    """A procedure."""

    target: Expr


@dataclass(slots=True)
class If(Statement):
    """IF, ELSIF, ELSE."""

    branches: list[tuple[Expr, list[Statement]]]
    otherwise: list[Statement]


@dataclass(slots=True)
class CaseOf(Statement):
    """CASE as a statement; `otherwise` None: CASE_NOT_FOUND."""

    operand: Expr | None
    whens: list[tuple[Expr, list[Statement]]]
    otherwise: list[Statement] | None


@dataclass(slots=True)
class Loop(Statement):
    """LOOP, WHILE … LOOP (`condition`)."""

    label: str
    condition: Expr | None
    body: list[Statement]


@dataclass(slots=True)
class ForRange(Statement):
    """FOR i IN [REVERSE] low .. high LOOP."""

    label: str
    variable: str
    low: Expr
    high: Expr
    reverse: bool
    body: list[Statement]


@dataclass(slots=True)
class ForCursor(Statement):
    """FOR r IN cursor[(arguments)] | (query) LOOP."""

    label: str
    variable: str
    cursor: Expr | Sql
    body: list[Statement]


@dataclass(slots=True)
class Leave(Statement):
    """EXIT, CONTINUE [label] [WHEN condition]."""

    word: str
    label: str
    condition: Expr | None


@dataclass(slots=True)
class Return(Statement):
    """RETURN [value]."""

    value: Expr | None


@dataclass(slots=True)
class Raise(Statement):
    """RAISE [name]."""

    name: tuple[str, ...]


@dataclass(slots=True)
class Into:
    """Targets of INTO; `bulk`: BULK COLLECT."""

    targets: list[Expr]
    bulk: bool


@dataclass(slots=True)
class Sql(Statement):
    """A SQL statement: text[at:end], without its INTO clause text[into_at:into_end]."""

    end: int
    word: str  # SELECT, INSERT, …
    into: Into | None = None
    into_at: int = 0
    into_end: int = 0


@dataclass(slots=True)
class Open(Statement):
    """OPEN cursor(arguments); OPEN variable FOR query | text USING …."""

    cursor: Expr
    arguments: list[Argument]
    query: Sql | Expr | None = None
    using: list[Expr] = field(default_factory=list)


@dataclass(slots=True)
class Fetch(Statement):
    """FETCH cursor [BULK COLLECT] INTO … [LIMIT n]."""

    cursor: Expr
    into: Into
    limit: Expr | None


@dataclass(slots=True)
class Close(Statement):
    """CLOSE cursor."""

    cursor: Expr


@dataclass(slots=True)
class ExecuteImmediate(Statement):
    """EXECUTE IMMEDIATE text [INTO …] [USING …] [RETURNING INTO …]."""

    text: Expr
    into: Into | None
    using: list[tuple[str, Expr]]  # mode
    returning: Into | None


@dataclass(slots=True)
class ForAll(Statement):
    """FORALL i IN low .. high | INDICES OF c [BETWEEN …] | VALUES OF c [SAVE EXCEPTIONS] dml."""

    variable: str
    low: Expr | None
    high: Expr | None
    indices: Expr | None
    values: Expr | None
    save: bool
    sql: Statement


@dataclass(slots=True)
class Package(Node):
    """CREATE PACKAGE [BODY]."""

    name: tuple[str, ...]
    declarations: list[Declaration]
    body: list[Statement]
    is_body: bool
    handlers: list[Handler] = field(default_factory=list)
    by_caller: bool = False


@dataclass(slots=True)
class Unit(Node):
    """CREATE [OR REPLACE] …: a standalone subprogram or a package."""

    kind: str  # PROCEDURE, FUNCTION, PACKAGE, PACKAGE BODY
    name: tuple[str, ...]
    replace: bool
    content: Subprogram | Package
