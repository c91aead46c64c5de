"""Dates as microseconds since 1970-01-01: texts, format models, calendar arithmetic. Pure.

Years 1 to 9999. A DATE has whole seconds, TT_DATE whole days; the caller cuts.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache

from protocol.errors import DatetimeError

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 3600 * SECOND_US
DAY_US = 86_400 * SECOND_US
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MIN_DAY = date.min.toordinal() - _EPOCH_ORDINAL
_MAX_DAY = date.max.toordinal() - _EPOCH_ORDINAL
MOMENT_MIN, MOMENT_MAX = _MIN_DAY * DAY_US, (_MAX_DAY + 1) * DAY_US - 1
MONTHS = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
]
DAYS = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]


def check(us: int) -> int:
    """`us` if it is a moment we can show. Raises DatetimeError."""
    if not _MIN_DAY <= us // DAY_US <= _MAX_DAY:
        raise DatetimeError("date out of range: year must be between 1 and 9999")
    return us


@lru_cache(maxsize=4096)
def day_of(days: int) -> date:
    """Days since the epoch → calendar day. Raises DatetimeError."""
    if not _MIN_DAY <= days <= _MAX_DAY:
        raise DatetimeError("date out of range: year must be between 1 and 9999")
    return date.fromordinal(days + _EPOCH_ORDINAL)


def to_us(year: int, month: int, day: int, time_us: int = 0) -> int:
    """Calendar → microseconds. Raises DatetimeError."""
    try:
        return (date(year, month, day).toordinal() - _EPOCH_ORDINAL) * DAY_US + time_us
    except ValueError:
        raise DatetimeError(f"not a date: {year:04}-{month:02}-{day:02}") from None


def from_datetime(value: datetime) -> int:
    """A naive datetime (or one in UTC) → microseconds."""
    delta = value.replace(tzinfo=None) - datetime(1970, 1, 1)
    return delta // timedelta(microseconds=1)


@lru_cache(maxsize=4096)
def _day_text(days: int) -> str:
    return day_of(days).isoformat()


def date_text(us: int) -> str:
    """YYYY-MM-DD."""
    return _day_text(us // DAY_US)


def timestamp_text(us: int, digits: int = 6, *, pad: bool = False) -> str:
    """YYYY-MM-DD HH:MI:SS[.ffffff]; trailing zeros of the fraction are cut unless `pad`."""
    days, rest = divmod(us, DAY_US)
    return f"{_day_text(days)} {time_text(rest, digits, pad=pad)}"


def time_text(us: int, digits: int = 6, *, pad: bool = False) -> str:
    """HH:MI:SS[.ffffff] of microseconds since midnight."""
    seconds, fraction = divmod(us, SECOND_US)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    shown = f"{fraction:06}"[: min(digits, 6)]
    if not pad:
        shown = shown.rstrip("0")
    return f"{text}.{shown}" if shown else text


_ISO = re.compile(
    r"\s*(\d{1,4})[-/.](\d{1,2})[-/.](\d{1,2})"
    r"(?:(?:\s+|[Tt])(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?)?"
    r"\s*([zZ]|[+-]\d{1,2}(?::?\d{2})?(?::?\d{2})?)?\s*$"
)
_ORACLE = re.compile(
    r"\s*(\d{1,2})[- ]([A-Za-z]{3,9})[- ](\d{2}|\d{4})(?:\s+(\d{1,2}):(\d{1,2}):(\d{1,2}))?\s*$"
)
_TIME = re.compile(r"\s*(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?\s*$")


def _clock_us(hour: str | None, minute: str | None, second: str | None, frac: str | None) -> int:
    h, m, s = int(hour or 0), int(minute or 0), int(second or 0)
    if h > 23 or m > 59 or s > 59:
        raise DatetimeError(f"not a time: {h:02}:{m:02}:{s:02}")
    return ((h * 60 + m) * 60 + s) * SECOND_US + int(((frac or "") + "000000")[:6])


def zone_us(offset: str) -> int:
    """+02:00, -5 → microseconds east of UTC. Raises DatetimeError."""
    match = re.fullmatch(r"([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?", offset.strip())
    if match is None:
        raise DatetimeError(f'not an offset from UTC: "{offset[:60]}"')
    sign, hours, minutes, seconds = match.groups()
    us = int(hours) * HOUR_US + int(minutes or 0) * MINUTE_US + int(seconds or 0) * SECOND_US
    return us if sign == "+" else -us


def parse_moment(text: str) -> int:
    """ISO text ("2024-01-31 10:00:00.5+01") or "31-JAN-2024"; an offset is converted to UTC."""
    if match := _ISO.match(text):
        year, month, day, hour, minute, second, fraction, offset = match.groups()
        us = to_us(int(year), int(month), int(day), _clock_us(hour, minute, second, fraction))
        return us - zone_us(offset) if offset and offset not in "zZ" else us
    if match := _ORACLE.match(text):
        day, name, year, hour, minute, second = match.groups()
        return to_us(
            full_year(year), month_number(name), int(day), _clock_us(hour, minute, second, "")
        )
    raise DatetimeError(f'not a date or timestamp: "{text[:60]}"')


def parse_time(text: str) -> int:
    """HH:MI[:SS[.f]] → microseconds since midnight."""
    match = _TIME.match(text)
    if match is None:
        raise DatetimeError(f'not a time: "{text[:60]}"')
    return _clock_us(*match.groups())


_INTERVAL = re.compile(
    r"\s*([+-])?(?:(\d+)(?:\s+days?)?(?:\s+|$))?(?:(\d+):(\d+)(?::(\d+)(?:\.(\d{1,9}))?)?)?\s*$"
)
_ISO_SPAN = re.compile(
    r"\s*([+-])?P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?\s*"
)
_INTERVAL_PART = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_PART_US = {
    "DAY": DAY_US,
    "HOUR": HOUR_US,
    "MINUTE": MINUTE_US,
    "MIN": MINUTE_US,
    "SECOND": SECOND_US,
    "SEC": SECOND_US,
    "WEEK": 7 * DAY_US,
}


def parse_interval(text: str) -> int:
    """ "3 04:05:06.7", "2 days 3 hours" → microseconds. Raises DatetimeError."""
    match = _INTERVAL.match(text)
    if match is not None and text.strip():
        sign, days, hours, minutes, seconds, fraction = match.groups()
        us = int(days or 0) * DAY_US + int(hours or 0) * HOUR_US + int(minutes or 0) * MINUTE_US
        us += int(seconds or 0) * SECOND_US + int(((fraction or "") + "000000")[:6])
        return -us if sign == "-" else us
    if iso := _ISO_SPAN.fullmatch(text):
        sign, *numbers = iso.groups()
        if any(numbers):
            units = (7 * DAY_US, DAY_US, HOUR_US, MINUTE_US, SECOND_US)
            pairs = zip(numbers, units, strict=True)
            us = sum(round(float(n or 0) * unit) for n, unit in pairs)
            return -us if sign == "-" else us
    total, at = 0, 0
    while part := _INTERVAL_PART.match(text, at):
        unit = _PART_US.get(part.group(2).upper().removesuffix("S"))
        if unit is None:
            break
        total += round(float(part.group(1)) * unit)
        at = part.end()
    if at == 0 or text[at:].strip():
        raise DatetimeError(f'not an interval: "{text[:60]}"')
    return total


def parse_months(text: str) -> int:
    """ "1-02" → months. Raises DatetimeError."""
    match = re.match(r"\s*([+-])?(\d+)(?:-(\d{1,2}))?\s*$", text)
    if iso := re.fullmatch(r"\s*(-)?P(?:(\d+)Y)?(?:(\d+)M)?\s*", text):
        months = int(iso.group(2) or 0) * 12 + int(iso.group(3) or 0)
        return -months if iso.group(1) else months
    if match is None:
        raise DatetimeError(f'not a year to month interval: "{text[:60]}"')
    months = int(match.group(2)) * 12 + int(match.group(3) or 0)
    return -months if match.group(1) == "-" else months


def month_number(name: str) -> int:
    """JAN or JANUARY → 1. Raises DatetimeError."""
    upper = name.upper()
    for number, month in enumerate(MONTHS, 1):
        if upper == month or upper == month[:3]:
            return number
    raise DatetimeError(f'not a month: "{name}"')


def weekday_number(name: str) -> int:
    """MON or MONDAY → 0. Raises DatetimeError."""
    upper = name.strip().upper()
    for number, day in enumerate(DAYS):
        if upper in (day, day[:3]):
            return number
    raise DatetimeError(f'not a day of the week: "{name}"')


def full_year(text: str) -> int:
    """A year; of two digits as RR does: 00-49 is 20xx, 50-99 is 19xx."""
    year = int(text)
    if len(text) <= 2:
        return year + (2000 if year < 50 else 1900)
    return year


# -- calendar arithmetic --------------------------------------------------------------------------
def _month_length(year: int, month: int) -> int:
    following = date(year + month // 12, month % 12 + 1, 1) if (year, month) != (9999, 12) else None
    return 31 if following is None else (following - timedelta(days=1)).day


def add_months(us: int, months: int) -> int:
    """Oracle's: the last day of a month stays a last day."""
    days, rest = divmod(us, DAY_US)
    day = day_of(days)
    index = day.year * 12 + day.month - 1 + months
    year, month = index // 12, index % 12 + 1
    if not 1 <= year <= 9999:
        raise DatetimeError("date out of range: year must be between 1 and 9999")
    last = _month_length(year, month)
    is_last = day.day == _month_length(day.year, day.month)
    return to_us(year, month, last if is_last else min(day.day, last), rest)


