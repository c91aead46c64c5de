"""Expressions → closures. Pure; what needs SQL goes through the context's host when it runs."""

from __future__ import annotations

from collections.abc import Callable

from data.plsql import multisets, types, values
from data.plsql.calls import Calls
from data.plsql.errors import PlError, error_text, predefined, text_of_code
from data.plsql.functions import FUNCTIONS, NOT_HERE
from data.plsql.reading import IS_TESTS
from data.plsql.scope import CONTEXT, CursorSymbol, Frame, Get, Typed, TypeSymbol, Var, reading
from data.plsql.sqltext import sql_template
from data.plsql.tree import (
    Apply,
    Attribute,
    Binary,
    Bind,
    Case,
    Expr,
    In,
    IsNull,
    Literal,
    Member,
    Multiset,
    Name,
    SqlExpr,
    Unary,
)
from data.plsql.types import Collection, CollectionType, PlType, Record, RecordType, Scalar
from data.plsql.values import Value
from protocol.errors import (
    GridError,
    NotSupportedError,
    ParameterError,
    SqlSyntaxError,
    UnknownObjectError,
)
from protocol.sqltypes import BIGINT, BOOLEAN, DATE, NUMBER, VARCHAR, Kind, SqlType

_NUMBER, _TEXT, _BOOLEAN, _COUNT = Scalar(NUMBER), Scalar(VARCHAR), Scalar(BOOLEAN), Scalar(BIGINT)
_WITHOUT_ARGUMENTS = frozenset(
    {"SYSDATE", "SYSTIMESTAMP", "USER", "UID", "CURRENT_USER", "CURRENT_DATE", "CURRENT_TIMESTAMP"}
    | {"TT_SYSDATE", "ORA_SYSDATE", "SESSION_USER", "CURRENT_SCHEMA", "LOCALTIMESTAMP", "SYS_GUID"}
    | {"SESSIONTIMEZONE", "DBTIMEZONE", "CURRENT_TIME", "LOCALTIME", "CURRENT_ROLE"}
    | {f"BINARY_{kind}_{value}" for kind in ("FLOAT", "DOUBLE") for value in ("NAN", "INFINITY")}
)
_DATE, _TIMESTAMP = Scalar(DATE), Scalar(SqlType(Kind.TIMESTAMP, precision=6))
_RESULTS: dict[str, PlType] = {  # to choose among overloaded routines
    **dict.fromkeys(("SYSDATE", "CURRENT_DATE", "TO_DATE", "ADD_MONTHS", "LAST_DAY"), _DATE),
    **dict.fromkeys(("DATE", "NEXT_DAY", "TT_SYSDATE", "ORA_SYSDATE"), _DATE),
    **dict.fromkeys(("TIMESTAMP", "TO_TIMESTAMP"), _TIMESTAMP),
    **dict.fromkeys(("TO_CHAR", "SUBSTR", "UPPER", "LOWER", "INITCAP", "LPAD", "RPAD"), _TEXT),
    **dict.fromkeys(("TRIM", "LTRIM", "RTRIM", "REPLACE", "CONCAT", "CHR", "USER"), _TEXT),
    **dict.fromkeys(("TRANSLATE", "REGEXP_REPLACE", "REGEXP_SUBSTR", "CURRENT_USER"), _TEXT),
    **dict.fromkeys(("TO_NUMBER", "LENGTH", "INSTR", "MOD", "ABS", "CEIL", "FLOOR"), _NUMBER),
    **dict.fromkeys(("SIGN", "POWER", "SQRT", "ASCII", "EXTRACT", "MONTHS_BETWEEN"), _NUMBER),
}
_METHODS = frozenset(
    {"COUNT", "FIRST", "LAST", "NEXT", "PRIOR", "EXISTS", "LIMIT", "DELETE", "EXTEND", "TRIM"}
)


