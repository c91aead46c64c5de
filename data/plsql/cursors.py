"""Cursors while they are open, and the statements on them."""

from __future__ import annotations

from collections.abc import Callable

from data.plsql import values
from data.plsql.context import Context
from data.plsql.current_of import CURRENT_OF
from data.plsql.cursor_state import FETCH_ROWS, CursorState
from data.plsql.dynamic import dynamic_sql
from data.plsql.errors import of_grid_error, predefined
from data.plsql.expressions import reading_cursor
from data.plsql.memory import Memory, rows_bytes
from data.plsql.scope import (
    CONTEXT,
    CursorSymbol,
    Frame,
    Get,
    Set,
    SqlTemplate,
    Typed,
    frame_of,
    writing,
)
from data.plsql.sqltext import sql_template
from data.plsql.targets import Targets
from data.plsql.tree import Argument, Close, Expr, Fetch, Member, Name, Open, Sql
from data.plsql.types import CursorType
from data.plsql.values import Value
from protocol.errors import GridError, SqlSyntaxError
from protocol.sqltypes import StorageRow

Run = Callable[[Frame], object]


def opened(context: Context, template: SqlTemplate, f: Frame, hidden: int = 0) -> CursorState:
    """Open the query of a template; `hidden`: columns at its end that nobody sees."""
    given = [values.to_storage(get(f)) for get in template.gets]
    try:
        rows = context.host.query(template.text, template.types, given, template.owner)
        return CursorState(rows, hidden)
    except GridError as error:
        raise of_grid_error(error) from error


