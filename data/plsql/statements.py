"""Statements → closures. A closure gives None, or a signal: something leaves a loop or the unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from data.plsql import values
from data.plsql.cursors import Run, opened
from data.plsql.errors import PREDEFINED, PlError, of_grid_error, predefined
from data.plsql.scope import (
    CONTEXT,
    ExceptionSymbol,
    Frame,
    Scope,
    Typed,
    Var,
)
from data.plsql.sqlstatements import SqlStatements
from data.plsql.sqltext import sql_template
from data.plsql.tokens import line_of
from data.plsql.tree import (
    Apply,
    Argument,
    Assign,
    Bind,
    Block,
    Call,
    CaseOf,
    Close,
    ExecuteImmediate,
    Fetch,
    ForAll,
    ForCursor,
    ForRange,
    Goto,
    Handler,
    If,
    Label,
    Leave,
    Loop,
    Member,
    Name,
    Null,
    Open,
    Raise,
    Return,
    Sql,
    Statement,
)
from data.plsql.types import RecordType, Scalar
from data.plsql.values import Value
from data.sql.numbers import round_decimal
from protocol.errors import GridError, SqlSyntaxError
from protocol.sqltypes import BIGINT

_OTHER_FAULTS = (GridError, ArithmeticError, RecursionError)


class Returned:
    """RETURN was executed."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value


class Left:
    """EXIT or CONTINUE is on its way to its loop."""

    __slots__ = ("label", "stays")

    def __init__(self, stays: bool, label: str) -> None:
        self.stays = stays
        self.label = label


class Gone:
    """GOTO is on its way to its label."""

    __slots__ = ("label",)

    def __init__(self, label: str) -> None:
        self.label = label


