"""Typed operators: how typed expressions are compared, added, concatenated in SQLite. Pure.

Number representations: *int* (integers and scaled NUMBERs), *dec* (canonical text), *float*. What
can overflow 18 digits of an int goes to dec; so results are exact at any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from data.sql import numbers
from data.sql.convert import converter, int_digits, int_scale, moment_unit
from data.sql.datetimes import DAY_US, MOMENT_MAX, MOMENT_MIN
from data.sql.ir import Call, ColumnExpr, ConstExpr, Expr, ParamExpr, SpecialExpr
from data.sql.numbers import POW10
from data.sql.type_codes import type_code
from data.sql.type_names import type_text
from protocol.errors import SqlSyntaxError, TypeMismatchError
from protocol.sqltypes import (
    BIGINT,
    BOOLEAN,
    BYTES_KINDS,
    DOUBLE,
    FLOAT_KINDS,
    INTEGER_KINDS,
    MICROSECOND_KINDS,
    NUMBER,
    NUMERIC_KINDS,
    PADDED_KINDS,
    SCALED_DIGITS_MAX,
    TEXT_KINDS,
    UNKNOWN,
    VARCHAR,
    Kind,
    SqlType,
    canonical_number,
)

MIRROR = {"=": "=", "<>": "<>", "<": ">", ">": "<", "<=": ">=", ">=": "<=", "IS": "IS"}
CHAIN_MAX = 64  # tests with AND or OR between them, without brackets
_EXACT_REAL_DIGITS = 15  # an int of so many digits plus a half is exact in a REAL


def call(template: str, *args: Expr, type_: SqlType, volatile: bool = False) -> Call:
    """Shorthand."""
    return Call(template, args, type_, volatile=volatile)


def joined(word: str, texts: Sequence[str]) -> str:
    """Texts with AND or OR between them; many in brackets, half by half.

    SQLite takes a chain for as many levels, and has 1,000.
    """
    if len(texts) <= CHAIN_MAX:
        return f" {word} ".join(texts)
    middle = len(texts) // 2
    return f"({joined(word, texts[:middle])}) {word} ({joined(word, texts[middle:])})"


def any_of(tests: Sequence[Expr]) -> Call:
    """Tests with OR between them."""
    return _chain("OR", tests)


def all_of(tests: Sequence[Expr]) -> Call:
    """Tests with AND between them."""
    return _chain("AND", tests)


def _chain(word: str, tests: Sequence[Expr]) -> Call:
    marks = [f"{{{i}}}" for i in range(len(tests))]
    return Call(f"({joined(word, marks)})", tuple(tests), BOOLEAN)


def null(type_: SqlType = UNKNOWN) -> ConstExpr:
    """A NULL."""
    return ConstExpr(None, type_)


def is_null(expr: Expr) -> bool:
    """Is it the literal NULL?"""
    return isinstance(expr, ConstExpr) and expr.value is None


def number_const(text: str) -> ConstExpr:
    """A numeric literal with its exact type."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise SqlSyntaxError(f'invalid number: "{text[:60]}"') from None
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    scale = max(-exponent, 0)
    digits = max(len(value.as_tuple().digits) + max(exponent, 0), scale, 1)
    if digits <= SCALED_DIGITS_MAX and "e" not in text.lower():
        return ConstExpr(int(value.scaleb(scale)), SqlType(Kind.NUMBER, digits, scale))
    return ConstExpr(numbers.canonical(value), NUMBER)


def is_number(expr: Expr) -> bool:
    """Is its type numeric?"""
    return expr.type.kind in NUMERIC_KINDS


def is_text(expr: Expr) -> bool:
    """Is its type a string (or still unknown)?"""
    return expr.type.kind in TEXT_KINDS


def is_moment(expr: Expr) -> bool:
    """Is it a date or timestamp?"""
    return expr.type.kind in MICROSECOND_KINDS


def is_unknown(expr: Expr) -> bool:
    """An untyped literal or parameter, which takes the type of its context."""
    return expr.type.kind is Kind.UNKNOWN


