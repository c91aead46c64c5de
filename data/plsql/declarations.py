"""The declarations of PL/SQL: variables, types, cursors, exceptions, subprograms. Pure."""

from __future__ import annotations

from data.plsql.errors import NO_DATA_CODE, NO_DATA_NUMBER
from data.plsql.reading import Reader
from data.plsql.tokens import NAME, NUMBER, STRING
from data.plsql.tree import (
    Block,
    CursorName,
    Declaration,
    ExceptionName,
    Parameter,
    Sql,
    Subprogram,
    TypeName,
    TypeRef,
    Variable,
)
from protocol.errors import NotSupportedError, SqlSyntaxError

_REFUSED_PRAGMAS = ("AUTONOMOUS_TRANSACTION", "RESTRICT_REFERENCES", "SERIALLY_REUSABLE")
_TWO_WORDS = {("DOUBLE", "PRECISION"), ("LONG", "RAW"), ("CHARACTER", "VARYING")}


class DeclarationReader(Reader):
    """Reads declarations up to BEGIN or END."""

    def body(self, at: int, declared: list[Declaration], label: str = "", name: str = "") -> Block:
        """BEGIN … END: see Parser."""
        raise NotImplementedError

    def declarations(self) -> list[Declaration]:
        """All up to BEGIN or END."""
        found: list[Declaration] = []
        while not self.is_word("BEGIN", "END"):
            if self.accept("PRAGMA"):
                self._pragma(found)
                continue
            made = self._declaration()
            if isinstance(made, Subprogram) and made.body is not None:
                self.accept_op(";")
            else:
                self.expect_op(";")
            found.append(made)
        return found

    def _pragma(self, found: list[Declaration]) -> None:
        position = self.token.start + 1
        name = self.identifier()
        if name in _REFUSED_PRAGMAS:
            raise NotSupportedError(f"PRAGMA {name} is not supported", position=position)
        if name == "EXCEPTION_INIT":
            self.expect_op("(")
            wanted = self.identifier()
            self.expect_op(",")
            code = self.number()
            if code == -NO_DATA_NUMBER or (code >= 0 and code != NO_DATA_CODE):
                raise SqlSyntaxError(
                    f"{code} is no number of an error for PRAGMA EXCEPTION_INIT",
                    hint="Errors are negative; NO_DATA_FOUND is 100.",
                    position=position,
                )
            self.expect_op(")")
            for declaration in found:
                if isinstance(declaration, ExceptionName) and declaration.name == wanted:
                    declaration.code = code
                    break
            else:
                raise self.error("the name of an exception declared before")
        elif self.is_op("("):
            self._past_parentheses()
        self.expect_op(";")

    def _declaration(self) -> Declaration:
        token = self.token
        follows = self.ahead(1)
        if token.kind == NAME and follows.kind in (NAME, "quoted"):
            if token.text in ("PROCEDURE", "FUNCTION"):
                return self.subprogram()[1]
            if token.text == "CURSOR":
                return self._cursor()
            if token.text in ("TYPE", "SUBTYPE") and self.ahead(2).text == "IS":
                return self._type()
        at, name = token.start, self.identifier()
        if self.accept("EXCEPTION"):
            return ExceptionName(at, name)
        constant = self.accept("CONSTANT")
        made = Variable(at, name, self.type(), constant=constant)
        if self.accept_op(":=") or self.accept("DEFAULT"):
            made.default = self.expression()
        elif constant or made.type.not_null:
            raise self.error('":=" and a value')
        return made

    # -- types -------------------------------------------------------------------------------------
    def type(self) -> TypeRef:
        """A type as written, with NOT NULL."""
        at = self.token.start
        names = [self.identifier("a type")]
        if names[0] == "REF" and self.accept("CURSOR"):
            return TypeRef(at, ("REF CURSOR",))
        while self.accept_op("."):
            names.append(self.identifier())
        if (names[0], self.token.text) in _TWO_WORDS:
            names[0] += f" {self.take().text}"
        made = TypeRef(at, tuple(names))
        if self.accept_op("%"):
            made.attribute = self.identifier("TYPE or ROWTYPE")
            if made.attribute not in ("TYPE", "ROWTYPE"):
                raise self.error("TYPE or ROWTYPE")
        elif self.accept_op("("):
            made.arguments = self._lengths()
        self._type_tail(made)
        return made

    def _type_tail(self, made: TypeRef) -> None:
        if made.name[0] == "INTERVAL":
            words: list[str] = []
            while self.is_word("DAY", "SECOND", "YEAR", "MONTH", "TO"):
                words.append(self.take().text)
                if self.accept_op("("):
                    self._lengths()
            made.name = (" ".join(["INTERVAL", *words]),)
        elif made.name[0] == "TIMESTAMP" and self.accept("WITH"):
            self.accept("LOCAL")
            self.expect("TIME", "ZONE")
            made.name = ("TIMESTAMP WITH TIME ZONE",)
        made.not_null = self.accept("NOT", "NULL")
        if not made.not_null:
            self.accept("NULL")

    def _lengths(self) -> tuple[int | str, ...]:
        found: list[int | str] = []
        while not self.accept_op(")"):
            token = self.token
            if token.kind == NUMBER or self.is_op("-"):
                found.append(self.number())
            elif token.kind in (NAME, STRING) or self.is_op("*"):
                found.append(self.take().text)
            else:
                raise self.error("a length")
            self.accept_op(",")
        return tuple(found)

    def _type(self) -> Declaration:
        at, word = self.token.start, self.take().text
        name = self.identifier()
        self.expect("IS")
        if word == "SUBTYPE":
            base = self.type()
            made = TypeName(at, name, "subtype", element=base)
            if self.accept("RANGE"):
                made.low = self._sum()
                self.expect_op("..")
                made.high = self._sum()
            base.not_null = base.not_null or self.accept("NOT", "NULL")
            return made
        if self.accept("RECORD"):
            return TypeName(at, name, "record", fields=self._fields())
        if self.accept("REF", "CURSOR"):
            if self.accept("RETURN"):
                self.type()
            return TypeName(at, name, "ref cursor")
        if self.accept("TABLE"):
            self.expect("OF")
            made = TypeName(at, name, "table", element=self.type())
            if self.accept("INDEX"):
                self.expect("BY")
                made.index = self.type()
            return made
        if self.accept("VARRAY") or self.accept("VARYING", "ARRAY"):
            self.expect_op("(")
            limit = self.number()
            self.expect_op(")")
            self.expect("OF")
            return TypeName(at, name, "varray", element=self.type(), limit=limit)
        raise self.error("RECORD, TABLE OF, VARRAY or REF CURSOR")

    def _fields(self) -> list[Variable]:
        self.expect_op("(")
        found: list[Variable] = []
        while True:
            at, name = self.token.start, self.identifier()
            one = Variable(at, name, self.type())
            if self.accept_op(":=") or self.accept("DEFAULT"):
                one.default = self.expression()
            found.append(one)
            if not self.accept_op(","):
                break
        self.expect_op(")")
        return found

    # -- cursors and subprograms -------------------------------------------------------------------
    def _cursor(self) -> Declaration:
        at = self.take().start
        name = self.identifier()
        parameters = self.parameters()
        if self.accept("RETURN"):
            self.type()
        query = None
        if self.accept("IS") or self.accept("AS"):
            start, word = self.token.start, self.token.text
            if word not in ("SELECT", "WITH") and not self.is_op("("):
                raise self.error("SELECT")
            self._skip_to_end()
            query = Sql(start, self.token.start, word)
        return CursorName(at, name, parameters, query)

    def _skip_to_end(self) -> None:
        raise NotImplementedError

    def parameters(self) -> list[Parameter]:
        """(name [IN] [OUT] [NOCOPY] type [:= default], …), or nothing."""
        found: list[Parameter] = []
        if not self.accept_op("("):
            return found
        while True:
            at, name = self.token.start, self.identifier()
            mode = "IN"
            if self.accept("IN"):
                mode = "IN OUT" if self.accept("OUT") else "IN"
            elif self.accept("OUT"):
                mode = "OUT"
            self.accept("NOCOPY")
            one = Parameter(at, name, self.type(), mode)
            if self.accept_op(":=") or self.accept("DEFAULT"):
                one.default = self.expression()
            found.append(one)
            if not self.accept_op(","):
                break
        self.expect_op(")")
        return found

    def subprogram(self, standalone: bool = False) -> tuple[tuple[str, ...], Subprogram]:
        """PROCEDURE or FUNCTION, with its body if it has one; its whole name, and it."""
        at = self.token.start
        is_function = self.take().text == "FUNCTION"
        names = self.dotted()
        if len(names) > 1 and not standalone:
            raise self.error('"("')
        parameters = self.parameters()
        returns = None
        if is_function:
            self.expect("RETURN")
            returns = self.type()
        by_caller = False
        while self.is_word("DETERMINISTIC", "AUTHID", "PARALLEL_ENABLE", "RESULT_CACHE"):
            word = self.token
            if word.text == "RESULT_CACHE":
                raise NotSupportedError("RESULT_CACHE is not supported", position=word.start + 1)
            self.take()
            if word.text == "AUTHID":
                by_caller = self.identifier() == "CURRENT_USER"
        if not self.is_word("IS", "AS"):
            return names, Subprogram(at, names[-1], parameters, returns, None)
        self.take()
        if self.is_word("LANGUAGE", "EXTERNAL"):
            raise NotSupportedError("external procedures are not supported", position=at + 1)
        declared = self.declarations()
        body = self.body(at, declared, name=names[-1])
        return names, Subprogram(at, names[-1], parameters, returns, body, by_caller)
