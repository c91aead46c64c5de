"""SQL functions: name → how a call with these typed arguments is written in SQLite. Pure.

The everyday ones are here; the families math, text, dates, floats, JSON, arrays have modules of
their own (…_functions.py). Aggregates are in data/sql/aggregates.py. Others are refused.
"""

from __future__ import annotations

import re

from data.catalog.pg_texts import format_type, type_oid
from data.sql import datetimes
from data.sql.array_functions import ARRAY_CALLS
from data.sql.builders import MONTHS, SPAN, Builder, Entry, const_text, fn, moment_arg, special
from data.sql.convert import int_digits, int_scale
from data.sql.date_functions import DATE_CALLS
from data.sql.datetimes import DAY_US
from data.sql.floats import FLOAT_CALLS
from data.sql.ir import Call, ConstExpr, Expr, SpecialExpr
from data.sql.json_functions import JSON_CALLS
from data.sql.math_functions import MATH_CALLS, by_representation
from data.sql.operators import (
    call,
    cast,
    comparable,
    concat,
    days_us,
    is_moment,
    is_null,
    is_number,
    is_text,
    is_unknown,
    null,
    number_const,
    settle,
    to_dec,
    to_float,
    to_int,
    to_number,
    to_text,
    unify,
)
from data.sql.plan_types import Special
from data.sql.text_functions import TEXT_CALLS
from data.sql.type_names import type_text
from protocol.errors import DatetimeError, NotSupportedError, ParameterError, UnknownFunctionError
from protocol.sqltypes import (
    BIGINT,
    BOOLEAN,
    BYTES_KINDS,
    DATE,
    DOUBLE,
    FLOAT_KINDS,
    INTEGER,
    MICROSECOND_KINDS,
    NUMBER,
    SCALED_DIGITS_MAX,
    TIMESTAMP,
    VARCHAR,
    Kind,
    SqlType,
)

TODAY = SpecialExpr(Special("today"), DATE)


def _same_length(function: str) -> Builder:
    """Text in, text of the same length out."""

    def build(args: list[Expr]) -> Expr:
        text = to_text(args[0])
        return call(
            f"{function}({{0}})", text, type_=SqlType(Kind.VARCHAR, length=text.type.length)
        )

    return build


# -- choice ---------------------------------------------------------------------------------------
def coalesce(args: list[Expr]) -> Expr:
    """COALESCE, NVL: the first that is not NULL."""
    if len(args) == 1:
        return args[0]
    typed, type_ = unify(args)
    marks = ", ".join(f"{{{i}}}" for i in range(len(typed)))
    return Call(f"coalesce({marks})", tuple(typed), type_)


def _nvl2(args: list[Expr]) -> Expr:
    (yes, no), type_ = unify(args[1:])
    test = settle(args[0], VARCHAR)
    return call("CASE WHEN {0} IS NOT NULL THEN {1} ELSE {2} END", test, yes, no, type_=type_)


def _nullif(args: list[Expr]) -> Expr:
    left, right, collate = comparable(args[0], args[1])
    value = settle(args[0], VARCHAR)
    text = f"CASE WHEN {{1}} = {{2}}{collate} THEN NULL ELSE {{0}} END"
    return call(text, value, left, right, type_=value.type)


def decode(args: list[Expr]) -> Expr:
    """DECODE(value, search, result, …, default); NULL finds NULL."""
    value, rest = args[0], args[1:]
    pairs = [(rest[i], rest[i + 1]) for i in range(0, len(rest) - 1, 2)]
    results = [r for _, r in pairs] + ([rest[-1]] if len(rest) % 2 else [])
    typed, type_ = unify(results)
    out: list[Expr] = []
    text = "CASE"
    for (search, _result), result in zip(pairs, typed, strict=False):
        left, right, collate = comparable(value, search)
        at = len(out)
        out += [left, right, result]
        text += f" WHEN {{{at}}} IS {{{at + 1}}}{collate} THEN {{{at + 2}}}"
    if len(rest) % 2:
        text += f" ELSE {{{len(out)}}}"
        out.append(typed[-1])
    return Call(text + " END", tuple(out), type_)