def settle(expr: Expr, type_: SqlType) -> Expr:
    """Give an untyped literal or parameter a type; other expressions stay as they are."""
    if not is_unknown(expr):
        return expr
    if isinstance(expr, ParamExpr):
        if expr.slot.type.kind is Kind.UNKNOWN:
            expr.slot.type = type_
        return expr
    if isinstance(expr, ConstExpr):
        if expr.value is None:
            return ConstExpr(None, type_)
        convert = converter(VARCHAR, type_)
        return ConstExpr(expr.value if convert is None else convert(expr.value), type_)
    if type_.kind in TEXT_KINDS:
        return expr
    return cast(expr, type_)


def cast(expr: Expr, type_: SqlType) -> Expr:
    """The value as a storage value of `type_`: CAST, and assignment to a column.

    Raises TypeMismatchError; converts literals at once (OutOfRangeError, …).
    """
    if is_unknown(expr):
        if isinstance(expr, ParamExpr):
            return settle(expr, type_)
        if isinstance(expr, ConstExpr):
            return settle(expr, type_)
    if isinstance(expr, ConstExpr):
        if expr.value is None:
            return ConstExpr(None, type_)
        convert = converter(expr.type, type_)
        return ConstExpr(expr.value if convert is None else convert(expr.value), type_)
    source = expr.type if not is_unknown(expr) else VARCHAR
    if source == type_:
        return expr
    if converter(source, type_) is None or _fits(source, type_):
        return call("{0}", expr, type_=type_)
    template = f"tg_cast({{0}}, '{type_code(source)}', '{type_code(type_)}')"
    return call(template, expr, type_=type_)


def _fits(source: SqlType, target: SqlType) -> bool:
    """No change and no check needed, by the types alone."""
    if target.kind in (Kind.JSON, Kind.UUID):
        return source.kind is target.kind
    if source.kind in TEXT_KINDS and target.kind in TEXT_KINDS:
        if source.kind in PADDED_KINDS or target.kind in PADDED_KINDS:
            return False
        if target.byte_length and not source.byte_length:
            return False
        return not target.length or 0 < source.length <= target.length
    if source.kind in MICROSECOND_KINDS and target.kind in MICROSECOND_KINDS:
        return moment_unit(source) >= moment_unit(target)
    return False


# -- representations of numbers --------------------------------------------------------------------
def to_dec(expr: Expr) -> Expr:
    """As canonical decimal text."""
    if isinstance(expr, ConstExpr) and not is_unknown(expr):
        return cast(expr, NUMBER)
    scale = int_scale(expr.type)
    if scale is not None:
        if scale == 0:
            return call("CAST({0} AS TEXT)", expr, type_=NUMBER)
        return call(f"tg_dec({{0}}, {scale})", expr, type_=NUMBER)
    if expr.type.kind is Kind.NUMBER:
        return expr
    if expr.type.kind in FLOAT_KINDS:
        return call("tg_fdec({0})", expr, type_=NUMBER)
    return cast(settle(expr, NUMBER), NUMBER)


def to_float(expr: Expr) -> Expr:
    """As REAL."""
    if expr.type.kind in FLOAT_KINDS:
        return expr
    scale = int_scale(expr.type)
    if scale is not None and not isinstance(expr, ConstExpr):
        text = "CAST({0} AS REAL)" if scale == 0 else f"(CAST({{0}} AS REAL) / {POW10[scale]}.0)"
        return call(text, expr, type_=DOUBLE)
    if expr.type.kind is Kind.NUMBER and not isinstance(expr, ConstExpr):
        return call("CAST({0} AS REAL)", expr, type_=DOUBLE)
    return cast(expr, DOUBLE)


def to_number(expr: Expr) -> Expr:
    """Any expression as a number; texts are read as NUMBERs. Raises TypeMismatchError."""
    if is_number(expr):
        return expr
    if expr.type.kind is Kind.BOOLEAN:
        return call("{0}", expr, type_=SqlType(Kind.NUMBER, 1, 0))
    if is_text(expr):
        return cast(expr, NUMBER)
    raise TypeMismatchError(f"a number is needed, not {type_text(expr.type)}")