def last_day(us: int) -> int:
    """The last day of the month, same time of day."""
    days, rest = divmod(us, DAY_US)
    day = day_of(days)
    return to_us(day.year, day.month, _month_length(day.year, day.month), rest)


def month_parts(us: int) -> tuple[int, int, int, bool]:
    """(months since year 0, day, microseconds of day, is the month's last day)."""
    days, rest = divmod(us, DAY_US)
    day = day_of(days)
    return (
        day.year * 12 + day.month - 1,
        day.day,
        rest,
        day.day == _month_length(day.year, day.month),
    )


def next_day(us: int, name: str) -> int:
    """The next weekday of that name (MON or MONDAY) after `us`."""
    wanted = weekday_number(name)
    days, rest = divmod(us, DAY_US)
    ahead = (wanted - day_of(days).weekday() - 1) % 7 + 1
    return check((days + ahead) * DAY_US + rest)


def extract(us: int, part: str) -> int:
    """YEAR, MONTH, DAY, HOUR, MINUTE, QUARTER, WEEK, DOW, DOY; SECOND is whole seconds."""
    days, rest = divmod(us, DAY_US)
    if part == "HOUR":
        return rest // HOUR_US
    if part == "MINUTE":
        return rest // MINUTE_US % 60
    if part == "SECOND":
        return rest // SECOND_US % 60
    if part == "MICROSECOND":
        return rest % MINUTE_US
    day = day_of(days)
    values = {
        "YEAR": day.year,
        "MONTH": day.month,
        "DAY": day.day,
        "QUARTER": (day.month + 2) // 3,
        "WEEK": day.isocalendar()[1],
        "DOW": day.isoweekday() % 7,
        "ISODOW": day.isoweekday(),
        "DOY": day.timetuple().tm_yday,
        "ISOYEAR": day.isocalendar()[0],
        "DECADE": day.year // 10,
        "CENTURY": (day.year + 99) // 100,
        "MILLENNIUM": (day.year + 999) // 1000,
        "JULIAN": days + 2440588,
    }
    if part not in values:
        raise DatetimeError(f"cannot extract {part} of a date")
    return values[part]