def _extreme(op: str) -> Builder:
    """GREATEST and LEAST: NULL if any argument is NULL."""

    def build(args: list[Expr]) -> Expr:
        typed, type_ = unify(args)
        result = typed[0]
        for other in typed[1:]:
            left, right, collate = comparable(result, other)
            text = (
                "CASE WHEN {2} IS NULL OR {3} IS NULL THEN NULL "
                f"WHEN {{2}} {op} {{3}}{collate} THEN {{0}} ELSE {{1}} END"
            )
            result = call(text, result, other, left, right, type_=type_)
        return result

    return build


# -- numbers --------------------------------------------------------------------------------------
def _abs(args: list[Expr]) -> Expr:
    value = to_number(settle(args[0], NUMBER))
    if value.type.kind is Kind.NUMBER and not value.type.is_scaled:
        return call("tg_abs({0})", value, type_=NUMBER)
    return call("abs({0})", value, type_=value.type)


def _mod(args: list[Expr]) -> Expr:
    left, right = (to_number(settle(a, NUMBER)) for a in args)
    if int_scale(left.type) == 0 and int_scale(right.type) == 0:
        type_ = right.type if int_digits(right.type) < int_digits(left.type) else left.type
        if type_.kind is Kind.NUMBER and Kind.NUMBER is not left.type.kind:
            type_ = left.type
        return call("tg_imod({0}, {1})", left, right, type_=type_)
    return by_representation("tg_mod", "tg_fmod")([left, right])


def _float_function(name: str) -> Builder:
    return lambda args: call(f"{name}({{0}})", to_float(settle(args[0], NUMBER)), type_=DOUBLE)


def _literal_int(expr: Expr) -> int | None:
    if isinstance(expr, ConstExpr) and type(expr.value) is int and int_scale(expr.type) == 0:
        return expr.value
    return None


def _rounding(function: str, moment_function: str) -> Builder:
    """ROUND and TRUNC of numbers and dates."""

    def build(args: list[Expr]) -> Expr:
        value = args[0]
        if is_moment(value) or (len(args) == 2 and const_text(args[1]) and is_text(value)):
            return _round_moment(moment_function, args)
        value = to_number(settle(value, NUMBER))
        digits = to_int(args[1]) if len(args) > 1 else ConstExpr(0, SqlType(Kind.NUMBER, 1, 0))
        known = _literal_int(digits)
        scale = int_scale(value.type)
        if value.type.kind in FLOAT_KINDS:
            text = f"CAST({function}(tg_fdec({{0}}), {{1}}) AS REAL)"
            return call(text, value, digits, type_=DOUBLE)
        if scale is not None and known is not None and known >= 0:
            if known >= scale:
                return value
            if function == "tg_round":
                wide = min(int_digits(value.type) - scale + known + 1, SCALED_DIGITS_MAX)
                type_ = SqlType(Kind.NUMBER, max(wide, 1), known)
                return call(f"tg_rescale({{0}}, {scale}, {known})", value, type_=type_)
            wide = max(int_digits(value.type) - scale + known, 1)
            unit = 10 ** (scale - known)
            return call(f"({{0}} / {unit})", value, type_=SqlType(Kind.NUMBER, wide, known))
        return call(f"{function}({{0}}, {{1}})", to_dec(value), digits, type_=NUMBER)

    return build


def _round_moment(function: str, args: list[Expr]) -> Expr:
    value = args[0] if is_moment(args[0]) else cast(args[0], TIMESTAMP)
    model = to_text(args[1]) if len(args) > 1 else ConstExpr("DD", VARCHAR)
    type_ = value.type if value.type.kind is Kind.TT_DATE else DATE
    if function == "tg_date_trunc" and const_text(model) in ("DD", "DDD"):
        # SQLite's % takes the sign of the left side: shift into the positive first
        return call(f"({{0}} - (({{0}} % {DAY_US} + {DAY_US}) % {DAY_US}))", value, type_=type_)
    return call(f"{function}({{0}}, {{1}})", value, model, type_=type_)