class Cursors(Targets):
    """Compiles OPEN, FETCH, CLOSE; a part of the compiler."""

    def cursor_symbol(self, expr: Expr) -> CursorSymbol | None:
        """The explicit cursor that an expression names."""
        symbol = self.symbol_or_none(expr)
        return symbol if isinstance(symbol, CursorSymbol) else None

    def opener(self, symbol: CursorSymbol, arguments: list[Argument], at: int) -> Run:
        """Opens an explicit cursor: its arguments go into slots of their own."""
        template = symbol.template
        if template is None:
            raise SqlSyntaxError(f"cursor {symbol.name} has no query", position=at + 1)
        given = self._cursor_arguments(symbol, arguments, at)
        home = frame_of(symbol.activation, self.activation)
        slot, hidden = symbol.slot, len(symbol.key)

        def run(f: Frame) -> CursorState:
            frame = f if home is None else home(f)
            state = frame[slot]
            if state is not None and state.is_open:
                raise predefined("CURSOR_ALREADY_OPEN")
            for place, coerce, get, is_default in given:
                frame[place] = coerce(get(frame if is_default else f))
            frame[slot] = made = opened(f[CONTEXT], template, frame, hidden)
            return made

        return run

    def _cursor_arguments(
        self, symbol: CursorSymbol, arguments: list[Argument], at: int
    ) -> list[tuple[int, Callable[[Value], Value], Get, bool]]:
        by_name = {argument.name: argument.value for argument in arguments if argument.name}
        placed = [argument.value for argument in arguments if not argument.name]
        found: list[tuple[int, Callable[[Value], Value], Get, bool]] = []
        for number, parameter in enumerate(symbol.parameters):
            given = placed[number] if number < len(placed) else by_name.pop(parameter.name, None)
            get = self.get(given) if given is not None else parameter.default
            if get is None:
                raise SqlSyntaxError(
                    f"cursor {symbol.name} wants its parameter {parameter.name}", position=at + 1
                )
            found.append((parameter.slot, parameter.type.coerce, get, given is None))
        if len(placed) > len(symbol.parameters) or by_name:
            raise SqlSyntaxError(f"too many arguments for cursor {symbol.name}", position=at + 1)
        return found

    def _open(self, statement: Open) -> Run:
        symbol = self.cursor_symbol(statement.cursor)
        if symbol is not None and statement.query is None:
            run = self.opener(symbol, statement.arguments, statement.at)

            def explicit(f: Frame) -> None:
                run(f)

            return explicit
        if statement.query is None:
            raise SqlSyntaxError("OPEN of a cursor variable needs FOR", position=statement.at + 1)
        put = self.setter(statement.cursor, CursorType())
        if isinstance(statement.query, Sql):
            sql = statement.query
            template = sql_template(self, self.text[sql.at : sql.end], sql.at)
            return self._open_static(put, template)
        return self._open_dynamic(put, self.get(statement.query), statement.using)

    def _open_static(self, put: Set, template: SqlTemplate) -> Run:
        def run(f: Frame) -> None:
            put(f, opened(f[CONTEXT], template, f))

        return run

    def _open_dynamic(self, put: Set, text: Get, using: list[Expr]) -> Run:
        gets = [self.get(expr) for expr in using]
        owner = self.owner

        def run(f: Frame) -> None:
            sql = dynamic_sql(values.text(text(f)) or "", len(gets))
            given = [values.to_storage(get(f)) for get in gets]
            types = tuple(None for _ in given)
            try:
                put(f, CursorState(f[CONTEXT].host.query(sql, types, given, owner)))
            except GridError as error:
                raise of_grid_error(error) from error

        return run

    def state_of(self, expr: Expr) -> Typed:
        """The state of a cursor or cursor variable."""
        symbol = self.cursor_symbol(expr)
        if symbol is not None:
            return Typed(reading_cursor(symbol, self.activation), CursorType())
        return self.expression(expr)

    def _fetch(self, statement: Fetch) -> Run:
        state = self.state_of(statement.cursor).get
        into = statement.into
        if not into.bulk:
            put = self.row_setter(into)

            def one(f: Frame) -> None:
                cursor = _open_one(state(f))
                found = cursor.next(1)
                if found:
                    put(f, cursor.columns, found[0])  # type: ignore[arg-type]

            return one
        put_all = self.bulk_setter(into)
        limit = self.get(statement.limit) if statement.limit is not None else None

        def bulk(f: Frame) -> None:
            cursor = _open_one(state(f))
            wanted = 1 << 60 if limit is None else int(values.number(limit(f)) or 0)
            if wanted <= 0:
                raise predefined("VALUE_ERROR", ": LIMIT is at least 1")
            if limit is None:
                rows = _all(cursor, f[CONTEXT].packages.memory)
                cursor.found = bool(rows)
            else:
                rows = cursor.next(wanted)
                cursor.found = len(rows) == wanted  # as Oracle has it
            put_all(f, cursor.columns, rows)

        return bulk

    def _close(self, statement: Close) -> Run:
        state = self.state_of(statement.cursor).get

        def run(f: Frame) -> None:
            _open_one(state(f)).close()

        return run

    def current_of(self, text: str, at: int) -> str:
        """DML with WHERE CURRENT OF cursor: by the key of the cursor's row."""
        match = CURRENT_OF.search(text)
        if match is None:
            return text
        names = [part.strip().upper() for part in match[1].split(".")]
        expr: Expr = Name(at, names[0])
        for name in names[1:]:
            expr = Member(at, expr, name)
        symbol = self.cursor_symbol(expr)
        if symbol is None:
            raise self.undeclared(match[1], at + match.start(1))
        if not symbol.key:
            raise SqlSyntaxError(
                f"CURRENT OF {symbol.name}: its query is not SELECT … FROM table … FOR UPDATE",
                hint="The table needs a primary key; without one, select a key and use it.",
                position=at + match.start() + 1,
            )
        state = reading_cursor(symbol, self.activation)
        conditions = []
        for number, key in enumerate(symbol.key):
            mark = f"CURRENT_OF_{len(self.current) + 1}_"
            self.current[mark] = _key_part(state, number)
            conditions.append(f'"{key}" = :{mark}')
        return f"{text[: match.start()]}WHERE {' AND '.join(conditions)}{text[match.end() :]}"

    def close_cursor(self, symbol: CursorSymbol) -> Set:
        """Forgets an explicit cursor."""
        return writing(symbol.activation, symbol.slot, self.activation)


def _key_part(state: Get, number: int) -> Get:
    return lambda f: _open_one(state(f)).key_part(number)


def _all(cursor: CursorState, memory: Memory) -> list[StorageRow]:
    """The rest of its rows. Raises STORAGE_ERROR."""
    rows: list[StorageRow] = []
    held = 0
    try:
        while more := cursor.next(FETCH_ROWS * 10):
            size = rows_bytes(more)
            memory.take(size)
            held += size
            rows += more
    finally:
        memory.give(held)
    return rows


def _open_one(state: Value) -> CursorState:
    if not isinstance(state, CursorState) or not state.is_open:
        raise predefined("INVALID_CURSOR")
    return state
