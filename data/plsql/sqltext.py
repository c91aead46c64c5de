"""SQL inside a block: which of its names are variables, and the text with $n in their place. Pure.

As in Oracle a column wins over a variable of its name: the columns are those of the tables the
statement names. In the VALUES of an INSERT there are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.plsql.reading import Reader
from data.plsql.scope import Get, LabelSymbol, PackageSymbol, SqlTemplate, Var
from data.plsql.tokens import BIND, NAME, OPERATOR, QUOTED, Token
from data.plsql.tree import Apply, Bind, Expr, Member, Name
from data.plsql.types import CollectionType, PlType, RecordType, Scalar
from protocol.errors import NotSupportedError
from protocol.sqltypes import NUMERIC_KINDS, TEXT_KINDS, SqlType

if TYPE_CHECKING:
    from data.plsql.expressions import Expressions

_BEFORE_TABLE = ("FROM", "JOIN", "INTO", "UPDATE", "USING", "ONLY")


def sql_template(compiler: Expressions, text: str, at: int, tables: str = "") -> SqlTemplate:
    """The template of a slice of SQL that stands at offset `at` of the block.

    `tables`: text to look for tables in, if that is more than the slice. Raises GridError.
    """
    walk = _Walk(compiler, text, at, _columns(compiler, tables or text))
    template = walk.template()
    if walk.binds:
        known = compiler.hooks.parameter_types(template.text, template.types)
        for number, name in walk.binds.items():
            compiler.bind_types.setdefault(name, known[number - 1])
    return template


def _columns(compiler: Expressions, text: str) -> set[str]:
    """Names of all columns of the tables named in a statement, and of its AS and WITH names."""

    reader = Reader(text)
    found: set[str] = set()
    before = ""
    while reader.token.kind != "end":
        token = reader.take()
        if token.kind in (NAME, QUOTED):
            if before == "AS":
                found.add(token.text)
            names = [token.text]
            while reader.is_op(".") and reader.ahead(1).kind in (NAME, QUOTED):
                reader.take()
                names.append(reader.take().text)
            if before in _BEFORE_TABLE or before == ",":
                columns = compiler.hooks.columns_of_table(tuple(names))
                found.update(name for name, _ in columns or ())
                is_table = before != "," or columns is not None
                if is_table and reader.token.kind in (NAME, QUOTED):
                    found.add(reader.token.text)  # its alias
        before = token.text
    return found


class _Walk:
    """Goes through the tokens of one slice."""

    def __init__(self, compiler: Expressions, text: str, at: int, columns: set[str]) -> None:

        self._compiler = compiler
        self._text = text
        self._at = at
        self._columns = columns
        self._reader = Reader(text)
        self._gets: list[Get] = []
        self._types: list[SqlType | None] = []
        self._known: dict[str, int] = {}
        self._parts: list[str] = []
        self.binds: dict[int, str] = {}  # number of a mark → the bind variable it is

    def template(self) -> SqlTemplate:
        """All of it."""
        reader = self._reader
        done, before, before_that = 0, "", ""
        while reader.token.kind != "end":
            token = reader.token
            made = None
            if token.kind == BIND:
                reader.take()
                bind = Bind(self._at + token.start, token.text.lstrip(":$").upper())
                made = self._mark(self._compiler.get(bind), None, token.text.upper())
                if bind.name not in self._compiler.current:
                    self.binds[int(made[1:])] = bind.name
                end = token.end
            elif token.kind in (NAME, QUOTED) and before != ".":
                if token.text == "VALUES":
                    self._columns = set()
                found = self._variable(token, before, before_that)
                if found is not None:
                    made, end = found
            if made is not None:
                self._parts.append(self._text[done : token.start] + made)
                done = end
                before, before_that = "$", before
                continue
            if reader.token is token:
                reader.take()
            before, before_that = token.text, before
        self._parts.append(self._text[done:])
        owner = self._compiler.owner
        return SqlTemplate("".join(self._parts), self._gets, tuple(self._types), owner)

    def _variable(self, token: Token, before: str, before_that: str) -> tuple[str, int] | None:
        """What stands for a variable that begins here, and where it ends; None: it is SQL's."""
        if before in ("AS", ")") or (before in _BEFORE_TABLE and not self._inside_function()):
            return None
        symbol = self._compiler.scope.find(token.text)
        if symbol is None and not self._is_package_value(token):
            return None
        if token.text in self._columns and not isinstance(symbol, LabelSymbol | PackageSymbol):
            return None
        if symbol is not None and not isinstance(symbol, Var | LabelSymbol | PackageSymbol):
            return None
        expr = self._chain(symbol)
        if expr is None:
            return None
        typed = self._compiler.expression(expr)
        end = self._reader.ahead(-1).end
        key = self._text[token.start : end].upper()
        if isinstance(typed.type, RecordType):
            return self._fields(typed.get, typed.type, before), end
        is_model = before == "(" and before_that in ("TO_CHAR", "NVL", "ROUND", "TRUNC")
        return self._mark(typed.get, _declared(typed.type, is_model), key), end

    def _inside_function(self) -> bool:
        """Is the FROM before that of EXTRACT(YEAR FROM …) or TRIM(BOTH '0' FROM …)?"""
        ahead = self._reader.ahead
        for back in (-3, -4, -5):  # FROM is -1
            if self._reader.passed >= -back and ahead(back).text == "(":
                before = ahead(back - 1).text if self._reader.passed > -back else ""
                return before in ("EXTRACT", "TRIM")
        return False

    def _is_package_value(self, token: Token) -> bool:
        """A variable of a stored package: name.variable."""
        follows, after = self._reader.ahead(1), self._reader.ahead(2)
        if follows[:2] != (OPERATOR, ".") or after.kind not in (NAME, QUOTED):
            return False
        at = self._at + token.start
        found = self._compiler.symbol_or_none(Member(at, Name(at, token.text), after.text))
        return isinstance(found, Var)

    def _chain(self, symbol: object) -> Expr | None:
        """Pass name[.field][(index)]… as far as it belongs to the variable."""
        reader, compiler = self._reader, self._compiler
        start = reader.take()
        at = self._at + start.start
        expr: Expr = Name(at, start.text)
        if not isinstance(symbol, Var):
            if not (reader.is_op(".") and reader.ahead(1).kind in (NAME, QUOTED)):
                return None
            reader.take()
            expr = Member(at, expr, reader.take().text)
            if not isinstance(compiler.symbol_or_none(expr), Var):
                return None
        while True:
            known = compiler.expression(expr).type
            has_member = reader.is_op(".") and reader.ahead(1).kind in (NAME, QUOTED)
            if has_member and isinstance(known, RecordType | CollectionType):
                reader.take()
                expr = Member(at, expr, reader.take().text)
            elif reader.is_op("(") and isinstance(known, CollectionType):
                expr = Apply(at, expr, reader.arguments())
            else:
                return expr

    def _fields(self, get: Get, type_: RecordType, before: str) -> str:
        """A whole record: VALUES record."""
        marks = []
        for position, known in enumerate(type_.types):
            marks.append(self._mark(_field(get, position), _declared(known, False), ""))
        inside = ", ".join(marks)
        return f"({inside})" if before == "VALUES" else inside

    def _mark(self, get: Get, type_: SqlType | None, key: str) -> str:
        """$n for a value; the same variable has the same mark."""
        number = self._known.get(key) if key else None
        if number is None or self._types[number - 1] != type_:
            self._gets.append(get)
            self._types.append(type_)
            number = len(self._gets)
            if key:
                self._known[key] = number
        return f"${number}"


def _field(get: Get, position: int) -> Get:
    return lambda f: get(f).fields[position]


def _declared(type_: PlType | None, exact: bool) -> SqlType | None:
    """The type to declare for a parameter; None lets its place in the statement say it."""
    if not isinstance(type_, Scalar):
        if isinstance(type_, CollectionType):
            raise NotSupportedError("a whole collection in SQL is not supported")
        return None
    kind = type_.sql.kind
    if (kind in NUMERIC_KINDS or kind in TEXT_KINDS) and not exact:
        return None
    return SqlType(kind) if kind in NUMERIC_KINDS else type_.sql