def _to_whole(function: str) -> Builder:
    """CEIL and FLOOR."""

    def build(args: list[Expr]) -> Expr:
        value = to_number(settle(args[0], NUMBER))
        if int_scale(value.type) == 0:
            return value
        if value.type.kind in FLOAT_KINDS:
            return call(f"CAST({function}({{0}}) AS REAL)", to_dec(value), type_=DOUBLE)
        result = call(f"{function}({{0}})", to_dec(value), type_=NUMBER)
        if value.type.is_scaled:
            digits = max(value.type.precision - value.type.scale + 1, 1)
            whole = SqlType(Kind.NUMBER, min(digits, SCALED_DIGITS_MAX), 0)
            return call("CAST({0} AS INTEGER)", result, type_=whole)
        return result

    return build


# -- conversions ----------------------------------------------------------------------------------
_NLS = re.compile(r"\s*(NLS_\w+)\s*=\s*(?:'([^']*)'|([^\s']+))\s*", re.IGNORECASE)
_NLS_HERE = {
    "NLS_NUMERIC_CHARACTERS": (".,",),
    "NLS_DATE_LANGUAGE": ("AMERICAN", "ENGLISH"),
    "NLS_CURRENCY": ("$",),
}


def _check_nls(args: list[Expr]) -> None:
    """Raises NotSupportedError for a third argument that asks for what is different here."""
    if len(args) < 3 or is_null(args[2]):
        return
    text = const_text(args[2])
    at = 0
    while text is not None and at < len(text):
        match = _NLS.match(text, at)
        if match is None or (match[2] or match[3]).upper() not in _NLS_HERE.get(
            match[1].upper(), ()
        ):
            break
        at = match.end()
    if text is None or at < len(text):
        known = ", ".join(f"{name} = '{values[0]}'" for name, values in _NLS_HERE.items())
        raise NotSupportedError(f"an NLS argument other than {known} is not supported")


def _to_char(args: list[Expr]) -> Expr:
    _check_nls(args)
    value = args[0]
    if len(args) == 1:
        return to_text(value)
    model = to_text(args[1])
    if is_moment(value):
        return call("tg_date_char({0}, {1})", value, model, type_=VARCHAR)
    if value.type.kind is Kind.INTERVAL_DS:
        return to_text(value)
    if is_text(value) and not is_unknown(value):
        value = cast(value, NUMBER)
    return call(
        "tg_num_char({0}, {1})", to_dec(to_number(settle(value, NUMBER))), model, type_=VARCHAR
    )


def _to_number(args: list[Expr]) -> Expr:
    _check_nls(args)
    if len(args) == 1:
        return to_number(settle(args[0], NUMBER)) if is_unknown(args[0]) else to_number(args[0])
    text, model = to_text(args[0]), to_text(args[1])
    return call("tg_num_format({0}, {1})", text, model, type_=NUMBER)


def _to_moment(type_: SqlType) -> Builder:
    """TO_DATE, TO_TIMESTAMP."""

    def build(args: list[Expr]) -> Expr:
        _check_nls(args)
        value = args[0]
        if len(args) == 1:
            if is_number(value):  # PostgreSQL: seconds since 1970
                seconds = call("tg_interval({0}, 1000000)", to_dec(value), type_=SPAN)
                return call("{0}", seconds, type_=type_)
            return cast(value, type_)
        if is_moment(value):
            return cast(value, type_)
        moment = call(
            "tg_to_date({0}, {1}, {2})", to_text(value), to_text(args[1]), TODAY, type_=TIMESTAMP
        )
        return cast(moment, type_)

    return build


_UNITS_US = {"DAY": DAY_US, "HOUR": 3_600_000_000, "MINUTE": 60_000_000, "SECOND": 1_000_000}


def _num_to_interval(units: dict[str, int], type_: SqlType) -> Builder:
    def build(args: list[Expr]) -> Expr:
        unit = (const_text(args[1]) or "").upper()
        if unit not in units:
            raise ParameterError(f"interval unit must be one of {', '.join(units)}")
        number = to_dec(to_number(settle(args[0], NUMBER)))
        name = "tg_interval" if type_ is SPAN else "tg_months"
        return call(f"{name}({{0}}, {units[unit]})", number, type_=type_)

    return build


