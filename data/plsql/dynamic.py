"""DBMS_SQL: SQL whose text, variables and columns are known only when it runs.

Cursors are numbers, and live as long as the session. Variables are bound by name: each :name of the
text becomes $n. DDL runs when it is parsed, as in Oracle.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from data.plsql import values
from data.plsql.cursor_state import CursorState
from data.plsql.errors import PlError, check_bound, not_all_bound, predefined, too_many_bound
from data.plsql.scope import Builtin, PackageSymbol, TypeSymbol
from data.plsql.tokens import BIND, by_position, tokens
from data.plsql.types import Collection, CollectionType, PlType, Record, RecordType, Scalar
from data.plsql.values import Value
from protocol.sqltypes import BIGINT, BOOLEAN, DATE, NUMBER, VARCHAR, Kind, SqlType, StorageRow

if TYPE_CHECKING:
    from data.plsql.context import Context, Rows
    from protocol.pgwire.values import ResultColumn

CURSORS_MAX = 300  # open at once in a session
_FETCH_ROWS = 100
_RETURNING = re.compile(r"\s+INTO\s+(:\w+(?:\s*,\s*:\w+)*)\s*$", re.IGNORECASE)
_IS_DDL = re.compile(
    r"\s*(?:CREATE|ALTER|DROP|TRUNCATE|GRANT|REVOKE|COMMENT|RENAME)\b", re.IGNORECASE
)
_IS_QUERY = re.compile(r"[\s(]*(?:SELECT|WITH)\b", re.IGNORECASE)
_TYPE_CODES = {  # of Oracle's DESCRIBE_COLUMNS
    Kind.NUMBER: 2,
    Kind.DATE: 12,
    Kind.CHAR: 96,
    Kind.NCHAR: 96,
    Kind.BINARY_FLOAT: 100,
    Kind.BINARY_DOUBLE: 101,
    Kind.CLOB: 112,
    Kind.BLOB: 113,
    Kind.TIMESTAMP: 180,
    Kind.VARBINARY: 23,
    Kind.BINARY: 23,
}
_NUMBER_KINDS = frozenset({Kind.INTEGER, Kind.BIGINT, Kind.SMALLINT})

_COUNT, _TEXT = Scalar(BIGINT), Scalar(VARCHAR)


def _table(name: str, element: PlType) -> CollectionType:
    return CollectionType(name, "index by", element, _COUNT, 0)


_DESC_REC = RecordType(
    "DESC_REC",
    [
        ("COL_TYPE", _COUNT),
        ("COL_MAX_LEN", _COUNT),
        ("COL_NAME", _TEXT),
        ("COL_NAME_LEN", _COUNT),
        ("COL_SCHEMA_NAME", _TEXT),
        ("COL_SCHEMA_NAME_LEN", _COUNT),
        ("COL_PRECISION", _COUNT),
        ("COL_SCALE", _COUNT),
        ("COL_CHARSETID", _COUNT),
        ("COL_CHARSETFORM", _COUNT),
        ("COL_NULL_OK", Scalar(BOOLEAN)),
    ],
)
_DESC_TAB = _table("DESC_TAB", _DESC_REC)


class DynamicCursor:
    """One cursor of DBMS_SQL."""

    def __init__(self) -> None:
        self.sql = ""
        self.names: list[str] = []  # of its variables: $1, $2, …
        self.returning: list[str] = []
        self.values: dict[str, Value] = {}
        self.arrays: dict[str, list[Value]] = {}
        self.rows: Rows | None = None
        self.waiting: list[StorageRow] = []
        self.row: StorageRow | None = None
        self.count = 0
        self.columns: tuple[ResultColumn, ...] = ()
        self.defined: dict[int, tuple[int, int]] = {}  # DEFINE_ARRAY: rows at a time, first index
        self.batch: list[StorageRow] = []  # what the last FETCH_ROWS gave, then

    def given(self) -> list[Value]:
        """Values in the order of their numbers."""
        return [self.values.get(name) for name in self.names]

    def close(self) -> None:
        """Give up what is open."""
        if self.rows is not None:
            self.rows.close()
        self.rows, self.row, self.waiting = None, None, []


def _cursor(context: Context, number: Value) -> DynamicCursor:
    found = context.packages.cursors.get(number)
    if found is None:
        raise predefined("INVALID_CURSOR")
    assert isinstance(found, DynamicCursor)
    return found


def _open(context: Context, given: list[Value]) -> Value:
    cursors = context.packages.cursors
    if len(cursors) >= CURSORS_MAX:
        raise PlError("", -1000, "maximum open cursors exceeded")
    number = max(cursors, default=0) + 1
    cursors[number] = DynamicCursor()
    return number


def _close(context: Context, given: list[Value]) -> list[Value]:
    _cursor(context, given[0]).close()
    del context.packages.cursors[given[0]]
    return [None]


def _is_open(context: Context, given: list[Value]) -> Value:
    return given[0] in context.packages.cursors


def _parse(context: Context, given: list[Value]) -> None:
    cursor = _cursor(context, given[0])
    cursor.close()
    if isinstance(given[1], Collection):  # PARSE(c, lines, low, high, linefeed, flag)
        low, high = values.number(given[2]), values.number(given[3])
        end = "\n" if len(given) > 4 and given[4] is True else ""
        lines = [values.text(given[1].get(n)) or "" for n in range(low, high + 1)]
        text = end.join(lines)
    else:
        text = values.text(given[1]) or ""
    text = text.strip()
    is_block = re.match(r"(?:BEGIN|DECLARE|CALL|<<)", text, re.IGNORECASE) is not None
    if not is_block:
        text = text.rstrip(";").rstrip()
    cursor.returning = []
    tail = (
        _RETURNING.search(text) if not is_block and " RETURNING " in f" {text.upper()} " else None
    )
    if tail is not None:
        cursor.returning = [name.strip().lstrip(":").upper() for name in tail[1].split(",")]
        text = text[: tail.start()]
    cursor.values, cursor.arrays, cursor.names, cursor.columns = {}, {}, [], ()
    cursor.defined, cursor.batch = {}, []
    cursor.sql = text if _IS_DDL.match(text) else _numbered(text, cursor.names)
    if _IS_DDL.match(text):
        context.host.execute(text, (), [])
    elif _IS_QUERY.match(text):
        nothing = [values.to_storage(None) for _ in cursor.names]
        rows = context.host.query(cursor.sql, tuple(None for _ in nothing), nothing)
        cursor.columns = rows.columns
        rows.close()


def dynamic_sql(text: str, given: int) -> str:
    """A statement of EXECUTE IMMEDIATE or OPEN FOR with $1, $2, … for its placeholders.

    given: how many values it gets. Raises PlError if they are too many or too few.
    """
    if _IS_DDL.match(text):
        if given:
            raise too_many_bound()
        return text
    sql, count = by_position(text)
    if count or not ("$" in text or "?" in text):  # PostgreSQL's placeholders
        check_bound(count, given)
    return sql


def _numbered(text: str, names: list[str]) -> str:
    parts: list[str] = []
    done = 0
    for token in tokens(text):
        if token.kind == BIND and token.text.startswith(":"):
            name = token.text[1:].upper()
            if name not in names:
                names.append(name)
            parts.append(f"{text[done : token.start]}${names.index(name) + 1}")
            done = token.end
    return "".join(parts) + text[done:]


def _bind(context: Context, given: list[Value]) -> None:
    cursor, name = _cursor(context, given[0]), _variable(given[1])
    if name not in cursor.names and name not in cursor.returning:
        raise too_many_bound()
    cursor.values[name] = given[2]


def _variable(name: Value) -> str:
    return (values.text(name) or "").strip().lstrip(":").upper()


def _bind_array(context: Context, given: list[Value]) -> None:
    cursor, name = _cursor(context, given[0]), _variable(given[1])
    if name not in cursor.names:
        raise too_many_bound()
    if not isinstance(given[2], Collection):
        raise predefined("VALUE_ERROR", ": BIND_ARRAY takes a table of values")
    low = values.number(given[3]) if len(given) > 3 else None
    high = values.number(given[4]) if len(given) > 4 else None
    cursor.arrays[name] = [
        value
        for at, value in given[2].in_order()
        if (low is None or at >= low) and (high is None or at <= high)
    ]


def _define(context: Context, given: list[Value]) -> None:
    cursor, place = _cursor(context, given[0]), values.number(given[1])
    if not 1 <= place <= len(cursor.columns):
        raise PlError("", -1007, "variable not in select list")


def _define_array(context: Context, given: list[Value]) -> None:
    _define(context, given)
    count, first = values.number(given[3]), values.number(given[4])
    if not count or count < 1 or first is None:
        raise PlError("", -29253, "invalid count argument passed to dbms_sql.define_array")
    place = int(values.number(given[1]))
    _cursor(context, given[0]).defined[place] = (int(count), int(first))


def _to_ref_cursor(context: Context, given: list[Value]) -> Value:
    cursor = _cursor(context, given[0])
    if cursor.rows is None or cursor.count:
        raise PlError("", -1002, "fetch out of sequence: EXECUTE the cursor, fetch nothing from it")
    del context.packages.cursors[given[0]]
    return CursorState(cursor.rows)


class _RowsOf:
    """The rows of a REF CURSOR."""

    def __init__(self, state: CursorState) -> None:
        self.columns = cast("tuple[ResultColumn, ...]", state.columns)
        self.fetch = state.next
        self.close = state.close


def _to_number(context: Context, given: list[Value]) -> Value:
    state = given[0]
    if not isinstance(state, CursorState) or not state.is_open:
        raise predefined("INVALID_CURSOR")
    number = _open(context, [])
    made = _cursor(context, number)
    made.rows = _RowsOf(state)
    made.columns = made.rows.columns
    return number


def _execute(context: Context, given: list[Value]) -> Value:
    cursor = _cursor(context, given[0])
    cursor.close()
    cursor.count = 0
    if not cursor.sql:
        raise PlError("", -1003, "no statement parsed")
    if _IS_DDL.match(cursor.sql):
        return 0
    for name in cursor.names:
        if name not in cursor.values and name not in cursor.arrays:
            raise not_all_bound()
    host = context.host
    if host.is_block(cursor.sql):
        after = host.run_block(cursor.sql, cursor.given())
        cursor.values.update(zip(cursor.names, after, strict=False))
        return 1
    types = tuple(None for _ in cursor.names)
    if cursor.arrays:
        return _many(context, cursor, types)
    params = [values.to_storage(value) for value in cursor.given()]
    if _IS_QUERY.match(cursor.sql):
        cursor.rows = host.query(cursor.sql, types, params)
        cursor.columns = cursor.rows.columns
        return 0
    if cursor.returning:
        return _returned(context, cursor, types, params)
    return host.execute(cursor.sql, types, params)


def _many(context: Context, cursor: DynamicCursor, types: tuple[None, ...]) -> Value:
    count = min(map(len, cursor.arrays.values()))
    rows = [
        [
            values.to_storage(
                cursor.arrays[name][at] if name in cursor.arrays else cursor.values.get(name)
            )
            for name in cursor.names
        ]
        for at in range(count)
    ]
    counts, _ = context.host.many(cursor.sql, types, rows, False)
    return sum(counts)


def _returned(
    context: Context, cursor: DynamicCursor, types: tuple[None, ...], params: list[Any]
) -> Value:
    rows = context.host.query(cursor.sql, types, params)
    found: list[StorageRow] = []
    while some := rows.fetch(_FETCH_ROWS):
        found += some
    rows.close()
    for place, name in enumerate(cursor.returning):
        read = values.reader(rows.columns[place].type)
        cursor.values[name] = read(found[-1][place]) if found else None
    return len(found)


def _fetch(context: Context, given: list[Value]) -> Value:
    cursor = _cursor(context, given[0])
    if cursor.rows is None:
        raise PlError("", -1002, "fetch out of sequence")
    if cursor.defined:
        cursor.batch = cursor.rows.fetch(min(count for count, _ in cursor.defined.values()))
        cursor.count += len(cursor.batch)
        return len(cursor.batch)
    if not cursor.waiting:
        cursor.waiting = list(cursor.rows.fetch(_FETCH_ROWS))
    cursor.row = cursor.waiting.pop(0) if cursor.waiting else None
    cursor.count += cursor.row is not None
    return int(cursor.row is not None)


def _execute_and_fetch(context: Context, given: list[Value]) -> Value:
    _execute(context, given)
    found = _fetch(context, given)
    if len(given) > 1 and given[1] is True:
        if not found:
            raise predefined("NO_DATA_FOUND")
        if _cursor(context, given[0]).waiting:
            raise predefined("TOO_MANY_ROWS")
    return found


def _column_value(context: Context, given: list[Value]) -> list[Value]:
    cursor, place = _cursor(context, given[0]), values.number(given[1])
    if place in cursor.defined:
        return [_appended(cursor, int(place), given[2])]
    if cursor.row is None:
        raise PlError("", -1002, "fetch out of sequence")
    if not 1 <= place <= len(cursor.columns):
        raise PlError("", -1007, "variable not in select list")
    return [values.reader(cursor.columns[place - 1].type)(cursor.row[place - 1])]


def _appended(cursor: DynamicCursor, place: int, table: Value) -> Value:
    """The column's values of the rows that were fetched last, behind those of earlier ones."""
    if not isinstance(table, Collection):
        raise predefined("VALUE_ERROR", ": COLUMN_VALUE takes a table of values here")
    _, first = cursor.defined[place]
    at = first + cursor.count - len(cursor.batch)
    read, coerce = values.reader(cursor.columns[place - 1].type), table.type.element.coerce
    for number, row in enumerate(cursor.batch, at):
        table.set(number, coerce(read(row[place - 1])))
    return table


