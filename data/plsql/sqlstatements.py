"""SQL statements in a block: SELECT INTO, DML, FORALL, EXECUTE IMMEDIATE, COMMIT and ROLLBACK."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from data.plsql import values
from data.plsql.cursors import Cursors, Run
from data.plsql.dynamic import dynamic_sql
from data.plsql.errors import PlError, of_grid_error, predefined
from data.plsql.memory import rows_bytes
from data.plsql.scope import CONTEXT, Frame, SqlTemplate, Var
from data.plsql.sqltext import sql_template
from data.plsql.tree import ExecuteImmediate, ForAll, Into, Sql
from data.plsql.types import Collection, Scalar
from data.plsql.values import Value
from protocol.errors import GridError, NotSupportedError, SqlSyntaxError
from protocol.sqltypes import BIGINT, StorageRow

_SET_ROW = re.compile(r"\bSET\s+ROW\s*=\s*", re.IGNORECASE)
_RECORD = re.compile(r"[\w$#]+(?:\.[\w$#]+|\([^)]*\))*")
_RETURNING_INTO = re.compile(r"\s(?:BULK\s+COLLECT\s+)?INTO\s+:\w+(?:\s*,\s*:\w+)*$", re.IGNORECASE)
FETCH_ROWS = 1000
_NEEDS_ENDING = ("SAVEPOINT", "SET", "LOCK")
_FORALL_ERRORS = -24381
_MISSING = ("42P01", "42703")

_OUT_OF_A_BLOCK = NotSupportedError(
    "OUT in USING is for blocks only", hint="RETURNING INTO, or INTO."
)


class SqlStatements(Cursors):
    """Compiles SQL statements; a part of the compiler."""

    note_fault: Callable[[GridError], None] | None  # set, in stored units: goes on after a fault

    def _sql(self, statement: Sql) -> Run:
        word = statement.word
        if word == "COMMIT":
            return lambda f: _ended(f, "commit")
        if word == "ROLLBACK":
            text = self.text[statement.at : statement.end].upper()
            if " TO " not in f" {text} ":
                return lambda f: _ended(f, "roll_back")
            raise NotSupportedError(
                "ROLLBACK TO in PL/SQL is not supported",
                hint="An exception handler keeps what was done before the statement that failed.",
                position=statement.at + 1,
            )
        if word in _NEEDS_ENDING:
            raise NotSupportedError(f"{word} in PL/SQL is not supported", position=statement.at + 1)
        template = self.template_of(statement)
        self._must_name_what_is_there(template)
        if word in ("SELECT", "WITH"):
            if statement.into is None:
                raise SqlSyntaxError(
                    "an INTO clause is expected in this SELECT statement",
                    position=statement.at + 1,
                )
            return self._select(template, statement.into)
        if statement.into is not None:
            return self._returning(template, statement.into)
        return _changing(template)

    def _must_name_what_is_there(self, template: SqlTemplate) -> None:
        """In stored units: tables and columns are looked up when the unit is made."""
        if self.note_fault is None:
            return
        try:
            self.hooks.describe(template.text, template.types)
        except GridError as error:
            if error.sqlstate in _MISSING:
                raise type(error)(error.message, detail=error.detail, hint=error.hint) from error

    def template_of(self, statement: Sql) -> SqlTemplate:
        """Its text without INTO, variables replaced."""
        whole = self.text[statement.at : statement.end]
        if statement.into is None:
            whole = self.current_of(whole, statement.at)
            text = self._with_row(whole, statement)
            return sql_template(self, text, statement.at, whole)
        begin, end = statement.into_at - statement.at, statement.into_end - statement.at
        blank = " " * (end - begin)  # offsets stay what they are
        text = self.current_of(whole[:begin] + blank + whole[end:], statement.at)
        return sql_template(self, self._with_row(text, statement), statement.at, text)

    def _with_row(self, text: str, statement: Sql) -> str:
        """UPDATE t SET ROW = record: its fields one by one."""
        match = _SET_ROW.search(text) if statement.word == "UPDATE" else None
        if match is None:
            return text
        table = re.match(r"\s*UPDATE\s+([\w$#.\"]+)", text, re.IGNORECASE)
        record = _RECORD.match(text[match.end() :])
        columns = None
        if table is not None and record is not None:
            names = tuple(part.strip('"').upper() for part in table[1].split("."))
            columns = self.hooks.columns_of_table(names)
        if columns is None or record is None:
            raise SqlSyntaxError("SET ROW = a record", position=statement.at + match.start() + 1)
        sets = ", ".join(f'"{name}" = {record[0]}.{name}' for name, _ in columns)
        rest = text[match.end() + record.end() :]
        return f"{text[: match.start()]}SET {sets}{rest}"

    # -- queries -----------------------------------------------------------------------------------
    def _select(self, template: SqlTemplate, into: Into) -> Run:
        if into.bulk:
            put_all = self.bulk_setter(into)

            def bulk(f: Frame) -> None:
                columns, rows = _all_rows(f, template)
                f[CONTEXT].sql.count = len(rows)
                put_all(f, columns, rows)

            return bulk
        put = self.row_setter(into)

        def one(f: Frame) -> None:
            columns, rows = _rows(f, template, 2)
            f[CONTEXT].sql.count = min(len(rows), 1)
            if not rows:
                raise predefined("NO_DATA_FOUND")
            if len(rows) > 1:
                raise predefined("TOO_MANY_ROWS")
            put(f, columns, rows[0])

        return one

    def _returning(self, template: SqlTemplate, into: Into) -> Run:
        put_all = self.bulk_setter(into) if into.bulk else None
        put = None if into.bulk else self.row_setter(into)

        def run(f: Frame) -> None:
            columns, rows = _all_rows(f, template)
            f[CONTEXT].sql.count = len(rows)
            if put_all is not None:
                put_all(f, columns, rows)
            elif len(rows) > 1:
                raise predefined("TOO_MANY_ROWS")
            elif rows and put is not None:
                put(f, columns, rows[0])

        return run

    # -- EXECUTE IMMEDIATE -------------------------------------------------------------------------
    def _execute(self, statement: ExecuteImmediate) -> Run:
        text = self.get(statement.text)
        gets = [self.get(expr) for _, expr in statement.using]
        outs = [
            (n, self.setter(expr)) for n, (mode, expr) in enumerate(statement.using) if mode != "IN"
        ]
        into = statement.into or statement.returning
        put_all = self.bulk_setter(into) if into is not None and into.bulk else None
        put = self.row_setter(into) if into is not None and not into.bulk else None
        is_query, is_returning = statement.into is not None, statement.returning is not None
        owner = self.owner

        def run(f: Frame) -> None:
            sql = (values.text(text(f)) or "").strip()
            if not sql:
                raise PlError(
                    "", -6535, "statement string in EXECUTE IMMEDIATE is NULL or 0 length"
                )
            given = [get(f) for get in gets]
            context = f[CONTEXT]
            if context.host.is_block(sql, owner):
                after = context.host.run_block(sql, given, owner)
                for number, put_out in outs:
                    put_out(f, after[number])
                return
            if outs:
                raise of_grid_error(_OUT_OF_A_BLOCK)
            sql = sql.rstrip(";").rstrip()
            if is_returning:
                sql = _RETURNING_INTO.sub("", sql)
            sql = dynamic_sql(sql, len(given))
            template = SqlTemplate(sql, [], tuple(None for _ in given), owner)
            if put is None and put_all is None:
                context.sql.count = _execute(f, template, given)
                return
            columns, rows = _rows(f, template, 2 if is_query and put else 0, given)
            context.sql.count = len(rows)
            if put_all is not None:
                put_all(f, columns, rows)
                return
            if len(rows) > 1:
                context.sql.count = 1
                raise predefined("TOO_MANY_ROWS")
            if is_query and not rows:
                raise predefined("NO_DATA_FOUND")
            if rows and put is not None:
                put(f, columns, rows[0])

        return run

    # -- FORALL ------------------------------------------------------------------------------------
    def _forall(self, statement: ForAll) -> Run:
        if not isinstance(statement.sql, Sql):
            return self._forall_dynamic(statement)
        slot = self.activation.slot()
        scope = self.scope
        shadowed = scope.names.get(statement.variable)
        scope.names[statement.variable] = Var(self.activation, slot, Scalar(BIGINT), False)
        try:
            template = self.template_of(statement.sql)
            put_all = self.bulk_setter(statement.sql.into) if statement.sql.into else None
        finally:
            del scope.names[statement.variable]
            if shadowed is not None:
                scope.names[statement.variable] = shadowed
        places, save = self._places(statement), statement.save

        def run(f: Frame) -> None:
            indexes = places(f)
            given: list[list[Any]] = []
            for place in indexes:
                f[slot] = place
                given.append([values.to_storage(get(f)) for get in template.gets])
            if put_all is not None:
                _forall_returning(f, template, indexes, given, put_all)
            else:
                _forall(f, template, indexes, given, save)

        return run

    def _forall_dynamic(self, statement: ForAll) -> Run:
        slot = self.activation.slot()
        scope = self.scope
        scope.names[statement.variable] = Var(self.activation, slot, Scalar(BIGINT), False)
        try:
            assert isinstance(statement.sql, ExecuteImmediate)
            text = self.get(statement.sql.text)
            gets = [self.get(expr) for _, expr in statement.sql.using]
        finally:
            del scope.names[statement.variable]
        places, save, owner = self._places(statement), statement.save, self.owner

        def run(f: Frame) -> None:
            sql = dynamic_sql(values.text(text(f)) or "", len(gets))
            indexes = places(f)
            given: list[list[Any]] = []
            for place in indexes:
                f[slot] = place
                given.append([values.to_storage(get(f)) for get in gets])
            template = SqlTemplate(sql, [], tuple(None for _ in gets), owner)
            _forall(f, template, indexes, given, save)

        return run

    def _places(self, statement: ForAll) -> Callable[[Frame], Sequence[int]]:
        """The indexes FORALL goes through."""
        low = self.get(statement.low) if statement.low is not None else None
        high = self.get(statement.high) if statement.high is not None else None
        if statement.values is not None:
            chosen = self.get(statement.values)
            return lambda f: [value for _, value in chosen(f).in_order()]
        if statement.indices is not None:
            collection = self.get(statement.indices)

            def present(f: Frame) -> Sequence[int]:
                found: Collection = collection(f)
                first = low(f) if low is not None else None
                last = high(f) if high is not None else None
                return [
                    key
                    for key in found.keys
                    if (first is None or key >= first) and (last is None or key <= last)
                ]

            return present
        assert low is not None
        assert high is not None
        return lambda f: range(_bound(low(f)), _bound(high(f)) + 1)


def _bound(value: Value) -> int:
    number = values.number(value)
    if number is None:
        raise predefined("VALUE_ERROR", ": a bound is NULL")
    return int(number)


def _forall(
    f: Frame, template: SqlTemplate, indexes: Sequence[int], given: list[list[Any]], save: bool
) -> None:
    state = f[CONTEXT].sql
    state.bulk, state.failed = {}, []
    if not given:
        state.count = 0
        return
    try:
        counts, failed = f[CONTEXT].host.many(
            template.text, template.types, given, save, template.owner
        )
    except GridError as error:
        raise of_grid_error(error) from error
    state.bulk = _by_index(indexes, counts)
    state.count = sum(counts)
    state.failed = [(at, of_grid_error(e) if isinstance(e, GridError) else e) for at, e in failed]
    if failed:
        raise PlError("", _FORALL_ERRORS, "error(s) in array DML")


def _forall_returning(
    f: Frame,
    template: SqlTemplate,
    indexes: Sequence[int],
    given: list[list[Any]],
    put_all: Callable[..., None],
) -> None:
    context = f[CONTEXT]
    gathered: list[StorageRow] = []
    columns: Any = ()
    counts: list[int] = []
    for params in given:
        columns, rows = _fetched(f, template, params, 0)
        counts.append(len(rows))
        gathered += rows
    context.sql.bulk = _by_index(indexes, counts)
    context.sql.count = len(gathered)
    put_all(f, columns, gathered)


def _by_index(indexes: Sequence[int], counts: list[int]) -> dict[int, int]:
    """What SQL%BULK_ROWCOUNT has; VALUES OF may name an index more than once."""
    found: dict[int, int] = {}
    for index, count in zip(indexes, counts, strict=True):
        found[index] = found.get(index, 0) + count
    return found


def _ended(f: Frame, how: str) -> None:
    try:
        getattr(f[CONTEXT].host, how)()
    except GridError as error:
        raise of_grid_error(error) from error


def _changing(template: SqlTemplate) -> Run:
    def run(f: Frame) -> None:
        context = f[CONTEXT]
        given = [values.to_storage(get(f)) for get in template.gets]
        try:
            context.sql.count = context.host.execute(
                template.text, template.types, given, template.owner
            )
        except GridError as error:
            context.sql.count = 0
            raise of_grid_error(error) from error

    return run


def _execute(f: Frame, template: SqlTemplate, given: list[Value]) -> int:
    params = [values.to_storage(value) for value in given]
    try:
        count: int = f[CONTEXT].host.execute(template.text, template.types, params, template.owner)
    except GridError as error:
        raise of_grid_error(error) from error
    return count


def _all_rows(f: Frame, template: SqlTemplate) -> tuple[Any, list[StorageRow]]:
    return _rows(f, template, 0)


def _rows(
    f: Frame, template: SqlTemplate, limit: int, given: list[Value] | None = None
) -> tuple[Any, list[StorageRow]]:
    """Columns and rows, `limit` of them (0: all)."""
    found = [get(f) for get in template.gets] if given is None else given
    return _fetched(f, template, [values.to_storage(value) for value in found], limit)


def _fetched(
    f: Frame, template: SqlTemplate, params: list[Any], limit: int
) -> tuple[Any, list[StorageRow]]:
    rows: list[StorageRow] = []
    memory, held = f[CONTEXT].packages.memory, 0
    try:
        query = f[CONTEXT].host.query(template.text, template.types, params, template.owner)
        asked = limit or FETCH_ROWS
        while True:
            some = query.fetch(asked)
            rows += some
            if limit or len(some) < asked:
                break
            size = rows_bytes(some)
            memory.take(size)
            held += size
        query.close()
    except GridError as error:
        raise of_grid_error(error) from error
    finally:
        memory.give(held)
    return query.columns, rows