class Expressions(Calls):
    """Compiles expressions; a part of the compiler."""

    def get(self, expr: Expr) -> Get:
        """The closure of an expression."""
        return self.expression(expr).get

    def expression(self, expr: Expr) -> Typed:
        """The closure of an expression, and its type as far as it is known."""
        handler = _HANDLERS[type(expr)]
        return handler(self, expr)

    def condition(self, expr: Expr) -> Get:
        """An expression that is true or not; as an `if` wants it: NULL is not."""
        return self.expression(expr).get

    # -- simple ones -------------------------------------------------------------------------------
    def _literal(self, expr: Literal) -> Typed:
        value = expr.value
        known: PlType | None = None
        if isinstance(value, bool):
            known = _BOOLEAN
        elif isinstance(value, str):
            known = _TEXT
        elif value is not None:
            known = _NUMBER
        return Typed(lambda f: value, known)

    def _bind(self, expr: Bind) -> Typed:
        if expr.name in self.current:
            return Typed(self.current[expr.name])
        name = self.bind_name(expr.name)
        return Typed(lambda f: f[CONTEXT].binds.get(name))

    def _unary(self, expr: Unary) -> Typed:
        operand = self.expression(expr.operand)
        get = operand.get
        if expr.operator == "NOT":

            def negated(f: Frame) -> Value:
                value = values.truth(get(f))
                return None if value is None else not value

            return Typed(negated, _BOOLEAN)
        if expr.operator == "+":
            return Typed(lambda f: values.number(get(f)), operand.type)
        if isinstance(expr.operand, Literal):
            value = values.negate(expr.operand.value)
            return Typed(lambda f: value, _NUMBER)
        return Typed(lambda f: values.negate(get(f)), operand.type)

    def _binary(self, expr: Binary) -> Typed:
        a, b = self.expression(expr.left), self.expression(expr.right)
        left, right, operator = a.get, b.get, expr.operator
        if operator in multisets.OPERATORS:
            compared = self._compared(expr, a, b)
            if compared is not None:
                return compared
        if operator.removeprefix("IS ") in IS_TESTS:
            test = f"CASE WHEN $1 {operator} THEN 1 WHEN NOT $1 {operator} THEN 0 END"
            ask = self.sql_call(f"SELECT {test} FROM dual")
            return Typed(lambda f: _truth(ask(f, [left(f)])), _BOOLEAN)
        if operator in ("AND", "OR"):
            return Typed(_and(left, right) if operator == "AND" else _or(left, right), _BOOLEAN)
        if operator == "LIKE":
            escape = self.get(expr.escape) if expr.escape is not None else _null
            return Typed(lambda f: values.like(left(f), right(f), escape(f)), _BOOLEAN)
        function = values.OPERATORS[operator]
        known = None
        if operator in ("=", "<>", "<", "<=", ">", ">="):
            known = _BOOLEAN
        elif operator == "||":
            known = _TEXT
        elif operator in ("*", "/", "**", "MOD", "REM"):
            known = _NUMBER
        if isinstance(expr.right, Literal):
            constant = expr.right.value
            return Typed(lambda f: function(left(f), constant), known)
        return Typed(lambda f: function(left(f), right(f)), known)

    def _compared(self, expr: Binary, a: Typed, b: Typed) -> Typed | None:
        """A comparison of collections; None: of something else."""
        whole = CollectionType | RecordType
        if not isinstance(a.type, whole) and not isinstance(b.type, whole):
            if expr.operator in ("=", "<>"):
                return None
        elif any(
            isinstance(one.type, RecordType)
            or (isinstance(one.type, CollectionType) and one.type.kind != "table")
            for one in (a, b)
        ):
            raise SqlSyntaxError(
                "records, associative arrays and varrays cannot be compared", position=expr.at + 1
            )
        function, left, right = multisets.OPERATORS[expr.operator], a.get, b.get
        return Typed(lambda f: function(left(f), right(f)), _BOOLEAN)

    def _multiset(self, expr: Multiset) -> Typed:
        a, b = self.expression(expr.left), self.expression(expr.right)
        left, right, operator, distinct = a.get, b.get, expr.operator, expr.distinct
        return Typed(
            lambda f: multisets.combined(operator, distinct, left(f), right(f)), a.type or b.type
        )

    def _is_null(self, expr: IsNull) -> Typed:
        get = self.get(expr.operand)
        wanted = not expr.negated
        if expr.empty:

            def empty(f: Frame) -> Value:
                found = get(f)
                return None if found is None else (not found.keys) is wanted

            return Typed(empty, _BOOLEAN)
        return Typed(lambda f: (get(f) is None) is wanted, _BOOLEAN)

    def _in(self, expr: In) -> Typed:
        operand, items = self.get(expr.operand), [self.get(item) for item in expr.items]

        def test(f: Frame) -> Value:
            value = operand(f)
            unknown = value is None
            for item in items:
                same = values.equal(value, item(f))
                if same:
                    return True
                unknown = unknown or same is None
            return None if unknown else False

        return Typed(test, _BOOLEAN)

    def _case(self, expr: Case) -> Typed:
        whens = [(self.get(when), self.get(then)) for when, then in expr.whens]
        otherwise = self.get(expr.otherwise) if expr.otherwise is not None else _null
        known = self.expression(expr.whens[0][1]).type
        if expr.operand is None:

            def searched(f: Frame) -> Value:
                for when, then in whens:
                    if when(f):
                        return then(f)
                return otherwise(f)

            return Typed(searched, known)
        operand = self.get(expr.operand)

        def simple(f: Frame) -> Value:
            value = operand(f)
            for when, then in whens:
                if values.equal(value, when(f)):
                    return then(f)
            return otherwise(f)

        return Typed(simple, known)

    def _sql_expr(self, expr: SqlExpr) -> Typed:
        text = self.text[expr.at : expr.end]
        template = sql_template(self, text, expr.at)
        known = _RESULTS.get(text.split("(")[0].split("'")[0].strip().upper())
        return Typed(self.sql_value(f"SELECT {template.text} FROM dual", template), known)

    # -- names -------------------------------------------------------------------------------------
    def _name(self, expr: Name) -> Typed:
        symbol = self.scope.find(expr.name)
        if isinstance(symbol, Var):
            return Typed(reading(symbol, self.activation), symbol.type)
        if isinstance(symbol, CursorSymbol):
            return Typed(reading_cursor(symbol, self.activation), types.CursorType())
        if expr.name == "SQLCODE":
            return Typed(_sqlcode, _COUNT)
        if expr.name == "SQLERRM":
            return Typed(_sqlerrm, _TEXT)
        if symbol is None and expr.name in _WITHOUT_ARGUMENTS:
            made = self.sql_value(f"SELECT {expr.name} FROM dual", None)
            return Typed(made, _RESULTS.get(expr.name))
        return self.call(expr, [], as_function=True, bare=True)

    def _member(self, expr: Member) -> Typed:
        symbol = self.symbol(expr)
        if isinstance(symbol, Var):
            return Typed(reading(symbol, self.activation), symbol.type)
        if isinstance(symbol, CursorSymbol):
            return Typed(reading_cursor(symbol, self.activation), types.CursorType())
        if symbol is not None:
            return self.call(expr, [], as_function=True, bare=True)
        if expr.name in ("NEXTVAL", "CURRVAL"):
            names = self.dotted(expr.base)
            if names and self.scope.find(names[0]) is None and self.hooks.is_sequence(names):
                shown = ".".join(f'"{name}"' for name in names)
                return Typed(self.sql_value(f"SELECT {shown}.{expr.name} FROM dual", None), _NUMBER)
        is_call = self.symbol_or_none(expr.base) is None and not self._is_value(expr.base)
        if is_call and self.dotted(expr.base):
            return self.call(expr, [], as_function=True, bare=True)
        base = self.expression(expr.base)
        if isinstance(base.type, CollectionType) or expr.name in _METHODS:
            if isinstance(base.type, RecordType) and expr.name in base.type.positions:
                return self.field(base, expr.name, expr.at)
            return Typed(self.method(base, expr.name, [], expr.at), _method_type(base, expr.name))
        return self.field(base, expr.name, expr.at)

    def field(self, base: Typed, name: str, at: int) -> Typed:
        """A field of a record."""
        get = base.get
        if isinstance(base.type, RecordType):
            position = base.type.positions.get(name)
            if position is None:
                raise self.undeclared(name, at)
            return Typed(lambda f: get(f).fields[position], base.type.types[position])

        def by_name(f: Frame) -> Value:
            record = get(f)
            if not isinstance(record, Record) or name not in record.type.positions:
                raise predefined("VALUE_ERROR", f": no field {name}")
            return record.fields[record.type.positions[name]]

        if base.type is not None:
            raise self.undeclared(name, at)
        return Typed(by_name)

    def _apply(self, expr: Apply) -> Typed:
        base = expr.base
        if isinstance(base, Name) and base.name == "SQLERRM":
            return Typed(self._sqlerrm_of(self.get(expr.arguments[0].value)), _TEXT)
        symbol = self.symbol_or_none(base)
        if isinstance(symbol, TypeSymbol):
            return self._constructed(symbol.type, [self.get(a.value) for a in expr.arguments], expr)
        if isinstance(symbol, Var) or (symbol is None and self._is_value(base)):
            if isinstance(base, Member) and base.name in _METHODS and not isinstance(symbol, Var):
                inner = self.expression(base.base)
                arguments = [self.get(a.value) for a in expr.arguments]
                made = self.method(inner, base.name, arguments, expr.at)
                return Typed(made, _method_type(inner, base.name))
            return self.element(self.expression(base), expr)
        return self.call(base, expr.arguments, as_function=True)

    def _is_value(self, expr: Expr) -> bool:
        """Does it begin with a variable (or a call that gives a value)?"""
        while isinstance(expr, Member):
            symbol = self.symbol_or_none(expr)
            if symbol is not None:
                return isinstance(symbol, Var)
            expr = expr.base
        if isinstance(expr, Name):
            return isinstance(self.scope.find(expr.name), Var)
        return isinstance(expr, Apply)

    def element(self, base: Typed, expr: Apply) -> Typed:
        """collection(index)."""
        get = base.get
        if len(expr.arguments) != 1:
            raise SqlSyntaxError("an element has one index", position=expr.at + 1)
        index = self.get(expr.arguments[0].value)
        known = base.type.element if isinstance(base.type, CollectionType) else None
        if base.type is not None and known is None:
            raise SqlSyntaxError("only collections have elements", position=expr.at + 1)

        def read(f: Frame) -> Value:
            collection = get(f)
            if collection is None:
                raise predefined("COLLECTION_IS_NULL")
            return collection.get(index(f))

        return Typed(read, known)

    def _constructed(self, wanted: PlType, gets: list[Get], expr: Apply) -> Typed:
        if isinstance(wanted, CollectionType):
            if wanted.kind == "index by" and gets:
                raise NotSupportedError(
                    "an associative array has no constructor", position=expr.at + 1
                )
            return Typed(lambda f: wanted.made([get(f) for get in gets]), wanted)
        if isinstance(wanted, RecordType):
            return Typed(lambda f: wanted.made([get(f) for get in gets]), wanted)
        raise SqlSyntaxError("this type has no constructor", position=expr.at + 1)

    # -- attributes --------------------------------------------------------------------------------
    def _attribute(self, expr: Attribute) -> Typed:
        known = _COUNT if "ROWCOUNT" in expr.name else _BOOLEAN
        if isinstance(expr.base, Name) and expr.base.name == "SQL":
            return self._sql_attribute(expr)
        cursor = self.get(expr.base)
        name = expr.name
        if name not in ("FOUND", "NOTFOUND", "ISOPEN", "ROWCOUNT"):
            raise SqlSyntaxError(f"a cursor has no %{name}", position=expr.at + 1)

        def read(f: Frame) -> Value:
            state = cursor(f)
            if name == "ISOPEN":
                return state is not None and state.is_open
            if state is None or not state.is_open:
                raise predefined("INVALID_CURSOR")
            return state.attribute(name)

        return Typed(read, known)

    def _sql_attribute(self, expr: Attribute) -> Typed:
        name = expr.name
        if name == "BULK_ROWCOUNT" and expr.argument is not None:
            at = self.get(expr.argument)
            return Typed(lambda f: _bulk_count(f[CONTEXT].sql.bulk, at(f)), _COUNT)
        if name == "BULK_EXCEPTIONS":
            return Typed(_bulk_exceptions(self.get(expr.argument) if expr.argument else None))
        if name == "ISOPEN":
            return Typed(lambda f: False, _BOOLEAN)
        if name == "ROWCOUNT":
            return Typed(lambda f: f[CONTEXT].sql.count, _COUNT)
        if name not in ("FOUND", "NOTFOUND"):
            raise SqlSyntaxError(f"SQL has no %{name}", position=expr.at + 1)
        wanted = name == "FOUND"

        def read(f: Frame) -> Value:
            count = f[CONTEXT].sql.count
            return None if count is None else (count > 0) is wanted

        return Typed(read, _BOOLEAN)

    def _sqlerrm_of(self, code: Get) -> Get:
        def read(f: Frame) -> Value:
            number = values.number(code(f))
            return None if number is None else text_of_code(int(number))

        return read

    # -- functions of SQL --------------------------------------------------------------------------
    def sql_function(self, name: str, gets: list[Get], at: int) -> Typed:
        """A function that is not declared here: one of SQL."""
        marks = ", ".join(f"${n}" for n in range(1, len(gets) + 1))
        ask = self.sql_call(f"SELECT {name}({marks}) FROM dual")
        quick = FUNCTIONS.get(name)
        if quick is None:
            if self._takes_constants(name, marks, len(gets), at):
                ask = self._with_constants(name)
            return Typed(lambda f: ask(f, [get(f) for get in gets]), _RESULTS.get(name))
        function, least, most = quick
        if not least <= len(gets) <= most:
            raise UnknownObjectError(
                f"wrong number or types of arguments in call to {name}", position=at + 1
            )
        if len(gets) == 1:
            first = gets[0]

            def one(f: Frame) -> Value:
                value = first(f)
                result = function(value)
                return ask(f, [value]) if result is NOT_HERE else result

            return Typed(one, _RESULTS.get(name))

        def several(f: Frame) -> Value:
            given = [get(f) for get in gets]
            result = function(*given)
            return ask(f, given) if result is NOT_HERE else result

        return Typed(several, _RESULTS.get(name))

    def _takes_constants(self, name: str, marks: str, count: int, at: int) -> bool:
        """Whether SQL plans by the arguments' values, as by the unit of NUMTODSINTERVAL.

        Raises UnknownObjectError if SQL has no such function; types matter when it runs.
        """
        try:
            self.hooks.describe(f"SELECT {name}({marks}) FROM dual", (None,) * count)
        except GridError as error:
            if error.sqlstate == "42883":
                raise self.undeclared(name, at) from error
            return isinstance(error, ParameterError)
        return False

    def _with_constants(self, name: str) -> Callable[[Frame, list[Value]], Value]:
        """Texts are written into the statement, the other arguments are its parameters."""

        def ask(f: Frame, given: list[Value]) -> Value:
            rest: list[Value] = []
            words: list[str] = []
            for value in given:
                if isinstance(value, str):
                    words.append("'" + value.replace("'", "''") + "'")
                else:
                    rest.append(value)
                    words.append(f"${len(rest)}")
            return self.sql_call(f"SELECT {name}({', '.join(words)}) FROM dual")(f, rest)

        return ask