def to_text(expr: Expr) -> Expr:
    """As VARCHAR: CHARs padded, numbers and dates in their default form."""
    kind = expr.type.kind
    if is_unknown(expr):
        return settle(expr, VARCHAR)
    if kind in PADDED_KINDS and expr.type.length:
        return call(
            f"tg_char_pad({{0}}, {expr.type.length})",
            expr,
            type_=SqlType(Kind.VARCHAR, length=expr.type.length),
        )
    if kind in TEXT_KINDS:
        return expr
    if isinstance(expr, ConstExpr):
        return cast(expr, VARCHAR)
    if int_scale(expr.type) == 0 or (kind is Kind.NUMBER and not expr.type.is_scaled):
        return call("CAST({0} AS TEXT)", expr, type_=VARCHAR)
    return call(f"tg_text({{0}}, '{type_code(expr.type)}')", expr, type_=VARCHAR)


def to_int(expr: Expr) -> Expr:
    """A number for a function that takes plain integers (rounded)."""
    expr = to_number(settle(expr, BIGINT))
    return expr if int_scale(expr.type) == 0 else cast(expr, BIGINT)


def align(expr: Expr, scale: int, digits: int) -> Expr:
    """An int expression at a larger scale."""
    own = int_scale(expr.type)
    assert own is not None and own <= scale
    type_ = SqlType(Kind.NUMBER, min(digits, SCALED_DIGITS_MAX), scale)
    if own == scale:
        return call("{0}", expr, type_=type_)
    if isinstance(expr, ConstExpr) and type(expr.value) is int:
        return ConstExpr(expr.value * POW10[scale - own], type_)
    return call(f"({{0}} * {POW10[scale - own]})", expr, type_=type_)


# -- arithmetic ------------------------------------------------------------------------------------
_INT_RESULT = {3: Kind.INTEGER, 5: Kind.INTEGER}


def arithmetic(op: str, left: Expr, right: Expr) -> Expr:
    """+ - * / over numbers, dates and intervals. Raises TypeMismatchError."""
    moment = _moment_arithmetic(op, left, right)
    if moment is not None:
        return moment
    left, right = _operands(left, right)
    if left.type.kind in FLOAT_KINDS or right.type.kind in FLOAT_KINDS:
        left, right = float_pair(left, right)
        text = f"{_FLOAT_OPERATORS[op]}({{0}}, {{1}})"
        if left.type.kind is Kind.BINARY_FLOAT is right.type.kind:
            return call(f"tg_f32({text})", left, right, type_=left.type)
        return call(text, left, right, type_=DOUBLE)
    left_scale, right_scale = int_scale(left.type), int_scale(right.type)
    if left_scale is not None and right_scale is not None:
        result = _int_arithmetic(op, left, right, left_scale, right_scale)
        if result is not None:
            return result
    names = {"+": "tg_add", "-": "tg_sub", "*": "tg_mul", "/": "tg_div"}
    return call(f"{names[op]}({{0}}, {{1}})", to_dec(left), to_dec(right), type_=NUMBER)


_FLOAT_OPERATORS = {"+": "tg_fadd", "-": "tg_fsub", "*": "tg_fmul", "/": "tg_fdiv"}


def float_pair(left: Expr, right: Expr) -> tuple[Expr, Expr]:
    """Both as floats: of 32 bits if one is a BINARY_FLOAT and none a BINARY_DOUBLE (as Oracle)."""
    kinds = (left.type.kind, right.type.kind)
    if Kind.BINARY_FLOAT in kinds and Kind.BINARY_DOUBLE not in kinds:
        single = SqlType(Kind.BINARY_FLOAT)
        return cast(left, single), cast(right, single)
    return to_float(left), to_float(right)


def _operands(left: Expr, right: Expr) -> tuple[Expr, Expr]:
    if is_unknown(left) and not is_unknown(right):
        left = settle(left, _context_number(right.type))
    elif is_unknown(right) and not is_unknown(left):
        right = settle(right, _context_number(left.type))
    return to_number(left), to_number(right)


