"""The supplied packages: DBMS_OUTPUT, DBMS_RANDOM, DBMS_UTILITY, DBMS_LOCK, UTL_RAW."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING, Any

from data.plsql import values
from data.plsql.errors import APPLICATION_CODES, PlError, predefined
from data.plsql.output import DBMS_OUTPUT
from data.plsql.scope import Builtin, PackageSymbol
from data.plsql.values import Value

if TYPE_CHECKING:
    from data.plsql.context import Context

_STARTED_S = monotonic()
SLEEP_S_MAX = 3600.0


def _whole(value: Value) -> int:
    number = values.number(value)
    if number is None:
        raise predefined("VALUE_ERROR", ": a number is needed")
    return int(number)


# -- DBMS_RANDOM -----------------------------------------------------------------------------------
def _generator(context: Context) -> random.Random:
    if context.packages.seed is None:
        context.packages.seed = random.Random()
    found: random.Random = context.packages.seed
    return found


def _seed(context: Context, given: list[Value]) -> None:
    context.packages.seed = random.Random(values.text(given[0]) if given else None)


def _random_value(context: Context, given: list[Value]) -> Value:
    drawn = Decimal(_generator(context).randrange(10**38)).scaleb(-38)
    if not given:
        return values.whole(drawn)
    low, high = Decimal(values.number(given[0])), Decimal(values.number(given[1]))
    return values.whole(values.ARITHMETIC.add(low, drawn * (high - low)))


def _random_whole(context: Context, given: list[Value]) -> Value:
    return _generator(context).randrange(-(2**31), 2**31)


def _normal(context: Context, given: list[Value]) -> Value:
    return values.whole(Decimal(repr(_generator(context).gauss(0.0, 1.0))))


_LETTERS = {
    "U": string.ascii_uppercase,
    "L": string.ascii_lowercase,
    "A": string.ascii_letters,
    "X": string.ascii_uppercase + string.digits,
    "P": "".join(chr(code) for code in range(32, 127)),
}


def _random_string(context: Context, given: list[Value]) -> Value:
    option = (values.text(given[0]) or "U")[0].upper()
    letters = _LETTERS.get(option, _LETTERS["U"])
    length = min(_whole(given[1]), 4000)
    generator = _generator(context)
    return "".join(generator.choice(letters) for _ in range(length)) or None


# -- DBMS_UTILITY, DBMS_LOCK -----------------------------------------------------------------------
def _get_time(context: Context, given: list[Value]) -> Value:
    return int((monotonic() - _STARTED_S) * 100)


def _error_stack(context: Context, given: list[Value]) -> Value:
    if not context.errors:
        return None
    newest = context.errors[-1]
    trail = [f"ORA-06512: {line}" for line in newest.lines]
    return "\n".join([newest.text, *trail])


def _error_backtrace(context: Context, given: list[Value]) -> Value:
    lines = context.errors[-1].lines if context.errors else []
    return "\n".join(f"ORA-06512: {line}" for line in lines) or None


def _comma_to_table(context: Context, given: list[Value]) -> Any:
    raise predefined("PROGRAM_ERROR", ": COMMA_TO_TABLE needs an array; split the text instead")


def _sleep(context: Context, given: list[Value]) -> None:
    seconds = float(values.number(given[0]) or 0)
    if not 0 <= seconds <= SLEEP_S_MAX:
        raise predefined("VALUE_ERROR", f": 0 to {SLEEP_S_MAX:.0f} seconds")
    context.host.pause(seconds)


# -- UTL_RAW ---------------------------------------------------------------------------------------
def _raw(value: Value) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            raise predefined("VALUE_ERROR", ": hex to raw conversion error") from None
    return bytes(value)


def _raw_substr(context: Context, given: list[Value]) -> Value:
    raw, start = _raw(given[0]), _whole(given[1])
    begin = start - 1 if start > 0 else len(raw) + start
    end = len(raw) if len(given) < 3 or given[2] is None else begin + _whole(given[2])
    return raw[begin:end] or None


def _raw_bits(operation: Callable[[int, int], int]) -> Callable[[Any, list[Value]], Value]:
    def run(context: Context, given: list[Value]) -> Value:
        a, b = _raw(given[0]), _raw(given[1])
        short = min(len(a), len(b))
        both = bytes(operation(x, y) for x, y in zip(a[:short], b[:short], strict=True))
        return both + (a if len(a) > short else b)[short:] or None

    return run


# -- STANDARD --------------------------------------------------------------------------------------
def _raise_application_error(context: Context, given: list[Value]) -> None:
    code = _whole(given[0])
    low, high = APPLICATION_CODES
    if not low <= code <= high:
        message = f"error number argument to raise_application_error of {code} is out of range"
        raise PlError("", -21000, message)
    message = values.text(given[1]) or ""
    if len(given) > 2 and given[2] is True and context.errors:
        message += f"\n{context.errors[-1].text}"
    raise PlError("", code, message)


def _procedure(
    name: str, call: Callable[[Any, list[Value]], Any], least: int, most: int, *parameters: str
) -> Builtin:
    return Builtin(name, call, least, most, is_function=False, parameters=parameters)


def _function(name: str, call: Callable[[Any, list[Value]], Any], least: int, most: int) -> Builtin:
    return Builtin(name, call, least, most)


def _package(name: str, *routines: Builtin) -> PackageSymbol:
    return PackageSymbol(name, {routine.name: routine for routine in routines})


RAISE_APPLICATION_ERROR = _procedure(
    "RAISE_APPLICATION_ERROR", _raise_application_error, 2, 3, "NUM", "MSG", "KEEPERRORSTACK"
)
_SUPPLIED = (
    DBMS_OUTPUT,
    _package(
        "DBMS_RANDOM",
        _procedure("SEED", _seed, 0, 1),
        _procedure("INITIALIZE", _seed, 1, 1),
        _procedure("TERMINATE", lambda c, g: None, 0, 0),
        _function("VALUE", _random_value, 0, 2),
        _function("RANDOM", _random_whole, 0, 0),
        _function("NORMAL", _normal, 0, 0),
        _function("STRING", _random_string, 2, 2),
    ),
    _package(
        "DBMS_UTILITY",
        _function("GET_TIME", _get_time, 0, 0),
        _function("GET_CPU_TIME", _get_time, 0, 0),
        _function("FORMAT_ERROR_STACK", _error_stack, 0, 0),
        _function("FORMAT_ERROR_BACKTRACE", _error_backtrace, 0, 0),
        _procedure("COMMA_TO_TABLE", _comma_to_table, 1, 3),
    ),
    _package("DBMS_LOCK", _procedure("SLEEP", _sleep, 1, 1, "SECONDS")),
    _package("DBMS_SESSION", _procedure("SLEEP", _sleep, 1, 1, "SECONDS")),
    _package(
        "UTL_RAW",
        _function("CAST_TO_RAW", lambda c, g: (values.text(g[0]) or "").encode() or None, 1, 1),
        _function(
            "CAST_TO_VARCHAR2", lambda c, g: _raw(g[0]).decode(errors="replace") or None, 1, 1
        ),
        _function("LENGTH", lambda c, g: len(_raw(g[0])) or None, 1, 1),
        _function("CONCAT", lambda c, g: b"".join(_raw(v) for v in g) or None, 1, 12),
        _function("SUBSTR", _raw_substr, 2, 3),
        _function("REVERSE", lambda c, g: _raw(g[0])[::-1] or None, 1, 1),
        _function("COPIES", lambda c, g: _raw(g[0]) * _whole(g[1]) or None, 2, 2),
        _function("BIT_AND", _raw_bits(lambda a, b: a & b), 2, 2),
        _function("BIT_OR", _raw_bits(lambda a, b: a | b), 2, 2),
        _function("BIT_XOR", _raw_bits(lambda a, b: a ^ b), 2, 2),
        _function("COMPARE", lambda c, g: _compared(_raw(g[0]), _raw(g[1])), 2, 3),
    ),
)


def _compared(a: bytes, b: bytes) -> int:
    """0 if equal, else the place of the first byte that differs."""
    for at in range(max(len(a), len(b))):
        if a[at : at + 1] != b[at : at + 1]:
            return at + 1
    return 0


PACKAGES: dict[str, Any] = {package.name: package for package in _SUPPLIED}
PACKAGES["RAISE_APPLICATION_ERROR"] = RAISE_APPLICATION_ERROR
PACKAGES["STANDARD"] = PackageSymbol("STANDARD", {})
