"""PL/SQL text → tree, by recursive descent. Pure.

SQL statements stay slices of the text: the SQL layer reads them when they are run.
"""

from __future__ import annotations

from data.plsql.declarations import DeclarationReader
from data.plsql.tokens import BIND, END, NAME, OPERATOR
from data.plsql.tree import (
    Apply,
    Assign,
    Block,
    Call,
    CaseOf,
    Close,
    Declaration,
    ExecuteImmediate,
    Expr,
    Fetch,
    ForAll,
    ForCursor,
    ForRange,
    Goto,
    Handler,
    If,
    Into,
    Label,
    Leave,
    Loop,
    Null,
    Open,
    Package,
    Raise,
    Return,
    Sql,
    Statement,
    Unit,
)
from protocol.errors import NotSupportedError, SqlSyntaxError

_SQL_WORDS = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH"}
    | {"COMMIT", "ROLLBACK", "SAVEPOINT", "LOCK", "SET", "CALL"}
)
_BODY_ENDS = ("END", "EXCEPTION", "ELSE", "ELSIF", "WHEN")


def parse_block(text: str) -> Block:
    """An anonymous block. Raises SqlSyntaxError, NotSupportedError."""
    reader = Parser(text)
    label = reader.label()
    block = reader.block(label)
    reader.end_of_text()
    return block


def parse_unit(text: str) -> Unit:
    """CREATE [OR REPLACE] PROCEDURE, FUNCTION, PACKAGE [BODY]. Raises SqlSyntaxError, …."""
    reader = Parser(text)
    unit = reader.unit()
    reader.end_of_text()
    return unit