def _context_number(other: SqlType) -> SqlType:
    if other.kind in INTEGER_KINDS or other.kind in FLOAT_KINDS:
        return other
    return NUMBER


def _is_plain_int(expr: Expr) -> bool:
    """TT integers, and integer literals beside them."""
    return expr.type.kind in INTEGER_KINDS


def _int_arithmetic(
    op: str, left: Expr, right: Expr, left_scale: int, right_scale: int
) -> Expr | None:
    a, b = int_digits(left.type), int_digits(right.type)
    both_plain = _is_plain_int(left) and _is_plain_int(right)
    if both_plain or (
        op != "/"
        and (_is_plain_int(left) or _is_plain_int(right))
        and left_scale == right_scale == 0
    ):
        return _plain_int_arithmetic(op, left, right, a, b)
    if op == "/":
        return None
    if op == "*":
        digits, scale = a + b, left_scale + right_scale
        if digits > SCALED_DIGITS_MAX or scale > SCALED_DIGITS_MAX:
            return None
        return call("({0} * {1})", left, right, type_=SqlType(Kind.NUMBER, digits, scale))
    scale = max(left_scale, right_scale)
    digits = max(a - left_scale, b - right_scale) + scale + 1
    if digits > SCALED_DIGITS_MAX:
        return None
    return call(
        f"({{0}} {op} {{1}})",
        align(left, scale, digits),
        align(right, scale, digits),
        type_=SqlType(Kind.NUMBER, digits, scale),
    )


def _plain_int_arithmetic(op: str, left: Expr, right: Expr, a: int, b: int) -> Expr:
    if op == "/":
        kind = max(left.type.kind, right.type.kind)
        return call("tg_idiv({0}, {1})", left, right, type_=SqlType(kind))
    digits = a + b if op == "*" else max(a, b) + 1
    if digits <= SCALED_DIGITS_MAX:
        type_ = SqlType(Kind.INTEGER) if digits <= 9 else BIGINT
        return call(f"({{0}} {op} {{1}})", left, right, type_=type_)
    names = {"+": "tg_iadd", "-": "tg_isub", "*": "tg_imul"}
    return call(f"{names[op]}({{0}}, {{1}})", left, right, type_=BIGINT)


def days_us(days: Expr) -> Expr:
    """A number of days as microseconds."""
    days = to_number(settle(days, NUMBER))
    if isinstance(days, ConstExpr) and days.value is not None:
        number = Decimal(str(cast(days, NUMBER).value))  # type: ignore[attr-defined]
        return ConstExpr(
            int(numbers.round_decimal(numbers.EXACT.multiply(number, Decimal(DAY_US)), 0)),
            SqlType(Kind.INTERVAL_DS),
        )
    scale = int_scale(days.type)
    if scale is None:
        days, scale = to_dec(days), 0
    return call(f"tg_days_us({{0}}, {scale})", days, type_=SqlType(Kind.INTERVAL_DS))


def _moment_arithmetic(op: str, left: Expr, right: Expr) -> Expr | None:
    a, b = left.type.kind, right.type.kind
    spans = (Kind.INTERVAL_DS, Kind.INTERVAL_YM)
    if a not in MICROSECOND_KINDS and a not in spans:
        counts = a in NUMERIC_KINDS or a in TEXT_KINDS
        if op == "+" and counts and (b in MICROSECOND_KINDS or b in spans):
            return _moment_arithmetic(op, right, left)
        if op == "*" and b in spans:
            return _moment_arithmetic(op, right, left)
        return None
    if a in MICROSECOND_KINDS:
        if op == "-" and (b in MICROSECOND_KINDS):
            return _moment_difference(left, right)
        if op not in "+-":
            raise TypeMismatchError(f"operator {op} does not fit a date")
        if b is Kind.INTERVAL_YM:
            sign = "" if op == "+" else "-"
            return call(f"tg_add_months({{0}}, {sign}{{1}})", left, right, type_=left.type)
        if b is Kind.INTERVAL_DS:
            shift: Expr = right
        elif b in NUMERIC_KINDS or b in TEXT_KINDS:
            shift = days_us(right)
        else:
            raise TypeMismatchError(f"{type_text(right.type)} cannot be added to a date")
        return _moved(op, left, shift)
    return _span_arithmetic(op, left, right)