def _variable_value(context: Context, given: list[Value]) -> list[Value]:
    return [_cursor(context, given[0]).values.get(_variable(given[1]))]


def _describe(context: Context, given: list[Value]) -> list[Value]:
    cursor = _cursor(context, given[0])
    made = Collection(_DESC_TAB)
    made.fill([_described(column) for column in cursor.columns])
    return [len(cursor.columns), made]


def _described(column: ResultColumn) -> Record:
    kind, name = column.type, column.name.upper()
    code = 2 if kind.kind in _NUMBER_KINDS else _TYPE_CODES.get(kind.kind, 1)
    sizes = [code, kind.length or 22, name, len(name), None, 0, kind.precision, kind.scale]
    return _DESC_REC.made([*sizes, 0, 1 if code in (1, 96, 112) else 0, True])


def _last_count(context: Context, given: list[Value]) -> Value:
    return max((c.count for c in context.packages.cursors.values()), default=0)


def _function(name: str, call: Callable[[Any, list[Value]], Any], least: int, most: int) -> Builtin:
    return Builtin(name, call, least, most)


def _procedure(
    name: str, call: Callable[[Any, list[Value]], Any], most: int, *names: str, outs: Any = ()
) -> Builtin:
    return Builtin(name, call, len(names), most, False, outs, names)


