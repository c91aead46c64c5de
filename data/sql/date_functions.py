"""Date and time functions beyond the everyday ones: TimesTen's, Oracle's, PostgreSQL's. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from data.sql import datetimes
from data.sql.builders import (
    SPAN,
    Entry,
    Runtime,
    const_text,
    fn,
    moment_arg,
    refused,
    special,
)
from data.sql.datetimes import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from data.sql.ir import Call, ConstExpr, Expr
from data.sql.numbers import round_decimal, to_decimal
from data.sql.operators import (
    call,
    settle,
    to_dec,
    to_number,
    to_text,
)
from protocol.errors import DatetimeError, ParameterError
from protocol.sqltypes import (
    BIGINT,
    BOOLEAN,
    NUMBER,
    TIMESTAMP,
    VARCHAR,
    Kind,
    SqlType,
)

TT_DATE = SqlType(Kind.TT_DATE)
TT_TIME = SqlType(Kind.TT_TIME)
ZONED = SqlType(Kind.TIMESTAMPTZ, precision=6)
_FRACTION_UNITS = 1000  # FRAC_SECOND counts nanoseconds
_UNIT_US = {
    "SECOND": SECOND_US,
    "MINUTE": MINUTE_US,
    "HOUR": HOUR_US,
    "DAY": DAY_US,
    "WEEK": 7 * DAY_US,
}
_UNIT_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
UNITS = ("FRAC_SECOND", *_UNIT_US, *_UNIT_MONTHS)
# offsets in minutes of the zones that NEW_TIME knows
_ZONES = {
    "AST": -240, "ADT": -180, "BST": -660, "BDT": -600, "CST": -360, "CDT": -300, "EST": -300,
    "EDT": -240, "GMT": 0, "HST": -600, "HDT": -540, "MST": -420, "MDT": -360, "NST": -210,
    "PST": -480, "PDT": -420, "YST": -540, "YDT": -480,
}  # fmt: skip


def timestamp_add(unit: str, number: Any, us: int) -> int:
    """TIMESTAMPADD(SQL_TSI_unit, number, moment)."""
    count = to_decimal(number)
    if unit in _UNIT_MONTHS:
        return add_months_clipped(us, int(count) * _UNIT_MONTHS[unit])
    if unit == "FRAC_SECOND":
        return datetimes.check(us + int(count / _FRACTION_UNITS))
    return datetimes.check(us + int(round_decimal(count * _UNIT_US[unit], 0)))


def timestamp_difference(unit: str, left: int, right: int) -> int:
    """TIMESTAMPDIFF(SQL_TSI_unit, left, right): how many whole units from left to right."""
    if unit in _UNIT_MONTHS:
        months = _whole_months(left, right)
        whole = abs(months) // _UNIT_MONTHS[unit]
        return whole if months >= 0 else -whole
    if unit == "FRAC_SECOND":
        return (right - left) * _FRACTION_UNITS
    whole = abs(right - left) // _UNIT_US[unit]
    return whole if right >= left else -whole


def add_months_clipped(us: int, months: int) -> int:
    """Months added as PostgreSQL and ODBC do: the day is kept, or the month's last one taken."""
    day = datetimes.month_parts(us)[1]
    moved = datetimes.add_months(us, months)
    last = datetimes.month_parts(moved)[1]
    return moved - (last - day) * DAY_US if last > day else moved


def _whole_months(left: int, right: int) -> int:
    if right < left:
        return -_whole_months(right, left)
    a, b = datetimes.month_parts(left), datetimes.month_parts(right)
    months = b[0] - a[0]
    return months - 1 if (b[1], b[2]) < (a[1], a[2]) else months