def _moved(op: str, left: Expr, shift: Expr) -> Expr:
    """A moment moved by microseconds, cut to what its type holds, its year checked."""
    text = f"({{0}} {op} {{1}})"
    unit = moment_unit(left.type)
    leaves = ColumnExpr | ConstExpr | ParamExpr | SpecialExpr
    whole = unit == 1 or _is_whole(shift, unit)
    if whole and isinstance(left, leaves) and isinstance(shift, leaves):
        text = f"CASE WHEN {text} BETWEEN {MOMENT_MIN} AND {MOMENT_MAX} THEN {text} "
        text += f"ELSE tg_moment({{0}} {op} {{1}}, 1) END"
    else:
        text = f"tg_moment({text}, {unit})"
    return call(text, left, shift, type_=left.type)


def _span_arithmetic(op: str, left: Expr, right: Expr) -> Expr:
    if op in "+-" and right.type.kind is left.type.kind:
        return call(f"({{0}} {op} {{1}})", left, right, type_=left.type)
    if op == "+" and right.type.kind in MICROSECOND_KINDS:
        result = _moment_arithmetic(op, right, left)
        assert result is not None
        return result
    if op in "*/" and (right.type.kind in NUMERIC_KINDS or is_unknown(right)):
        name = "tg_mul" if op == "*" else "tg_div"
        return call(
            f"CAST({name}({{0}}, {{1}}) AS INTEGER)",
            left,
            to_dec(settle(right, NUMBER)),
            type_=left.type,
        )
    raise TypeMismatchError(f"{type_text(left.type)} {op} {type_text(right.type)} has no meaning")


def _is_whole(shift: Expr, unit: int) -> bool:
    return isinstance(shift, ConstExpr) and type(shift.value) is int and shift.value % unit == 0


def _moment_difference(left: Expr, right: Expr) -> Expr:
    """DATE - DATE: a number of days; with a TIMESTAMP: an interval."""
    days = (Kind.DATE, Kind.TT_DATE)
    if left.type.kind in days and right.type.kind in days:
        if left.type.kind is right.type.kind is Kind.TT_DATE:
            return call(f"(({{0}} - {{1}}) / {DAY_US})", left, right, type_=BIGINT)
        return call("tg_us_days({0} - {1})", left, right, type_=NUMBER)
    return call("({0} - {1})", left, right, type_=SqlType(Kind.INTERVAL_DS))


def negate(expr: Expr) -> Expr:
    """Unary minus."""
    if expr.type.kind in (Kind.INTERVAL_DS, Kind.INTERVAL_YM):
        return call("(- {0})", expr, type_=expr.type)
    expr = to_number(settle(expr, NUMBER))
    if isinstance(expr, ConstExpr) and expr.value is not None:
        if isinstance(expr.value, str):
            if expr.type.kind in FLOAT_KINDS:
                return expr  # NaN
            return ConstExpr(canonical_number(Decimal(expr.value).copy_negate()), expr.type)
        return ConstExpr(-expr.value, expr.type)  # type: ignore[operator]
    if expr.type.kind is Kind.NUMBER and not expr.type.is_scaled:
        return call("tg_neg({0})", expr, type_=NUMBER)
    if expr.type.kind is Kind.BIGINT:
        return call("tg_isub(0, {0})", expr, type_=BIGINT)
    if expr.type.kind in FLOAT_KINDS:
        return call("tg_fneg({0})", expr, type_=expr.type)
    type_ = SqlType(Kind.INTEGER) if expr.type.kind in INTEGER_KINDS else expr.type
    return call("(- {0})", expr, type_=type_)


# -- comparison ------------------------------------------------------------------------------------
def compare(op: str, left: Expr, right: Expr) -> Expr:
    """left op right; op: = <> < > <= >= IS, "IS NOT". Raises TypeMismatchError."""
    left, right, collate = comparable(left, right)
    return call(f"({{0}} {op} {{1}}{collate})", left, right, type_=BOOLEAN)