class Statements(SqlStatements):
    """Compiles statements; a part of the compiler."""

    loops: list[str]  # labels of the loops around, the innermost last
    labels: list[dict[str, int]]  # of the sequences around: where each goes on
    returns: Typed | None
    is_function: bool
    unit_name: str
    gone_to: set[str]  # labels that a GOTO names

    def block(self, block: Block) -> Run:
        """See compiler.py."""
        raise NotImplementedError

    def sequence(self, statements: list[Statement]) -> Run:
        """Statements one after the other; an exception gets the line it came from."""
        labels: dict[str, int] = {}
        plain: list[Statement] = []
        for one in statements:
            if isinstance(one, Label):
                labels[one.name] = len(plain)
            else:
                plain.append(one)
        self.labels.append(labels)
        try:
            made: list[Run] = []
            for one in plain:
                with self.noted(one.at):
                    made.append(self.statement(one))
            closures = tuple(made)
        finally:
            self.labels.pop()
        places = [statement.at for statement in plain]
        if labels.keys() & self.gone_to:
            return _with_gotos(closures, places, labels, self._in_order)
        return self._in_order(closures, places)

    def as_statement(self, run: Run, at: int) -> Run:
        """One closure as a whole body: its exceptions get their line."""
        return self._in_order((run,), [at])

    @contextmanager
    def noted(self, at: int) -> Iterator[None]:
        """What is compiled inside may be wrong: it is noted, and the next is looked at."""
        scope = self.scope
        try:
            yield
        except GridError as error:
            if not error.position or error.position > len(self.text):
                error.position = at + 1
            if self.note_fault is None:
                raise
            self.scope = scope
            self.note_fault(error)

    def _in_order(self, closures: tuple[Run, ...], places: list[int]) -> Run:
        text, name = self.text, self.unit_name

        def run(f: Frame) -> object:
            at = 0
            try:
                for closure in closures:
                    signal = closure(f)
                    if signal is not None:
                        return signal
                    at += 1
            except PlError as error:
                _note(error, text, name, places[at])
                raise
            except _OTHER_FAULTS as error:
                made = as_exception(error)
                _note(made, text, name, places[at])
                raise made from error
            return None

        return run

    def statement(self, statement: Statement) -> Run:
        """One statement."""
        handler: Callable[..., Run] = _HANDLERS[type(statement)]
        return handler(self, statement)

    # -- simple ones -------------------------------------------------------------------------------
    def _null(self, statement: Null) -> Run:
        return lambda f: None

    def _goto(self, statement: Goto) -> Run:
        if not any(statement.label in known for known in self.labels):
            raise SqlSyntaxError(
                f"GOTO cannot reach the label {statement.label}: it is not in a block around",
                position=statement.at + 1,
            )
        self.gone_to.add(statement.label)
        signal = Gone(statement.label)
        return lambda f: signal

    def _assign(self, statement: Assign) -> Run:
        value = self.expression(statement.value)
        get, put = value.get, self.setter(statement.target)
        self.note_out(statement.target, value.type)
        if isinstance(statement.value, Bind) and not isinstance(statement.target, Bind):
            self.note_bind(statement.value.name, self.expression(statement.target).type)

        def run(f: Frame) -> None:
            put(f, get(f))

        return run

    def _call(self, statement: Call) -> Run:
        target = statement.target
        arguments: list[Argument] = []
        if isinstance(target, Apply):
            arguments, target = target.arguments, target.base
        if isinstance(target, Member) and self._is_method(target):
            gets = [self.get(argument.value) for argument in arguments]
            run = self.method(self.expression(target.base), target.name, gets, target.at)
        else:
            run = self.call(target, arguments, as_function=False).get

        def call(f: Frame) -> None:
            run(f)

        return call

    def _is_method(self, target: Member) -> bool:
        if self.symbol_or_none(target) is not None:
            return False
        base = target.base
        while isinstance(base, Member | Apply):
            base = base.base
        return isinstance(base, Name) and (
            isinstance(self.scope.find(base.name), Var)
            or isinstance(self.symbol_or_none(target.base), Var)
        )

    def _return(self, statement: Return) -> Run:
        if statement.value is None:
            if self.is_function:
                raise SqlSyntaxError("a function returns a value", position=statement.at + 1)
            done = Returned(None)
            return lambda f: done
        if not self.is_function:
            raise SqlSyntaxError("only a function returns a value", position=statement.at + 1)
        get = self.get(statement.value)
        return lambda f: Returned(get(f))

    def _raise(self, statement: Raise) -> Run:
        if not statement.name:

            def again(f: Frame) -> None:
                errors = f[CONTEXT].errors
                if not errors:
                    raise predefined("PROGRAM_ERROR", ": RAISE; outside of a handler")
                raise errors[-1]

            return again
        symbol = self.exception(statement.name, statement.at)

        def run(f: Frame) -> None:
            raise PlError(symbol.name, symbol.code, symbol.message, identity=symbol)

        return run

    # -- branches ----------------------------------------------------------------------------------
    def _if(self, statement: If) -> Run:
        branches = [
            (self.condition(when), self.sequence(then)) for when, then in statement.branches
        ]
        otherwise = self.sequence(statement.otherwise) if statement.otherwise else None
        if len(branches) == 1:
            when, then = branches[0]
            if otherwise is None:
                return lambda f: then(f) if when(f) else None
            other = otherwise
            return lambda f: then(f) if when(f) else other(f)

        def run(f: Frame) -> object:
            for when, then in branches:
                if when(f):
                    return then(f)
            return otherwise(f) if otherwise is not None else None

        return run

    def _case_of(self, statement: CaseOf) -> Run:
        whens = [(self.get(when), self.sequence(then)) for when, then in statement.whens]
        otherwise = self.sequence(statement.otherwise) if statement.otherwise is not None else None
        operand = self.get(statement.operand) if statement.operand is not None else None

        def run(f: Frame) -> object:
            value = operand(f) if operand is not None else True
            for when, then in whens:
                if (when(f) is True) if operand is None else values.equal(value, when(f)):
                    return then(f)
            if otherwise is None:
                raise predefined("CASE_NOT_FOUND")
            return otherwise(f)

        return run

    # -- loops -------------------------------------------------------------------------------------
    def _body(self, label: str, statements: list[Statement]) -> Run:
        self.loops.append(label)
        try:
            return self.sequence(statements)
        finally:
            self.loops.pop()

    def _loop(self, statement: Loop) -> Run:
        when = self.condition(statement.condition) if statement.condition is not None else None
        body, label = self._body(statement.label, statement.body), statement.label

        def run(f: Frame) -> object:
            tick = f[CONTEXT].tick
            while when is None or when(f):
                signal = body(f)
                if signal is not None and not _stays(signal, label):
                    return _past(signal, label)
                tick()
            return None

        return run

    def _for_range(self, statement: ForRange) -> Run:
        low, high = self.get(statement.low), self.get(statement.high)
        slot, label, reverse = self.activation.slot(), statement.label, statement.reverse
        with self.inner(label) as scope:
            scope.names[statement.variable] = Var(self.activation, slot, Scalar(BIGINT), False)
            body = self._body(label, statement.body)

        def run(f: Frame) -> object:
            first, last = _bound(low(f)), _bound(high(f))
            tick = f[CONTEXT].tick
            numbers = range(last, first - 1, -1) if reverse else range(first, last + 1)
            for number in numbers:
                f[slot] = number
                signal = body(f)
                if signal is not None and not _stays(signal, label):
                    return _past(signal, label)
                tick()
            return None

        return run

    def _for_cursor(self, statement: ForCursor) -> Run:
        opener, row = self._loop_cursor(statement)
        slot, label = self.activation.slot(), statement.label
        with self.inner(label) as scope:
            scope.names[statement.variable] = Var(self.activation, slot, row, False)
            body = self._body(label, statement.body)

        def run(f: Frame) -> object:
            tick = f[CONTEXT].tick
            state = opener(f)
            readers = [values.reader(column.type) for column in state.columns]
            try:
                while found := state.next(1):
                    read = [r(v) for r, v in zip(readers, found[0], strict=True)]
                    f[slot] = row.made(read)
                    signal = body(f)
                    if signal is not None and not _stays(signal, label):
                        return _past(signal, label)
                    tick()
            finally:
                if state.is_open:
                    state.close()
            return None

        return run

    def _loop_cursor(self, statement: ForCursor) -> tuple[Callable[[Frame], Value], RecordType]:
        cursor = statement.cursor
        if isinstance(cursor, Sql):
            text = self.text[cursor.at : cursor.end]
            template = sql_template(self, text, cursor.at)
            columns = self.hooks.describe(template.text, template.types)
            if columns is None:
                raise SqlSyntaxError("FOR … IN needs a query", position=cursor.at + 1)
            return lambda f: opened(f[CONTEXT], template, f), self.record_of(columns)
        arguments: list[Argument] = []
        if isinstance(cursor, Apply):
            arguments, cursor = cursor.arguments, cursor.base
        symbol = self.cursor_symbol(cursor)
        if symbol is None or symbol.row is None:
            raise SqlSyntaxError(
                "FOR … IN needs low .. high, a cursor or a query", position=statement.at + 1
            )
        return self.opener(symbol, arguments, statement.at), symbol.row

    def _leave(self, statement: Leave) -> Run:
        if not self.loops:
            raise SqlSyntaxError(f"{statement.word} outside of a loop", position=statement.at + 1)
        if statement.label and statement.label not in self.loops:
            raise SqlSyntaxError(
                f"no loop around has the label {statement.label}", position=statement.at + 1
            )
        signal = Left(statement.word == "CONTINUE", statement.label)
        if statement.condition is None:
            return lambda f: signal
        when = self.condition(statement.condition)
        return lambda f: signal if when(f) else None

    # -- exceptions --------------------------------------------------------------------------------
    def inner(self, label: str) -> Scoped:
        """A scope inside the present one, for a `with`."""
        return Scoped(self, Scope(self.scope, self.activation, label))

    def exception(self, names: tuple[str, ...], at: int) -> ExceptionSymbol:
        """The exception of a name. Raises UnknownObjectError."""
        expr: Name | Member = Name(at, names[0])
        for name in names[1:]:
            expr = Member(at, expr, name)
        symbol = self.symbol_or_none(expr)
        if isinstance(symbol, ExceptionSymbol):
            return symbol
        known = PREDEFINED.get(names[-1])
        if known is not None and (len(names) == 1 or names[0] == "STANDARD"):
            return ExceptionSymbol(names[-1], *known)
        raise self.undeclared(".".join(names), at)

    def guarded(self, body: Run, handlers: list[Handler]) -> Run:
        """A body with its exception handlers."""
        compiled = [
            (
                [self.exception(names, handler.at) for names in handler.names],
                self.sequence(handler.body),
            )
            for handler in handlers
        ]

        def run(f: Frame) -> object:
            try:
                return body(f)
            except PlError as error:
                handle = _handler_of(compiled, error)
                if handle is None:
                    raise
                caught = error
            errors = f[CONTEXT].errors
            errors.append(caught)
            try:
                return handle(f)
            finally:
                errors.remove(caught)
                del caught  # its traceback holds this frame, and so what the block holds

        return run