_DEFINE_ARRAY = ("C", "POSITION", "TABLE_VARIABLE", "CNT", "LOWER_BOUND")
_ROUTINES = (
    _function("OPEN_CURSOR", _open, 0, 1),
    _function("IS_OPEN", _is_open, 1, 1),
    _function("EXECUTE", _execute, 1, 1),
    _function("EXECUTE_AND_FETCH", _execute_and_fetch, 1, 2),
    _function("FETCH_ROWS", _fetch, 1, 1),
    _function("LAST_ROW_COUNT", _last_count, 0, 0),
    _function("LAST_ERROR_POSITION", lambda c, g: 0, 0, 0),
    _procedure("CLOSE_CURSOR", _close, 1, "C", outs=(0,)),
    _procedure("PARSE", _parse, 6, "C", "STATEMENT"),
    _procedure("BIND_VARIABLE", _bind, 4, "C", "NAME", "VALUE"),
    _procedure("BIND_ARRAY", _bind_array, 5, "C", "NAME", "TABLE_VARIABLE"),
    _procedure("DEFINE_COLUMN", _define, 4, "C", "POSITION", "COLUMN"),
    _procedure("COLUMN_VALUE", _column_value, 3, "C", "POSITION", "VALUE", outs=(2,)),
    _procedure("VARIABLE_VALUE", _variable_value, 3, "C", "NAME", "VALUE", outs=(2,)),
    _procedure("DESCRIBE_COLUMNS", _describe, 3, "C", "COL_CNT", "DESC_T", outs=(1, 2)),
    _procedure("DEFINE_ARRAY", _define_array, 5, *_DEFINE_ARRAY),
    _function("TO_REFCURSOR", _to_ref_cursor, 1, 1),
    _function("TO_CURSOR_NUMBER", _to_number, 1, 1),
)
DBMS_SQL = PackageSymbol(
    "DBMS_SQL",
    {
        **{routine.name: routine for routine in _ROUTINES},
        **{
            name: Builtin(name, lambda c, g, n=number: n, 0, 0)  # type: ignore[misc]
            for number, name in enumerate(("V6", "NATIVE", "V7"))
        },
        "DESC_REC": TypeSymbol(_DESC_REC),
        "DESC_TAB": TypeSymbol(_DESC_TAB),
        "VARCHAR2S": TypeSymbol(_table("VARCHAR2S", _TEXT)),
        "VARCHAR2A": TypeSymbol(_table("VARCHAR2A", _TEXT)),
        "VARCHAR2_TABLE": TypeSymbol(_table("VARCHAR2_TABLE", _TEXT)),
        "NUMBER_TABLE": TypeSymbol(_table("NUMBER_TABLE", Scalar(NUMBER))),
        "DATE_TABLE": TypeSymbol(_table("DATE_TABLE", Scalar(DATE))),
        "BLOB_TABLE": TypeSymbol(_table("BLOB_TABLE", Scalar(SqlType(Kind.VARBINARY)))),
    },
)