def comparable(left: Expr, right: Expr) -> tuple[Expr, Expr, str]:
    """The two in one representation in which SQLite compares rightly, and a COLLATE clause."""
    left, right = _settle_pair(left, right)
    a, b = left.type.kind, right.type.kind
    if a in NUMERIC_KINDS or b in NUMERIC_KINDS:
        return _comparable_numbers(to_number(left), to_number(right))
    if a in TEXT_KINDS and b in TEXT_KINDS:
        return (*_comparable_texts(left, right), "")
    if a in MICROSECOND_KINDS or b in MICROSECOND_KINDS:
        if a in TEXT_KINDS:
            left = cast(left, right.type)
        elif b in TEXT_KINDS:
            right = cast(right, left.type)
        elif not (a in MICROSECOND_KINDS and b in MICROSECOND_KINDS):
            raise _mismatch(left, right)
        return left, right, ""
    if a in TEXT_KINDS:
        return cast(left, right.type), right, ""
    if b in TEXT_KINDS:
        return left, cast(right, left.type), ""
    if a is b or (a in BYTES_KINDS and b in BYTES_KINDS):
        return left, right, ""
    raise _mismatch(left, right)


def _mismatch(left: Expr, right: Expr) -> TypeMismatchError:
    return TypeMismatchError(
        f"{type_text(left.type)} and {type_text(right.type)} cannot be compared"
    )


def _settle_pair(left: Expr, right: Expr) -> tuple[Expr, Expr]:
    if is_unknown(left) and is_unknown(right):
        return settle(left, VARCHAR), settle(right, VARCHAR)
    if is_unknown(left):
        return settle(left, comparison_type(right.type, left)), right
    if is_unknown(right):
        return left, settle(right, comparison_type(left.type, right))
    return left, right


def comparison_type(other: SqlType, unknown: Expr) -> SqlType:
    """The type an untyped operand takes: wide enough to hold what was meant, unrounded."""
    if other.is_scaled:
        is_param = isinstance(unknown, ParamExpr)
        return BIGINT if is_param and other.scale == 0 else NUMBER
    if other.kind is Kind.NUMBER:
        return NUMBER
    if other.kind in (Kind.TINYINT, Kind.SMALLINT) and isinstance(unknown, ParamExpr):
        return SqlType(Kind.INTEGER)
    if other.kind in INTEGER_KINDS and isinstance(unknown, ConstExpr):
        return NUMBER
    if other.kind in (Kind.DATE, Kind.TT_DATE):
        return SqlType(Kind.TIMESTAMP, precision=6)
    if other.kind is Kind.TIMESTAMP:
        return SqlType(Kind.TIMESTAMP, precision=6)
    if other.kind in BYTES_KINDS:
        return SqlType(Kind.VARBINARY)
    if other.kind in TEXT_KINDS and other.kind is not Kind.UUID:
        return VARCHAR
    return other


def _comparable_texts(left: Expr, right: Expr) -> tuple[Expr, Expr]:
    """CHARs are stored without padding: a literal beside one loses its trailing blanks."""
    a, b = left.type.kind in PADDED_KINDS, right.type.kind in PADDED_KINDS
    if a and not b:
        right = _unpadded(right)
        if right.type.kind not in PADDED_KINDS and isinstance(right, ColumnExpr):
            return to_text(left), right
    elif b and not a:
        left = _unpadded(left)
        if left.type.kind not in PADDED_KINDS and isinstance(left, ColumnExpr):
            return left, to_text(right)
    return left, right


def _unpadded(expr: Expr) -> Expr:
    if isinstance(expr, ConstExpr) and type(expr.value) is str:
        return ConstExpr(expr.value.rstrip(" "), SqlType(Kind.CHAR))
    if isinstance(expr, ColumnExpr):
        return expr
    return call("rtrim({0}, ' ')", expr, type_=SqlType(Kind.CHAR))