def interval_literal(args: list[Expr]) -> Expr:
    """INTERVAL '…' [units]."""
    text, units = const_text(args[0]) or "", (const_text(args[1]) or "").split()
    if units and units[0] in ("YEAR", "MONTH"):
        if units == ["MONTH"]:
            text = f"0-{text.strip()}" if int(text) < 100 else text
            months = int(text.split("-")[-1]) if "-" in text else int(text)
            return ConstExpr(months, MONTHS)
        return ConstExpr(datetimes.parse_months(text), MONTHS)
    if len(units) == 1:
        number = number_const(text.strip().lstrip("+-") or "0")
        us = to_dec(number)
        assert isinstance(us, ConstExpr)
        from decimal import Decimal

        value = int(Decimal(str(us.value)) * _UNITS_US[units[0]])
        return ConstExpr(-value if text.strip().startswith("-") else value, SPAN)
    if units in (["HOUR", "TO", "MINUTE"], ["MINUTE", "TO", "SECOND"]):
        text = text + ":00" if units[0] == "HOUR" else "0:" + text
    elif units in (["DAY", "TO", "HOUR"],):
        text += ":00:00"
    elif not units:
        words = text.split()
        if len(words) == 2 and words[1].rstrip("s").lower() in ("month", "mon", "year"):
            factor = 12 if words[1].lower().startswith("y") else 1
            return ConstExpr(int(words[0]) * factor, MONTHS)
    return ConstExpr(datetimes.parse_interval(text), SPAN)


def extract(part: str, value: Expr) -> Expr:
    """EXTRACT(part FROM value)."""
    if not part.isalpha():
        raise ParameterError(f'unit "{part[:60]}" not recognised')
    part = part.upper().removesuffix("S") if part.upper() not in ("DOW", "DOY") else part.upper()
    if is_unknown(value):
        value = cast(value, TIMESTAMP)
    if value.type.kind is Kind.INTERVAL_YM:
        text = "({0} / 12)" if part == "YEAR" else "({0} % 12)"
        return call(text, value, type_=INTEGER)
    part = {"MILLENNIA": "MILLENNIUM", "CENTURIE": "CENTURY", "MSEC": "MILLISECOND"}.get(part, part)
    if value.type.kind in (Kind.INTERVAL_DS, Kind.TT_TIME) or part == "EPOCH":
        return _extract_span(part, value)
    if value.type.kind not in MICROSECOND_KINDS:
        value = cast(value, TIMESTAMP)
    if part == "SECOND" and value.type.kind in (Kind.TIMESTAMP, Kind.TT_TIMESTAMP):
        minute = 60_000_000
        return call(f"tg_seconds(({{0}} % {minute} + {minute}) % {minute})", value, type_=NUMBER)
    if part == "MILLISECOND":
        micros = call("tg_extract({0}, 'MICROSECOND')", value, type_=INTEGER)
        return call("tg_dec({0}, 3)", micros, type_=NUMBER)
    return call(f"tg_extract({{0}}, '{part}')", value, type_=INTEGER)


def _extract_span(part: str, value: Expr) -> Expr:
    texts = {
        "DAY": (f"({{0}} / {DAY_US})", INTEGER),
        "HOUR": ("({0} / 3600000000 % 24)", INTEGER),
        "MINUTE": ("({0} / 60000000 % 60)", INTEGER),
        "SECOND": ("tg_seconds({0} % 60000000)", NUMBER),
        "EPOCH": ("tg_seconds({0})", NUMBER),
    }
    if part not in texts:
        raise DatetimeError(f"cannot extract {part} of {type_text(value.type)}")
    return call(texts[part][0], value, type_=texts[part][1])


def _date_part(args: list[Expr]) -> Expr:
    part = const_text(args[0])
    if part is None:
        raise ParameterError("the part to extract must be a literal")
    return extract(part, args[1])