_TRUNC_UNITS = {
    **dict.fromkeys(("SYYYY", "YYYY", "YEAR", "SYEAR", "YYY", "YY", "Y"), "year"),
    **dict.fromkeys(("MONTH", "MON", "MM", "RM"), "month"),
    **dict.fromkeys(("DDD", "DD", "J"), "day"),
    **dict.fromkeys(("HH", "HH12", "HH24", "HOUR"), "hour"),
    **dict.fromkeys(("MI", "MINUTE"), "minute"),
    **dict.fromkeys(("SS", "SECOND"), "second"),
    **dict.fromkeys(("DAY", "DY", "D"), "week"),
    **dict.fromkeys(("IW", "WEEK"), "isoweek"),
    **dict.fromkeys(("CC", "SCC"), "century"),
    **dict.fromkeys(("IYYY", "IY", "IYY", "I"), "isoyear"),
    "Q": "quarter",
    "QUARTER": "quarter",
    "WW": "yearweek",
    "W": "monthweek",
}


def _unit(model: str) -> str:
    unit = _TRUNC_UNITS.get(model.strip().upper())
    if unit is None:
        raise DatetimeError(f'not a unit to truncate a date to: "{model}"')
    return unit


def truncate(us: int, model: str = "DD") -> int:
    """TRUNC(date, model)."""
    unit = _unit(model)
    steps = {"day": DAY_US, "hour": HOUR_US, "minute": MINUTE_US, "second": SECOND_US}
    if unit in steps:
        return us - us % steps[unit]
    days = us // DAY_US
    day = day_of(days)
    if unit == "isoweek":
        return (days - day.weekday()) * DAY_US
    if unit == "week":
        return (days - day.isoweekday() % 7) * DAY_US
    if unit == "yearweek":
        return (days - (day.timetuple().tm_yday - 1) % 7) * DAY_US
    if unit == "monthweek":
        return (days - (day.day - 1) % 7) * DAY_US
    if unit == "isoyear":
        first = date.fromisocalendar(day.isocalendar()[0], 1, 1)
    elif unit == "century":
        first = date((day.year - 1) // 100 * 100 + 1, 1, 1)
    elif unit == "year":
        first = date(day.year, 1, 1)
    elif unit == "quarter":
        first = date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
    else:
        first = date(day.year, day.month, 1)
    return (first.toordinal() - _EPOCH_ORDINAL) * DAY_US


def round_moment(us: int, model: str = "DD") -> int:
    """ROUND(date, model)."""
    unit = _unit(model)
    start = truncate(us, model)
    if unit == "year":
        return add_months(start, 12) if extract(us, "MONTH") >= 7 else start
    if unit == "month":
        return add_months(start, 1) if extract(us, "DAY") >= 16 else start
    if unit == "quarter":
        middle = add_months(start, 1) + 15 * DAY_US
        return add_months(start, 3) if us >= middle else start
    spans = {"hour": HOUR_US, "minute": MINUTE_US, "second": SECOND_US, "day": DAY_US}
    span = spans.get(unit, 7 * DAY_US)
    return check(start + span) if us - start >= span // 2 + span % 2 else start