def _comparable_numbers(left: Expr, right: Expr) -> tuple[Expr, Expr, str]:
    if left.type.kind in FLOAT_KINDS or right.type.kind in FLOAT_KINDS:
        return (*float_pair(left, right), "")
    a, b = int_scale(left.type), int_scale(right.type)
    if a is not None and a == b:
        return left, right, ""
    if a is not None and isinstance(right, ConstExpr):
        return left, _const_at_scale(right, a), ""
    if b is not None and isinstance(left, ConstExpr):
        return _const_at_scale(left, b), right, ""
    if a is not None and b is not None:
        aligned = _aligned(left, right, a, b)
        if aligned is not None:
            return (*aligned, "")
    # keep a bare int column as it is, so that its index serves
    if a is not None and isinstance(left, ColumnExpr) and _digits_ok(left):
        return left, _at_scale(right, a), ""
    if b is not None and isinstance(right, ColumnExpr) and _digits_ok(right):
        return _at_scale(left, b), right, ""
    return to_dec(left), to_dec(right), " COLLATE decimal"


def _digits_ok(expr: Expr) -> bool:
    return int_digits(expr.type) <= _EXACT_REAL_DIGITS


def _aligned(left: Expr, right: Expr, a: int, b: int) -> tuple[Expr, Expr] | None:
    """Raise the smaller scale to the larger, unless it overflows or hides an indexed column."""
    small, scale = (left, b) if a < b else (right, a)
    own = min(a, b)
    digits = int_digits(small.type) + scale - own
    other = right if small is left else left
    if digits > SCALED_DIGITS_MAX:
        return None
    if isinstance(small, ColumnExpr) and not isinstance(other, ColumnExpr) and _digits_ok(small):
        return None
    raised = align(small, scale, digits)
    return (raised, right) if small is left else (left, raised)


def _at_scale(expr: Expr, scale: int) -> Expr:
    """A number for comparison with ints of `scale`: exact, or between two of them."""
    own = int_scale(expr.type)
    type_ = SqlType(Kind.NUMBER, SCALED_DIGITS_MAX, scale)
    if own is not None and own >= scale:
        if own == scale:
            return expr
        return call(f"tg_cmp_scale({{0}}, {own}, {scale})", expr, type_=type_)
    if own is not None and int_digits(expr.type) + scale - own <= SCALED_DIGITS_MAX:
        return align(expr, scale, SCALED_DIGITS_MAX)
    return call(f"tg_cmp_dec({{0}}, {scale})", to_dec(expr), type_=type_)


def _const_at_scale(expr: ConstExpr, scale: int) -> Expr:
    if expr.value is None:
        return expr
    dec = to_dec(expr)
    assert isinstance(dec, ConstExpr)
    scaled = numbers.WIDE.scaleb(Decimal(str(dec.value)), scale)
    type_ = SqlType(Kind.NUMBER, SCALED_DIGITS_MAX, scale)
    if abs(scaled) >= 2**63:
        return ConstExpr(9.3e18 if scaled > 0 else -9.3e18, type_)
    whole = int(numbers.floor_decimal(scaled))
    if whole == scaled:
        return ConstExpr(whole, type_)
    if abs(whole) < 10**_EXACT_REAL_DIGITS:
        return ConstExpr(whole + 0.5, type_)
    return call(f"tg_cmp_dec({{0}}, {scale})", dec, type_=type_)


# -- texts -----------------------------------------------------------------------------------------
def concat(left: Expr, right: Expr) -> Expr:
    """|| as Oracle has it: NULL counts as empty, an empty result is NULL."""
    left, right = to_text(left), to_text(right)
    total = left.type.length + right.type.length
    known = left.type.length and right.type.length
    type_ = SqlType(Kind.VARCHAR, length=total if known else 0)
    if is_null(left):
        return right
    if is_null(right):
        return left
    if isinstance(left, ConstExpr):
        return call("({0} || coalesce({1}, ''))", left, right, type_=type_)
    if isinstance(right, ConstExpr):
        return call("(coalesce({0}, '') || {1})", left, right, type_=type_)
    return call("nullif(coalesce({0}, '') || coalesce({1}, ''), '')", left, right, type_=type_)