class Parser(DeclarationReader):
    """Blocks and statements."""

    def end_of_text(self) -> None:
        """A last semicolon and a line with "/" may stand at the end."""
        self.accept_op(";")
        self.accept_op("/")
        if self.token.kind != END:
            raise self.error()

    # -- units -------------------------------------------------------------------------------------
    def unit(self) -> Unit:
        """A whole CREATE statement."""
        at = self.token.start
        self.expect("CREATE")
        replace = self.accept("OR", "REPLACE")
        for word in ("EDITIONABLE", "NONEDITIONABLE"):
            self.accept(word)
        if self.is_word("PROCEDURE", "FUNCTION"):
            kind = self.token.text
            name, content = self.subprogram(standalone=True)
            if content.body is None:
                raise self.error("IS")
            return Unit(at, kind, name, replace, content)
        self.expect("PACKAGE")
        is_body = self.accept("BODY")
        package = self._package(is_body)
        return Unit(at, "PACKAGE BODY" if is_body else "PACKAGE", package.name, replace, package)

    def _package(self, is_body: bool) -> Package:
        at = self.token.start
        name = self.dotted()
        by_caller = self.accept("AUTHID") and self.take().text == "CURRENT_USER"
        if not self.accept("IS"):
            self.expect("AS")
        declarations = self.declarations()
        body: list[Statement] = []
        handlers: list[Handler] = []
        if is_body and self.accept("BEGIN"):
            body = self.statements()
            handlers = self._handlers()
        self.expect("END")
        if self.token.kind == NAME:
            self._end_name(name[-1], self.token.start, self.dotted()[-1])
        return Package(at, name, declarations, body, is_body, handlers, by_caller)

    # -- blocks ------------------------------------------------------------------------------------
    def label(self) -> str:
        """<<name>>, or ""."""
        name = ""
        while self.accept_op("<<"):
            name = self.identifier()
            self.expect_op(">>")
        return name

    def block(self, label: str = "") -> Block:
        """[DECLARE …] BEGIN … END [name], without the semicolon."""
        at = self.token.start
        declared: list[Declaration] = self.declarations() if self.accept("DECLARE") else []
        return self.body(at, declared, label)

    def body(self, at: int, declared: list[Declaration], label: str = "", name: str = "") -> Block:
        """BEGIN … END [name]; name: the subprogram's, label: the block's own."""
        self.expect("BEGIN")
        statements = self.statements()
        handlers = self._handlers()
        self.expect("END")
        if self.token.kind == NAME and not self.is_word("LOOP", "IF", "CASE"):
            self._end_name(name or label, self.token.start, self.identifier())
        return Block(at, declared, statements, handlers, label)

    def _end_name(self, begun: str, at: int, ended: str) -> None:
        """What stands behind END. `begun`: "" for a block without a name."""
        if begun and ended != begun:
            raise SqlSyntaxError(f"END identifier '{ended}' must match '{begun}'", position=at + 1)

    def _handlers(self) -> list[Handler]:
        found: list[Handler] = []
        if not self.accept("EXCEPTION"):
            return found
        while self.is_word("WHEN"):
            at = self.take().start
            names: list[tuple[str, ...]] = []
            if not self.accept("OTHERS"):
                names.append(self.dotted())
                while self.accept("OR"):
                    names.append(self.dotted())
            self.expect("THEN")
            found.append(Handler(at, names, self.statements()))
        return found

    def statements(self) -> list[Statement]:
        """Statements up to END, EXCEPTION, ELSE, ELSIF, WHEN; at least one."""
        found: list[Statement] = []
        while not self.is_word(*_BODY_ENDS):
            label, at = "", self.token.start
            while self.accept_op("<<"):
                label = self.identifier()
                self.expect_op(">>")
                found.append(Label(at, label))
            found.append(self.statement(label))
        if not found:
            raise self.error("a statement (NULL; does nothing)")
        return found

    def statement(self, label: str = "") -> Statement:
        """One statement with its semicolon; `label`: the one before it."""
        token = self.token
        if token.kind == NAME:
            read = getattr(self, f"_{token.text.lower()}_statement", None)
            if read is not None and self._begins_statement():
                made: Statement = read(label) if token.text in _LABELLED else read()
                self.expect_op(";")
                return made
            if token.text in _SQL_WORDS and self._begins_statement():
                return self.sql()
            if token.text == "PIPE":
                raise NotSupportedError(f"{token.text} is not supported", position=token.start + 1)
        elif token.kind != BIND and token.kind != "quoted":
            raise self.error("a statement")
        return self._assignment_or_call()

    def _begins_statement(self) -> bool:
        """No assignment to, or call of, something with the name of a statement."""
        follows = self.ahead(1)
        return not (follows.kind == OPERATOR and follows.text in (":=", ".", "%"))

    def _assignment_or_call(self) -> Statement:
        at = self.token.start
        target = self._primary() if self.token.kind == BIND else self.chain()
        if self.accept_op(":="):
            value = self.expression()
            self.expect_op(";")
            return Assign(at, target, value)
        self.expect_op(";")
        return Call(at, target)

    # -- control -----------------------------------------------------------------------------------
    def _null_statement(self) -> Statement:
        return Null(self.take().start)

    def _pragma_statement(self) -> Statement:
        """PRAGMA INLINE: a hint."""
        at = self.take().start
        self.expect("INLINE")
        self._past_parentheses()
        return Null(at)

    def _goto_statement(self) -> Statement:
        return Goto(self.take().start, self.identifier("a label"))

    def _declare_statement(self, label: str) -> Statement:
        return self.block(label)

    def _begin_statement(self, label: str) -> Statement:
        return self.block(label)

    def _if_statement(self) -> Statement:
        at = self.take().start
        branches: list[tuple[Expr, list[Statement]]] = []
        otherwise: list[Statement] = []
        while True:
            condition = self.expression()
            self.expect("THEN")
            branches.append((condition, self.statements()))
            if not self.accept("ELSIF"):
                break
        if self.accept("ELSE"):
            otherwise = self.statements()
        self.expect("END", "IF")
        return If(at, branches, otherwise)

    def _case_statement(self) -> Statement:
        at = self.take().start
        operand = None if self.is_word("WHEN") else self.expression()
        whens: list[tuple[Expr, list[Statement]]] = []
        while self.accept("WHEN"):
            condition = self.expression()
            self.expect("THEN")
            whens.append((condition, self.statements()))
        otherwise = self.statements() if self.accept("ELSE") else None
        self.expect("END", "CASE")
        return CaseOf(at, operand, whens, otherwise)

    def _loop_body(self, label: str) -> list[Statement]:
        self.expect("LOOP")
        body = self.statements()
        self.expect("END", "LOOP")
        if self.token.kind == NAME:
            self._end_name(label, self.token.start, self.identifier())
        return body

    def _loop_statement(self, label: str) -> Statement:
        return Loop(self.token.start, label, None, self._loop_body(label))

    def _while_statement(self, label: str) -> Statement:
        at = self.take().start
        condition = self.expression()
        return Loop(at, label, condition, self._loop_body(label))

    def _for_statement(self, label: str) -> Statement:
        at = self.take().start
        variable = self.identifier()
        self.expect("IN")
        reverse = self.accept("REVERSE")
        if self.is_op("(") and self.ahead(1).text in ("SELECT", "WITH", "("):
            query = self._query_in_parentheses()
            if query is not None:
                return ForCursor(at, label, variable, query, self._loop_body(label))
        low = self._sum()
        if self.accept_op(".."):
            high = self._sum()
            return ForRange(at, label, variable, low, high, reverse, self._loop_body(label))
        return ForCursor(at, label, variable, low, self._loop_body(label))

    def _query_in_parentheses(self) -> Sql | None:
        """(SELECT …): a query; None, and nothing passed, if it is an expression."""
        ahead = 1
        while self.ahead(ahead).text == "(":
            ahead += 1
        if self.ahead(ahead).text not in ("SELECT", "WITH"):
            return None
        word = self.ahead(ahead).text
        start = self.token.end
        end = self._past_parentheses() - 1
        return Sql(start, end, word)

    def _exit_statement(self) -> Statement:
        return self._leave("EXIT")

    def _continue_statement(self) -> Statement:
        return self._leave("CONTINUE")

    def _leave(self, word: str) -> Statement:
        at = self.take().start
        label = ""
        if self.token.kind == NAME and not self.is_word("WHEN"):
            label = self.identifier()
        condition = self.expression() if self.accept("WHEN") else None
        return Leave(at, word, label, condition)

    def _return_statement(self) -> Statement:
        at = self.take().start
        return Return(at, None if self.is_op(";") else self.expression())

    def _raise_statement(self) -> Statement:
        at = self.take().start
        return Raise(at, () if self.is_op(";") else self.dotted())

    # -- cursors -----------------------------------------------------------------------------------
    def _open_statement(self) -> Statement:
        at = self.take().start
        cursor = self._target()
        if not self.accept("FOR"):
            if isinstance(cursor, Apply):
                return Open(at, cursor.base, cursor.arguments)
            return Open(at, cursor, [])
        query: Sql | Expr
        if self.is_word("SELECT", "WITH"):
            start, word = self.token.start, self.token.text
            self._skip_to_end()
            return Open(at, cursor, [], Sql(start, self.token.start, word))
        query = self.expression()
        using = [expr for _, expr in self._using()]
        return Open(at, cursor, [], query, using)

    def _fetch_statement(self) -> Statement:
        at = self.take().start
        cursor = self._target()
        bulk = self.accept("BULK", "COLLECT")
        self.expect("INTO")
        into = Into(self._targets(), bulk)
        limit = self.expression() if self.accept("LIMIT") else None
        return Fetch(at, cursor, into, limit)

    def _close_statement(self) -> Statement:
        at = self.take().start
        return Close(at, self._target())

    def _targets(self) -> list[Expr]:
        found = [self._target()]
        while self.accept_op(","):
            found.append(self._target())
        return found

    def _target(self) -> Expr:
        return self._primary() if self.token.kind == BIND else self.chain()

    # -- SQL ---------------------------------------------------------------------------------------
    def _execute_statement(self) -> Statement:
        at = self.take().start
        self.expect("IMMEDIATE")
        text = self._sum()
        into = None
        bulk = self.accept("BULK", "COLLECT")
        if self.accept("INTO"):
            into = Into(self._targets(), bulk)
        using = self._using()
        returning = None
        if self.accept("RETURNING") or self.accept("RETURN"):
            bulk = self.accept("BULK", "COLLECT")
            self.expect("INTO")
            returning = Into(self._targets(), bulk)
        return ExecuteImmediate(at, text, into, using, returning)

    def _using(self) -> list[tuple[str, Expr]]:
        found: list[tuple[str, Expr]] = []
        if not self.accept("USING"):
            return found
        while True:
            mode = "IN"
            if self.accept("IN", "OUT"):
                mode = "IN OUT"
            elif self.accept("OUT"):
                mode = "OUT"
            else:
                self.accept("IN")
            found.append((mode, self.expression()))
            if not self.accept_op(","):
                return found

    def _forall_statement(self) -> Statement:
        at = self.take().start
        variable = self.identifier()
        self.expect("IN")
        low = high = indices = values = None
        if self.accept("INDICES", "OF"):
            indices = self.chain()
            if self.accept("BETWEEN"):
                low = self._sum()
                self.expect("AND")
                high = self._sum()
        elif self.accept("VALUES", "OF"):
            values = self.chain()
        else:
            low = self._sum()
            self.expect_op("..")
            high = self._sum()
        save = self.accept("SAVE", "EXCEPTIONS")
        if self.is_word("EXECUTE"):
            sql = self._execute_statement()
        else:
            if not self.is_word("INSERT", "UPDATE", "DELETE", "MERGE"):
                raise self.error("INSERT, UPDATE, DELETE or MERGE")
            sql = self._sql_text()
        return ForAll(at, variable, low, high, indices, values, save, sql)

    def sql(self) -> Statement:
        """A SQL statement, its semicolon passed."""
        made = self._sql_text()
        self.expect_op(";")
        return made

    def _sql_text(self) -> Sql:
        token = self.token
        made = Sql(token.start, token.end, token.text)
        depth = 0
        while not (self.is_op(";") and not depth):
            token = self.token
            if token.kind == END:
                raise self.error('";"')
            if token.kind == OPERATOR and token.text in "()":
                depth += 1 if token.text == "(" else -1
            elif token.kind == NAME and not depth and made.into is None and self._into(made):
                continue
            made.end = self.take().end
        return made

    def _into(self, made: Sql) -> bool:
        """[BULK COLLECT] INTO of a SELECT, RETURNING … INTO of DML: passed, and noted."""
        start = self.token.start
        if self.is_word("BULK") and made.word not in ("INSERT", "MERGE"):
            self.expect("BULK", "COLLECT")
            self.expect("INTO")
            bulk = True
        elif self.is_word("INTO") and made.word in ("SELECT", "WITH"):
            self.take()
            bulk = False
        elif self.is_word("RETURNING", "RETURN") and made.word in ("INSERT", "UPDATE", "DELETE"):
            return self._returning(made)
        else:
            return False
        made.into = Into(self._targets(), bulk)
        made.into_at, made.into_end = start, self.token.start
        made.end = self.token.start
        return True

    def _returning(self, made: Sql) -> bool:
        self.take()
        depth = 0
        while depth or not self.is_word("INTO", "BULK"):
            token = self.take()
            if token.kind == END or (token.text == ";" and token.kind == OPERATOR):
                raise self.error("INTO")
            if token.kind == OPERATOR and token.text in "()":
                depth += 1 if token.text == "(" else -1
        made.into_at = self.token.start
        bulk = self.accept("BULK", "COLLECT")
        self.expect("INTO")
        made.into = Into(self._targets(), bulk)
        made.end = made.into_end = self.token.start
        return True

    def _skip_to_end(self) -> None:
        depth = 0
        while depth or not self.is_op(";"):
            token = self.take()
            if token.kind == END:
                raise self.error('";"')
            if token.kind == OPERATOR and token.text in "()":
                depth += 1 if token.text == "(" else -1


_LABELLED = frozenset({"DECLARE", "BEGIN", "LOOP", "WHILE", "FOR"})
