"""The supplied packages: those that have no module of their own, and which are not here."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING, Any
from zlib import crc32

from data.plsql import values
from data.plsql.dynamic import DBMS_SQL
from data.plsql.errors import APPLICATION_CODES, PlError, predefined
from data.plsql.files import UTL_FILE
from data.plsql.lobs import DBMS_LOB
from data.plsql.output import DBMS_OUTPUT
from data.plsql.raw import UTL_RAW, raw
from data.plsql.scope import Builtin, PackageSymbol, TypeSymbol
from data.plsql.types import Collection, CollectionType, Scalar
from data.plsql.values import Value
from protocol.sqltypes import BIGINT, VARCHAR

if TYPE_CHECKING:
    from data.plsql.context import Context

_STARTED_S = monotonic()
RELEASE = "22.1.1"  # of TimesTen, whose PL/SQL this follows
UNCL_ARRAY = CollectionType("UNCL_ARRAY", "index by", Scalar(VARCHAR), Scalar(BIGINT), 0)
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


def _call_stack(context: Context, given: list[Value]) -> Value:
    """How deep; names of units are in the stack of an error only."""
    head = "----- PL/SQL Call Stack -----"
    return f"{head}\n  {context.depth + 1} calls inside one another, the block first"


def _hash_value(context: Context, given: list[Value]) -> Value:
    base, size = _whole(given[1]), _whole(given[2])
    if size < 1:
        raise predefined("VALUE_ERROR", ": the size of a hash table is at least 1")
    return base + crc32((values.text(given[0]) or "").encode()) % size


def _is_bit_set(context: Context, given: list[Value]) -> Value:
    bits = int.from_bytes(raw(given[0]), "big")
    return bits >> (_whole(given[1]) - 1) & 1


def _comma_to_table(context: Context, given: list[Value]) -> list[Value]:
    names = [name.strip() for name in (values.text(given[0]) or "").split(",")]
    if not all(re.fullmatch(r'[A-Za-z][\w$#.@]*|"[^"]+"', name) for name in names):
        raise PlError("", -931, "a list of names, with commas between them, is wanted")
    kind = given[2].type if isinstance(given[2], Collection) else UNCL_ARRAY
    made = Collection(kind)
    made.fill(names)
    return [len(names), made]


def _table_to_comma(context: Context, given: list[Value]) -> list[Value]:
    elements = [value for _, value in given[0].in_order() if value is not None]
    return [len(elements), ",".join(str(value) for value in elements) or None]


def _sleep(context: Context, given: list[Value]) -> None:
    seconds = float(values.number(given[0]) or 0)
    if not 0 <= seconds <= SLEEP_S_MAX:
        raise predefined("VALUE_ERROR", f": 0 to {SLEEP_S_MAX:.0f} seconds")
    context.host.pause(seconds)


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


def _constants(name: str, **constants: Value) -> PackageSymbol:
    return _package(
        name,
        *(
            Builtin(one, lambda c, g, fixed=value: fixed, 0, 0)  # type: ignore[misc]
            for one, value in constants.items()
        ),
    )


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
        _function("FORMAT_CALL_STACK", _call_stack, 0, 0),
        _function("GET_HASH_VALUE", _hash_value, 3, 3),
        _function("IS_BIT_SET", _is_bit_set, 2, 2),
        Builtin("COMMA_TO_TABLE", _comma_to_table, 3, 3, False, (1, 2)),
        Builtin("TABLE_TO_COMMA", _table_to_comma, 3, 3, False, (1, 2)),
        Builtin("DB_VERSION", lambda c, g: [RELEASE, RELEASE], 2, 2, False, (0, 1)),
        _procedure("COMPILE_SCHEMA", lambda c, g: None, 1, 3),
    ),
    _package("DBMS_LOCK", _procedure("SLEEP", _sleep, 1, 1, "SECONDS")),
    _package("DBMS_SESSION", _procedure("SLEEP", _sleep, 1, 1, "SECONDS")),
    UTL_FILE,
    UTL_RAW,
    DBMS_SQL,
    DBMS_LOB,
    _constants("UTL_IDENT", IS_DB_CLIENT=False, IS_DB_SERVER=False, IS_TIMESTEN=True),
    _constants(
        "TT_DB_VERSION",
        VER_LE_1121=False,
        VER_LE_1122=False,
        VER_LE_1801=False,
        VER_LE_2201=True,
    ),
)
REFUSED = {  # packages of TimesTen that are not here, and what to do instead
    "DBMS_PREPROCESSOR": "There is no conditional compilation.",
    "TT_STATS": "Instances tell Prometheus what they do; SYS.SYSTEMSTATS has the numbers.",
    "UTL_RECOMP": "Units are compiled again by themselves when something they use changes.",
    "DBMS_JOB": "Start jobs from outside.",
    "DBMS_SCHEDULER": "Start jobs from outside.",
    "DBMS_PIPE": "Use a table.",
    "DBMS_ALERT": "Use a table.",
    "UTL_HTTP": "Call services from the application.",
    "UTL_SMTP": "Send mail from the application.",
    "UTL_TCP": "Use sockets in the application.",
}


PACKAGES: dict[str, Any] = {package.name: package for package in _SUPPLIED}
PACKAGES["DBMS_UTILITY"].names["UNCL_ARRAY"] = TypeSymbol(UNCL_ARRAY)
PACKAGES["DBMS_UTILITY"].names["LNAME_ARRAY"] = TypeSymbol(UNCL_ARRAY)
PACKAGES["RAISE_APPLICATION_ERROR"] = RAISE_APPLICATION_ERROR
PACKAGES["STANDARD"] = PackageSymbol("STANDARD", {})