# -- one type for several --------------------------------------------------------------------------
def common_type(types: list[SqlType]) -> SqlType:
    """The type of CASE branches, COALESCE arguments, set operands. Raises TypeMismatchError."""
    known = [t for t in types if t.kind is not Kind.UNKNOWN]
    if not known:
        return VARCHAR
    result = known[0]
    for type_ in known[1:]:
        result = _common(result, type_)
    if result.kind in TEXT_KINDS and len(known) < len(types):
        return VARCHAR  # an untyped literal may be longer than the columns beside it
    return result


def _common(a: SqlType, b: SqlType) -> SqlType:
    if a == b:
        return a
    if a.kind in NUMERIC_KINDS and b.kind in NUMERIC_KINDS:
        return _common_number(a, b)
    if a.kind in TEXT_KINDS and b.kind in TEXT_KINDS:
        length = max(a.length, b.length) if a.length and b.length else 0
        if a.kind is b.kind and a.length == b.length:
            return a
        return SqlType(Kind.VARCHAR, length=length)
    if a.kind in MICROSECOND_KINDS and b.kind in MICROSECOND_KINDS:
        if a.kind is b.kind:
            return a if a.precision >= b.precision else b
        if {a.kind, b.kind} == {Kind.DATE, Kind.TT_DATE}:
            return SqlType(Kind.DATE)
        return SqlType(Kind.TIMESTAMP, precision=6)
    if a.kind in BYTES_KINDS and b.kind in BYTES_KINDS:
        return SqlType(Kind.VARBINARY, length=max(a.length, b.length))
    if a.kind is b.kind:
        return a
    raise TypeMismatchError(f"{type_text(a)} and {type_text(b)} do not go together")


def _common_number(a: SqlType, b: SqlType) -> SqlType:
    if a.kind in FLOAT_KINDS or b.kind in FLOAT_KINDS:
        kinds = (a.kind, b.kind)
        single = Kind.BINARY_FLOAT in kinds and Kind.BINARY_DOUBLE not in kinds
        return SqlType(Kind.BINARY_FLOAT) if single else DOUBLE
    if a.kind in INTEGER_KINDS and b.kind in INTEGER_KINDS:
        return SqlType(max(a.kind, b.kind))
    first, second = int_scale(a), int_scale(b)
    if first is None or second is None:
        return NUMBER
    if first == second == 0 and (a.kind in INTEGER_KINDS or b.kind in INTEGER_KINDS):
        wide = max(int_digits(a), int_digits(b))
        return (
            SqlType(Kind.INTEGER)
            if wide <= 9
            or (
                wide == 10
                and Kind.INTEGER in (a.kind, b.kind)
                and min(int_digits(a), int_digits(b)) <= 9
            )
            else BIGINT
        )
    scale = max(first, second)
    digits = max(int_digits(a) - first, int_digits(b) - second) + scale
    return SqlType(Kind.NUMBER, digits, scale) if digits <= SCALED_DIGITS_MAX else NUMBER


def unify(exprs: list[Expr]) -> tuple[list[Expr], SqlType]:
    """All of them as one type."""
    type_ = common_type([e.type for e in exprs])
    return [convert_to(e, type_) for e in exprs], type_


def convert_to(expr: Expr, type_: SqlType) -> Expr:
    """To a common type: scales aligned cheaply, no range checks needed."""
    if is_unknown(expr):
        return settle(expr, type_)
    if expr.type == type_ or is_null(expr):
        return expr
    own, scale = int_scale(expr.type), int_scale(type_)
    if own is not None and scale is not None and own <= scale:
        if own == scale:
            return call("{0}", expr, type_=type_)
        return call(f"({{0}} * {POW10[scale - own]})", expr, type_=type_)
    if type_.kind is Kind.NUMBER:
        return to_dec(expr)
    if type_.kind is Kind.BINARY_DOUBLE:
        return to_float(expr)
    if type_.kind in TEXT_KINDS and type_.kind not in PADDED_KINDS:
        return to_text(expr)
    return cast(expr, type_)