def age_text(later: int, earlier: int) -> str:
    """PostgreSQL's age() as its text: years, months, days and time."""
    sign = -1 if later < earlier else 1
    if sign < 0:
        later, earlier = earlier, later
    months = _whole_months(earlier, later)
    rest = later - add_months_clipped(earlier, months)
    days, us = divmod(rest, DAY_US)
    parts = []
    for count, name in ((months // 12, "year"), (months % 12, "mon"), (days, "day")):
        if count:
            parts.append(f"{sign * count} {name}{'' if sign * count == 1 else 's'}")
    if us or not parts:
        parts.append(("-" if sign < 0 and us else "") + datetimes.time_text(us))
    return " ".join(parts)


def new_time(us: int, source: str, target: str) -> int:
    """NEW_TIME(date, zone, zone)."""
    try:
        minutes = _ZONES[target.upper()] - _ZONES[source.upper()]
    except KeyError as error:
        raise ParameterError(f"NEW_TIME does not know the zone {error.args[0]}") from None
    return datetimes.check(us + minutes * MINUTE_US)


def zone_offset(zone: str) -> str:
    """TZ_OFFSET of a zone that NEW_TIME knows, or of an offset; UTC for the rest of names."""
    text = zone.strip().upper()
    if text in _ZONES:
        minutes = _ZONES[text]
        return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    if text in ("UTC", "SESSIONTIMEZONE", "DBTIMEZONE"):
        return "+00:00"
    if text[:1] in "+-" and text[1:].replace(":", "").isdigit():
        return text
    raise ParameterError(f"unknown time zone {zone!r}")


def at_zone(us: int, zone: str, to_local: int) -> int:
    """A moment in UTC as local time of a zone, or the other way."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    text = zone.strip()
    upper = text.upper()
    if upper in ("UTC", "GMT", "Z"):
        return us
    if upper in _ZONES:
        shift = _ZONES[upper] * MINUTE_US
    elif text[:1] in "+-":
        shift = datetimes.zone_us(text)
    else:
        from datetime import UTC, datetime, timedelta

        try:
            zoned = ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones
            raise ParameterError(f'time zone "{zone}" not recognized') from None
        moment = datetime(1970, 1, 1) + timedelta(microseconds=us)
        if to_local:
            offset = moment.replace(tzinfo=UTC).astimezone(zoned).utcoffset()
        else:
            offset = moment.replace(tzinfo=zoned).utcoffset()
        assert offset is not None
        shift = offset // timedelta(microseconds=1)
    return datetimes.check(us + shift if to_local else us - shift)


ZONE_HOURS_MAX: Final = 168  # as in PostgreSQL
_POSIX_ZONE: Final = re.compile(r"(?:<[+-]?\w{2,6}>|[A-Za-z]{3,6})?([+-]?\d{1,2}(?:\.\d+|:\d\d)?)")


def is_zone(zone: str) -> bool:
    """A name, an offset, hours (-3.5) or POSIX's form (<+02>-02), as in PostgreSQL."""
    match = _POSIX_ZONE.fullmatch(zone)
    if match is not None:
        return abs(int(re.split("[.:]", match[1])[0])) <= ZONE_HOURS_MAX
    try:
        at_zone(0, zone, 1)
    except (ParameterError, DatetimeError):
        return False
    return True


def make_date(year: int, month: int, day: int) -> int:
    """make_date(y, m, d)."""
    return datetimes.to_us(year, month, day)


def make_time(hour: int, minute: int, second: Any) -> int:
    """make_time(h, m, s)."""
    seconds = to_decimal(second)
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= seconds < 60):
        raise DatetimeError(f"not a time: {hour}:{minute}:{seconds}")
    return hour * HOUR_US + minute * MINUTE_US + int(round_decimal(seconds * SECOND_US, 0))


def make_timestamp(*parts: Any) -> int:
    """make_timestamp(y, m, d, h, m, s)."""
    return make_date(*parts[:3]) + make_time(*parts[3:])


def bin_moment(step: int, us: int, origin: int) -> int:
    """date_bin(step, moment, origin)."""
    if step <= 0:
        raise DatetimeError("the step of date_bin must be more than zero")
    return origin + (us - origin) // step * step


DATE_RUNTIME: Runtime = {
    "tg_timestampadd": timestamp_add,
    "tg_timestampdiff": timestamp_difference,
    "tg_age": age_text,
    "tg_new_time": new_time,
    "tg_tz_offset": zone_offset,
    "tg_at_zone": at_zone,
    "tg_make_date": make_date,
    "tg_make_time": make_time,
    "tg_make_timestamp": make_timestamp,
    "tg_date_bin": bin_moment,
    "tg_epoch": lambda seconds: datetimes.check(
        int(round_decimal(to_decimal(seconds) * SECOND_US, 0))
    ),
}


def _unit(expr: Expr) -> str:
    text = (const_text(expr) or "").upper().removeprefix("SQL_TSI_")
    if text not in UNITS:
        names = ", ".join(f"SQL_TSI_{u}" for u in UNITS)
        raise ParameterError(f"the unit must be one of {names}")
    return text


def _timestamp_add(args: list[Expr]) -> Expr:
    number = to_dec(to_number(settle(args[1], NUMBER)))
    text = f"tg_timestampadd('{_unit(args[0])}', {{0}}, {{1}})"
    return call(text, number, moment_arg(args[2]), type_=TIMESTAMP)


def _timestamp_difference(args: list[Expr]) -> Expr:
    text = f"tg_timestampdiff('{_unit(args[0])}', {{0}}, {{1}})"
    return call(text, moment_arg(args[1]), moment_arg(args[2]), type_=BIGINT)


def _age(args: list[Expr]) -> Expr:
    moments = [moment_arg(a) for a in args]
    if len(moments) == 1:
        from data.sql.ir import SpecialExpr
        from data.sql.plan_types import Special

        moments = [SpecialExpr(Special("today"), TT_DATE), moments[0]]
    return call("tg_age({0}, {1})", *moments, type_=VARCHAR)


def at_time_zone(value: Expr, zone: Expr) -> Expr:
    """value AT TIME ZONE zone."""
    if value.type.kind is Kind.TIMESTAMPTZ:
        return call("tg_at_zone({0}, {1}, 1)", value, to_text(zone), type_=TIMESTAMP)
    return call("tg_at_zone({0}, {1}, 0)", moment_arg(value), to_text(zone), type_=ZONED)


def _local_now(type_: SqlType) -> Entry:
    now = special("systimestamp", TIMESTAMP)[2]
    template = f"({{0}} % {DAY_US})" if type_ is TT_TIME else "{0}"
    return 0, 1, lambda _args: call(template, now([]), type_=type_)


INTERVAL_PARTS = ("years", "months", "weeks", "days", "hours", "mins", "secs")


def _make_interval(args: list[Expr]) -> Expr:
    """make_interval(0, 0, weeks, days, hours, mins, secs): no years and months."""
    units = (7 * DAY_US, DAY_US, HOUR_US, MINUTE_US, SECOND_US)
    for arg in args[:2]:
        if not (isinstance(arg, ConstExpr) and arg.value in (0, None)):
            raise ParameterError("make_interval takes no years and months: add_months does")
    parts = [
        call(f"tg_interval({{0}}, {unit})", to_dec(to_number(settle(a, NUMBER))), type_=SPAN)
        for a, unit in zip(args[2:], units, strict=False)
    ]
    text = " + ".join(f"{{{i}}}" for i in range(len(parts))) or "0"
    return Call(f"({text})", tuple(parts), SPAN)


def _to_timestamp_tz(args: list[Expr]) -> Expr:
    """TO_TIMESTAMP_TZ(text [, model])."""
    from data.sql.calls import FUNCTIONS

    return call("{0}", FUNCTIONS["TO_TIMESTAMP"][2](args), type_=ZONED)


def _sys_extract_utc(args: list[Expr]) -> Expr:
    return call("{0}", moment_arg(args[0]), type_=TIMESTAMP)


_ZONE = ConstExpr("+00:00", SqlType(Kind.VARCHAR, length=6))
DATE_CALLS: dict[str, Entry] = {
    # TimesTen and Oracle
    "TIMESTAMPADD": (3, 3, _timestamp_add),
    "TIMESTAMPDIFF": (3, 3, _timestamp_difference),
    "NEW_TIME": fn("tg_new_time", "mtt", SqlType(Kind.DATE)),
    "TZ_OFFSET": fn("tg_tz_offset", "t"),
    "SESSIONTIMEZONE": (0, 0, lambda _args: _ZONE),
    "DBTIMEZONE": (0, 0, lambda _args: _ZONE),
    "SYS_EXTRACT_UTC": (1, 1, _sys_extract_utc),
    "TO_TIMESTAMP_TZ": (1, 2, _to_timestamp_tz),
    "CURRENT_TIME": _local_now(TT_TIME),
    "LOCALTIME": _local_now(TT_TIME),
    "CURTIME": _local_now(TT_TIME),
    # PostgreSQL
    "AGE": (1, 2, _age),
    "MAKE_DATE": fn("tg_make_date", "iii", TT_DATE),
    "MAKE_TIME": fn("tg_make_time", "iin", TT_TIME),
    "MAKE_TIMESTAMP": fn("tg_make_timestamp", "iiiiin", TIMESTAMP),
    "MAKE_INTERVAL": (0, 7, _make_interval),
    "DATE_BIN": fn("tg_date_bin", "smm", TIMESTAMP),
    "ISFINITE": fn("({0} IS NOT NULL)", "m", BOOLEAN),
    "JUSTIFY_HOURS": fn("{0}", "s", SPAN),
    "JUSTIFY_DAYS": fn("{0}", "s", SPAN),
    "TIMEZONE": (2, 2, lambda args: at_time_zone(args[1], args[0])),
    "TIMEOFDAY": refused("timeofday() is not supported: to_char(now(), …) is"),
}