class Scoped:
    """Makes a scope the compiler's present one for a while."""

    def __init__(self, compiler: Statements, scope: Scope) -> None:
        self._compiler = compiler
        self._scope = scope
        self._before = compiler.scope

    def __enter__(self) -> Scope:
        self._compiler.scope = self._scope
        return self._scope

    def __exit__(self, *_: object) -> None:
        self._compiler.scope = self._before


def _with_gotos(
    closures: tuple[Run, ...],
    places: list[int],
    labels: dict[str, int],
    in_order: Callable[[tuple[Run, ...], list[int]], Run],
) -> Run:
    """A sequence that a GOTO leads to: from each label on, one run."""
    begin = in_order(closures, places)
    later = {name: in_order(closures[at:], places[at:]) for name, at in labels.items()}

    def run(f: Frame) -> object:
        signal = begin(f)
        while type(signal) is Gone and signal.label in later:
            f[CONTEXT].tick()
            signal = later[signal.label](f)
        return signal

    return run


def _stays(signal: object, label: str) -> bool:
    """CONTINUE of the loop with this label: its next iteration comes."""
    return type(signal) is Left and signal.stays and signal.label in ("", label)


def _past(signal: object, label: str) -> object:
    """What comes out of a loop that a signal ends: nothing, if it was meant for this loop."""
    return None if type(signal) is Left and signal.label in ("", label) else signal