def _null(f: Frame) -> Value:
    return None


def _truth(found: Value) -> Value:
    return None if found is None else bool(found)


def _and(left: Get, right: Get) -> Get:
    def both(f: Frame) -> Value:
        a = left(f)
        if a is False:
            return False
        b = right(f)
        return False if b is False else None if a is None or b is None else a and b

    return both


def _or(left: Get, right: Get) -> Get:
    def either(f: Frame) -> Value:
        a = left(f)
        if a is True:
            return True
        b = right(f)
        return True if b is True else None if a is None or b is None else a or b

    return either


def _sqlcode(f: Frame) -> Value:
    errors = f[CONTEXT].errors
    return errors[-1].code if errors else 0


def _sqlerrm(f: Frame) -> Value:
    errors = f[CONTEXT].errors
    return errors[-1].text if errors else error_text(0, "")


def _method_type(base: Typed, name: str) -> PlType | None:
    if name in ("EXISTS",):
        return _BOOLEAN
    if name in ("COUNT", "LIMIT"):
        return _COUNT
    return base.type.index if isinstance(base.type, CollectionType) else None


def _bulk_count(counts: dict[int, int], at: Value) -> int:
    if at not in counts:
        raise PlError("", -22160, f"element at index [{at}] does not exist")
    return counts[at]