def _pg_date_trunc(args: list[Expr]) -> Expr:
    unit = (const_text(args[0]) or "").lower()
    value = moment_arg(args[1])
    models = {"week": "IW", "day": "DD", "month": "MM", "year": "YYYY", "hour": "HH24"}
    model = models.get(unit) or {"minute": "MI", "second": "SS", "quarter": "Q"}.get(unit)
    if model is None:
        raise ParameterError(f'unit "{unit}" not recognised')
    return call(f"tg_date_trunc({{0}}, '{model}')", value, type_=TIMESTAMP)


def _concat(args: list[Expr]) -> Expr:
    result = args[0] if len(args) > 1 else concat(args[0], null(VARCHAR))
    for other in args[1:]:
        result = concat(result, other)
    return result


def _add_months(args: list[Expr]) -> Expr:
    value = moment_arg(args[0])
    months = to_dec(to_number(settle(args[1], NUMBER)))
    type_ = value.type if value.type.kind is Kind.TT_DATE else DATE
    return call("tg_add_months({0}, {1})", value, months, type_=type_)


def _literal_moment(type_: SqlType) -> Builder:
    return lambda args: cast(settle(args[0], VARCHAR), type_)


def _literal_timestamp(args: list[Expr]) -> Expr:
    """TIMESTAMP '…': with an offset it has a time zone."""
    zoned = re.search(r":\d\d(?:\.\d+)?\s*[+-]\d{1,2}(?::?\d\d)?\s*$", const_text(args[0]) or "")
    type_ = SqlType(Kind.TIMESTAMPTZ, precision=6) if zoned else TIMESTAMP
    return cast(settle(args[0], VARCHAR), type_)


def _length(args: list[Expr]) -> Expr:
    value = args[0]
    if value.type.kind in BYTES_KINDS:
        return call("length({0})", value, type_=INTEGER)
    return call("tg_length({0})", to_text(value), type_=INTEGER)


def _lengthb(args: list[Expr]) -> Expr:
    if args[0].type.kind in BYTES_KINDS:
        return _length(args)
    return call("tg_lengthb({0})", to_text(args[0]), type_=INTEGER)


def _regexp_replace(args: list[Expr]) -> Expr:
    """Oracle's (text, pattern, by, start, occurrence, flags); PostgreSQL's (…, by, flags)."""
    flags = const_text(args[3]) if len(args) == 4 else None
    if flags is not None and not flags.strip().lstrip("-").isdigit():
        occurrence = ConstExpr(0 if "g" in flags else 1, INTEGER)
        args = [*args[:3], ConstExpr(1, INTEGER), occurrence, args[3]]
    return _ORACLE_REPLACE[2](args)


_ORACLE_REPLACE = fn("tg_regexp_replace", "ttt?iit")


def _to_char_raw(args: list[Expr]) -> Expr:
    """RAWTOHEX: of a text, the hexadecimal form of its bytes."""
    value = args[0] if args[0].type.kind in BYTES_KINDS else to_text(args[0])
    return call("hex({0})", value, type_=VARCHAR)


_CONTEXT = {
    "SESSION_USER": "user",
    "CURRENT_USER": "user",
    "SESSION_SCHEMA": "schema",
    "CURRENT_SCHEMA": "schema",
    "DB_NAME": "database",
    "SESSIONID": "session_id",
    "SID": "session_id",
}


def _sys_context(args: list[Expr]) -> Expr:
    """SYS_CONTEXT('USERENV', parameter)."""
    namespace, name = ((const_text(a) or "").upper() for a in args[:2])
    if namespace == "USERENV" and name in ("LANG", "LANGUAGE"):
        return ConstExpr("AMERICAN_AMERICA.AL32UTF8" if name == "LANGUAGE" else "US", VARCHAR)
    if namespace != "USERENV" or name not in _CONTEXT:
        raise ParameterError(f"SYS_CONTEXT knows USERENV with {', '.join(_CONTEXT)}")
    return to_text(SpecialExpr(Special(_CONTEXT[name]), INTEGER if "ID" in name else VARCHAR))


def _count_nulls(test: str) -> Builder:
    def build(args: list[Expr]) -> Expr:
        text = " + ".join(f"({test.format(f'{{{i}}}')})" for i in range(len(args)))
        return Call(f"({text})", tuple(settle(a, VARCHAR) for a in args), INTEGER)

    return build