def _handler_of(handlers: list[tuple[list[ExceptionSymbol], Run]], error: PlError) -> Run | None:
    """The first handler that names the exception, or OTHERS."""
    for wanted, handle in handlers:
        if not wanted or any(_matches(symbol, error) for symbol in wanted):
            return handle
    return None


def _matches(symbol: ExceptionSymbol, error: PlError) -> bool:
    if error.identity is symbol:
        return True
    return symbol.code != 1 and symbol.code == error.code


def as_exception(error: BaseException) -> PlError:
    """A fault in an expression as the exception PL/SQL has for it."""
    if isinstance(error, GridError):
        return of_grid_error(error)
    if isinstance(error, RecursionError):
        return predefined("STORAGE_ERROR", ": too many calls inside one another")
    if isinstance(error, ZeroDivisionError):
        return predefined("ZERO_DIVIDE")
    return predefined("VALUE_ERROR", f": {error}")


def _note(error: PlError, text: str, name: str, at: int) -> None:
    line, _ = line_of(text, at)
    shown = f'at "{name}", line {line}' if name else f"at line {line}"
    if len(error.lines) < 20 and (not error.lines or error.lines[-1] != shown):
        error.lines.append(shown)


def _bound(value: Value) -> int:
    if type(value) is int:
        return value
    number = values.number(value)
    if number is None:
        raise predefined("VALUE_ERROR", ": a bound of the loop is NULL")
    return int(round_decimal(Decimal(number), 0))


_HANDLERS: dict[type, Callable[..., Run]] = {
    Null: Statements._null,
    Goto: Statements._goto,
    Assign: Statements._assign,
    Call: Statements._call,
    Return: Statements._return,
    Raise: Statements._raise,
    If: Statements._if,
    CaseOf: Statements._case_of,
    Loop: Statements._loop,
    ForRange: Statements._for_range,
    ForCursor: Statements._for_cursor,
    Leave: Statements._leave,
    Block: lambda compiler, statement: compiler.block(statement),
    Sql: Statements._sql,
    Open: Statements._open,
    Fetch: Statements._fetch,
    Close: Statements._close,
    ExecuteImmediate: Statements._execute,
    ForAll: Statements._forall,
}