def _bulk_exceptions(at: Get | None) -> Get:
    kind = RecordType("", [("ERROR_INDEX", _COUNT), ("ERROR_CODE", _COUNT)])
    all_of_them = CollectionType("", "table", kind, None, 0)

    def record(place: int, error: object) -> Record:
        return Record(kind, [place, abs(getattr(error, "code", 0))])

    def read(f: Frame) -> Value:
        failed = f[CONTEXT].sql.failed
        if at is not None:
            return record(*failed[at(f) - 1])
        made = Collection(all_of_them)
        made.items = {n: record(*one) for n, one in enumerate(failed, 1)}
        made.keys = list(made.items)
        made.size = len(failed)
        return made

    return read


def reading_cursor(symbol: CursorSymbol, here: object) -> Get:
    """How the state of an explicit cursor is read; None: it was never opened."""
    return reading(Var(symbol.activation, symbol.slot, None), here)  # type: ignore[arg-type]


_HANDLERS: dict[type, Callable[..., Typed]] = {
    Literal: Expressions._literal,
    Bind: Expressions._bind,
    Name: Expressions._name,
    Member: Expressions._member,
    Apply: Expressions._apply,
    Attribute: Expressions._attribute,
    Unary: Expressions._unary,
    Binary: Expressions._binary,
    IsNull: Expressions._is_null,
    In: Expressions._in,
    Case: Expressions._case,
    Multiset: Expressions._multiset,
    SqlExpr: Expressions._sql_expr,
}