def _as_span(args: list[Expr]) -> Expr:
    """(a - b) DAY TO SECOND: of dates a number of days, else an interval already."""
    if args[0].type.kind is Kind.INTERVAL_DS:
        return args[0]
    return days_us(args[0])


def _as_months(args: list[Expr]) -> Expr:
    """(a - b) YEAR TO MONTH: the months between the two, rounded."""
    value = args[0]
    if value.type.kind is Kind.INTERVAL_YM:
        return value
    moments = value.children()
    if len(moments) != 2 or not all(is_moment(m) for m in moments):
        raise ParameterError("YEAR TO MONTH needs the difference of two dates")
    between = call("tg_months_between({0}, {1})", *moments, type_=NUMBER)
    return call("CAST(tg_round({0}, 0) AS INTEGER)", between, type_=MONTHS)


def _cast_to(type_: SqlType) -> Builder:
    return lambda args: cast(args[0], type_)


def _type_name(value: Expr) -> str:
    """PostgreSQL's name of what the wire shows; a whole number literal is shown as an integer."""
    whole = isinstance(value, ConstExpr) and type(value.value) is int and value.type.scale == 0
    return format_type(type_oid(INTEGER if whole else value.type), None) or ""


FUNCTIONS: dict[str, Entry] = {
    # choice
    "COALESCE": (1, 255, coalesce),
    "NVL": (2, 2, coalesce),
    "IFNULL": (2, 2, coalesce),
    "NVL2": (3, 3, _nvl2),
    "NULLIF": (2, 2, _nullif),
    "DECODE": (3, 255, decode),
    "GREATEST": (1, 255, _extreme(">")),
    "LEAST": (1, 255, _extreme("<")),
    # strings
    "UPPER": (1, 1, _same_length("tg_upper")),
    "LOWER": (1, 1, _same_length("tg_lower")),
    "INITCAP": (1, 1, _same_length("tg_initcap")),
    "REVERSE": (1, 1, _same_length("tg_reverse")),
    "SUBSTR": fn("tg_substr", "tii?"),
    "SUBSTRB": fn("tg_substrb", "tii?"),
    "INSTR": fn("tg_instr", "tti?i", INTEGER),
    "STRPOS": fn("tg_instr", "tt", INTEGER),
    "LPAD": fn("tg_lpad", "tit?"),
    "RPAD": fn("tg_rpad", "tit?"),
    "LTRIM": fn("tg_ltrim", "tt?"),
    "RTRIM": fn("tg_rtrim", "tt?"),
    "BTRIM": fn("tg_trim", "tt?"),
    "REPLACE": fn("tg_replace", "ttt?"),
    "TRANSLATE": fn("tg_translate", "ttt"),
    "CONCAT": (1, 255, _concat),
    "LENGTH": (1, 1, _length),
    "CHAR_LENGTH": (1, 1, _length),
    "CHARACTER_LENGTH": (1, 1, _length),
    "LENGTHB": (1, 1, _lengthb),
    "OCTET_LENGTH": (1, 1, _lengthb),
    "ASCII": fn("tg_ascii", "t", INTEGER),
    "CHR": fn("tg_chr", "i"),
    "NCHR": fn("tg_chr", "i"),
    "REPEAT": fn("tg_repeat", "ti"),
    "LEFT": fn("tg_left", "ti"),
    "RIGHT": fn("tg_right", "ti"),
    "SPLIT_PART": fn("tg_split_part", "tti"),
    "MD5": fn("tg_md5", "t"),
    "REGEXP_LIKE": fn("tg_regexp_like", "ttt?", BOOLEAN),
    "REGEXP_SUBSTR": fn("tg_regexp_substr", "tti?iti"),
    "REGEXP_INSTR": fn("tg_regexp_instr", "tti?iit", INTEGER),
    "REGEXP_REPLACE": (2, 6, _regexp_replace),
    "REGEXP_COUNT": fn("tg_regexp_count", "tti?t", INTEGER),
    # numbers
    "ABS": (1, 1, _abs),
    "MOD": (2, 2, _mod),
    "SIGN": fn("tg_sign", "n", INTEGER),
    "POWER": (2, 2, by_representation("tg_power", "tg_fpower")),
    "POW": (2, 2, by_representation("tg_power", "tg_fpower")),
    "SQRT": (1, 1, by_representation("tg_sqrt", "tg_fsqrt")),
    "EXP": (1, 1, by_representation("tg_exp", "tg_fexp")),
    "LN": (1, 1, by_representation("tg_ln", "tg_fln")),
    "LOG": fn("tg_log", "nn", NUMBER),
    "ROUND": (1, 2, _rounding("tg_round", "tg_date_round")),
    "TRUNC": (1, 2, _rounding("tg_trunc", "tg_date_trunc")),
    "TRUNCATE": (1, 2, _rounding("tg_trunc", "tg_date_trunc")),
    "CEIL": (1, 1, _to_whole("tg_ceil")),
    "CEILING": (1, 1, _to_whole("tg_ceil")),
    "FLOOR": (1, 1, _to_whole("tg_floor")),
    "BITAND": fn("tg_bitand", "nn", BIGINT),
    "BITOR": fn("tg_bitor", "nn", BIGINT),
    "WIDTH_BUCKET": fn("tg_width_bucket", "nnnn", INTEGER),
    **{
        n.upper(): (1, 1, _float_function(n)) for n in ("sin", "cos", "tan", "asin", "acos", "atan")
    },
    **{
        n.upper(): (1, 1, _float_function(n))
        for n in ("sinh", "cosh", "tanh", "radians", "degrees")
    },
    # conversions
    "TO_CHAR": (1, 3, _to_char),
    "TO_NCHAR": (1, 3, _to_char),
    "TO_NUMBER": (1, 3, _to_number),
    "TO_DATE": (1, 3, _to_moment(DATE)),
    "TO_TIMESTAMP": (1, 3, _to_moment(TIMESTAMP)),
    "HEXTORAW": fn("tg_hextoraw", "t", SqlType(Kind.VARBINARY)),
    "RAWTOHEX": (1, 1, _to_char_raw),
    "NUMTODSINTERVAL": (2, 2, _num_to_interval(_UNITS_US, SPAN)),
    "NUMTOYMINTERVAL": (2, 2, _num_to_interval({"YEAR": 12, "MONTH": 1}, MONTHS)),
    "TO_DSINTERVAL": (1, 1, _cast_to(SPAN)),
    "TO_YMINTERVAL": (1, 1, _cast_to(MONTHS)),
    # moments
    "SYSDATE": special("sysdate", DATE),
    "ORA_SYSDATE": special("sysdate", DATE),
    "TT_SYSDATE": special("systimestamp", SqlType(Kind.TT_TIMESTAMP, precision=6)),
    "SYSTIMESTAMP": special("systimestamp", TIMESTAMP),
    "CURRENT_TIMESTAMP": special("systimestamp", TIMESTAMP),
    "LOCALTIMESTAMP": special("systimestamp", TIMESTAMP),
    "NOW": special("systimestamp", TIMESTAMP),
    "TRANSACTION_TIMESTAMP": special("systimestamp", TIMESTAMP),
    "STATEMENT_TIMESTAMP": special("systimestamp", TIMESTAMP),
    "CLOCK_TIMESTAMP": special("systimestamp", TIMESTAMP),
    "GETDATE": special("systimestamp", TIMESTAMP),
    "CURRENT_DATE": special("today", SqlType(Kind.TT_DATE)),
    "ADD_MONTHS": (2, 2, _add_months),
    "MONTHS_BETWEEN": (
        2,
        2,
        lambda args: call(
            "tg_months_between({0}, {1})", moment_arg(args[0]), moment_arg(args[1]), type_=NUMBER
        ),
    ),
    "LAST_DAY": (1, 1, lambda args: call("tg_last_day({0})", moment_arg(args[0]), type_=DATE)),
    "NEXT_DAY": (
        2,
        2,
        lambda args: call(
            "tg_next_day({0}, {1})", moment_arg(args[0]), to_text(args[1]), type_=DATE
        ),
    ),
    "DATE_PART": (2, 2, _date_part),
    "DATE_TRUNC": (2, 2, _pg_date_trunc),
    "DATE": (1, 1, _cast_to(SqlType(Kind.TT_DATE))),
    # session
    "USER": special("user", SqlType(Kind.VARCHAR, length=63)),
    "CURRENT_USER": special("user", SqlType(Kind.VARCHAR, length=63)),
    "SESSION_USER": special("user", SqlType(Kind.VARCHAR, length=63)),
    "CURRENT_ROLE": special("user", SqlType(Kind.VARCHAR, length=63)),
    "CURRENT_SCHEMA": special("schema", SqlType(Kind.VARCHAR, length=63)),
    "CURRENT_DATABASE": special("database", SqlType(Kind.VARCHAR, length=63)),
    "CURRENT_CATALOG": special("database", SqlType(Kind.VARCHAR, length=63)),
    "PG_BACKEND_PID": special("session_id", INTEGER),
    "SYS_CONTEXT": (2, 3, _sys_context),
    "USERENV": (1, 1, lambda args: _sys_context([ConstExpr("USERENV", VARCHAR), args[0]])),
    "PG_TYPEOF": (1, 1, lambda args: ConstExpr(_type_name(args[0]), VARCHAR)),
    "NUM_NULLS": (1, 99, _count_nulls("{} IS NULL")),
    "NUM_NONNULLS": (1, 99, _count_nulls("{} IS NOT NULL")),
    "AS_SPAN": (1, 1, _as_span),
    "AS_MONTHS": (1, 1, _as_months),
    **FLOAT_CALLS,
    **MATH_CALLS,
    **TEXT_CALLS,
    **DATE_CALLS,
    **ARRAY_CALLS,
    **JSON_CALLS,
    # literals the token pass wrote as calls
    "LITERAL_DATE": (1, 1, _literal_moment(DATE)),
    "LITERAL_TT_DATE": (1, 1, _literal_moment(SqlType(Kind.TT_DATE))),
    "LITERAL_TIMESTAMP": (1, 1, _literal_timestamp),
    "LITERAL_TIMESTAMPTZ": (1, 1, _literal_moment(SqlType(Kind.TIMESTAMPTZ))),
    "LITERAL_TT_TIMESTAMP": (1, 1, _literal_moment(SqlType(Kind.TT_TIMESTAMP, precision=6))),
    "LITERAL_TIME": (1, 1, _literal_moment(SqlType(Kind.TT_TIME))),
    "LITERAL_TT_TIME": (1, 1, _literal_moment(SqlType(Kind.TT_TIME))),
    "LITERAL_INTERVAL": (2, 2, interval_literal),
    "LITERAL_HEX": (
        1,
        1,
        lambda args: ConstExpr(bytes.fromhex(const_text(args[0]) or ""), SqlType(Kind.VARBINARY)),
    ),
}

_PG_DECODE = fn("tg_decode", "tt", SqlType(Kind.VARBINARY))


def build_call(name: str, args: list[Expr], position: int = 0) -> Expr:
    """The expression of a function call. Raises UnknownFunctionError, TypeMismatchError."""
    known = FUNCTIONS.get(name)
    if name == "LOG" and len(args) == 1:
        return FUNCTIONS["LOG10"][2](args)
    if name == "RANDOM" and not args:
        text = "(abs(random() % 1000000000000000) / 1000000000000000.0)"
        return Call(text, (), DOUBLE, volatile=True)
    if name == "DECODE" and len(args) == 2:  # PostgreSQL's decode(text, 'hex')
        return _PG_DECODE[2](args)
    if known is None:
        raise UnknownFunctionError(
            f"function {name.lower()} does not exist",
            hint="Functions of PL/SQL are called in blocks, or by CALL; not in SQL.",
            position=position,
        )
    least, most, builder = known
    if not least <= len(args) <= most:
        raise UnknownFunctionError(
            f"function {name.lower()} does not take {len(args)} arguments", position=position
        )
    return builder(args)
