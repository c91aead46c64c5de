"""Dates and times between storage values (integer microseconds) and PostgreSQL's ISO text.

The calendar is proleptic Gregorian from 4713 BC to 9999 AD. Formatting keeps a cache per day:
results tend to hold few days, and the calendar arithmetic is the expensive part.
"""

from __future__ import annotations

import re

from protocol.errors import DatetimeError, InvalidTextError

US_PER_SECOND = 1_000_000
US_PER_MINUTE = 60 * US_PER_SECOND
US_PER_HOUR = 60 * US_PER_MINUTE
US_PER_DAY = 24 * US_PER_HOUR
POSTGRES_EPOCH_DAYS = 10_957  # 2000-01-01, in days since 1970-01-01
POSTGRES_EPOCH_US = POSTGRES_EPOCH_DAYS * US_PER_DAY

_DAY_CACHE_MAX = 20_000
_day_texts: dict[int, tuple[str, str]] = {}  # day → (date text, suffix " BC" or "")
_day_numbers: dict[str, int] = {}  # "YYYY-MM-DD" → day
_MINUTES = tuple(f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(24 * 60))
_TWO_DIGITS = tuple(f"{n:02d}" for n in range(60))
_TEXT_MAX = 100  # characters; longer text is no date, time or interval and meets no pattern
_MONTH_DAYS = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of an astronomical year (0 is 1 BC), month and day; no checks.

    Source: H. Hinnant, "chrono-compatible low-level date algorithms".
    """
    year -= month <= 2
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def civil_from_days(days: int) -> tuple[int, int, int]:
    """The inverse of days_from_civil."""
    days += 719_468
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + (3 if shifted_month < 10 else -9)
    return year_of_era + era * 400 + (month <= 2), month, day


_DAY_MIN = days_from_civil(-4712, 1, 1)
_DAY_MAX = days_from_civil(9999, 12, 31)
TIMESTAMP_MIN_US = _DAY_MIN * US_PER_DAY
TIMESTAMP_MAX_US = (_DAY_MAX + 1) * US_PER_DAY - 1


def check_timestamp(us: int) -> int:
    """`us` itself if it lies between 4713 BC and 9999 AD. Raises DatetimeError."""
    if TIMESTAMP_MIN_US <= us <= TIMESTAMP_MAX_US:
        return us
    raise DatetimeError("date or timestamp is out of range")


def _day_text(day: int) -> tuple[str, str]:
    found = _day_texts.get(day)
    if found is None:
        if len(_day_texts) >= _DAY_CACHE_MAX:
            _day_texts.clear()
        year, month, of_month = civil_from_days(day)
        if year > 0:
            found = (f"{year:04d}-{month:02d}-{of_month:02d}", "")
        else:
            found = (f"{1 - year:04d}-{month:02d}-{of_month:02d}", " BC")
        _day_texts[day] = found
    return found


def time_text(us: int) -> str:
    """Microseconds since midnight as HH:MM:SS[.ffffff]."""
    if us == US_PER_DAY:
        return "24:00:00"
    minute, rest = divmod(us, US_PER_MINUTE)
    second, fraction = divmod(rest, US_PER_SECOND)
    text = _MINUTES[minute] + _TWO_DIGITS[second]
    if fraction:
        return f"{text}.{fraction:06d}".rstrip("0")
    return text


def timestamp_text(us: int) -> str:
    """Microseconds since 1970 as YYYY-MM-DD HH:MM:SS[.ffffff][ BC]."""
    day, rest = divmod(us, US_PER_DAY)
    date, suffix = _day_texts.get(day) or _day_text(day)
    minute, rest = divmod(rest, US_PER_MINUTE)
    second, fraction = divmod(rest, US_PER_SECOND)
    if fraction:
        clock = f"{_MINUTES[minute]}{_TWO_DIGITS[second]}.{fraction:06d}".rstrip("0")
        return f"{date} {clock}{suffix}"
    return f"{date} {_MINUTES[minute]}{_TWO_DIGITS[second]}{suffix}"


def timestamptz_text(us: int) -> str:
    """Microseconds since 1970 UTC as YYYY-MM-DD HH:MM:SS[.ffffff]+00[ BC]."""
    text = timestamp_text(us)
    if text.endswith(" BC"):
        return text[:-3] + "+00 BC"
    return text + "+00"


def date_text(us: int) -> str:
    """Microseconds since 1970 as YYYY-MM-DD[ BC]."""
    date, suffix = _day_text(us // US_PER_DAY)
    return date + suffix


_TIMESTAMP = re.compile(
    r"\s*(\d{4,5})-(\d{1,2})-(\d{1,2})"
    r"(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?"
    r"\s*(Z|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)?\s*(AD|BC)?\s*",
    re.IGNORECASE | re.ASCII,
)
_TIME = re.compile(
    r"\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s*(?:Z|[+-]\d{2}(?::?\d{2})?)?\s*",
    re.IGNORECASE | re.ASCII,
)


def _day_number(year: int, month: int, day: int) -> int:
    if not 1 <= month <= 12 or not 1 <= day <= _MONTH_DAYS[month]:
        raise DatetimeError(f"date {year}-{month}-{day} does not exist")
    if month == 2 and day == 29 and not (year % 4 == 0 and (year % 100 or year % 400 == 0)):
        raise DatetimeError(f"date {year}-{month}-{day} does not exist")
    number = days_from_civil(year, month, day)
    if not _DAY_MIN <= number <= _DAY_MAX:
        raise DatetimeError("date or timestamp is out of range")
    return number


def _fraction_us(digits: str | None) -> int:
    if not digits:
        return 0
    if len(digits) <= 6:
        return int(digits.ljust(6, "0"))
    return int(digits[:6]) + (digits[6] >= "5")


def _clock_us(hour: str, minute: str, second: str | None, fraction: str | None) -> int:
    h, m, s = int(hour), int(minute), int(second or 0)
    us = _fraction_us(fraction)
    if h > 24 or m > 59 or s > 60 or (h == 24 and (m or s or us)):
        raise DatetimeError(f"time {hour}:{minute}:{second or 0} does not exist")
    return (h * 3600 + m * 60 + s) * US_PER_SECOND + us


def _zone_us(zone: str) -> int:
    if zone in ("Z", "z"):
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:4] or 0) * 60 + int(digits[4:6] or 0)
    return (-seconds if zone[0] == "-" else seconds) * US_PER_SECOND


def parse_timestamp(text: str, *, with_zone: bool = False) -> int:
    """ISO text as microseconds since 1970. Without `with_zone` an offset is ignored, as PostgreSQL
    does.

    Raises InvalidTextError (not a timestamp), DatetimeError (no such moment).
    """
    if len(text) == 19 and text[10] == " " and text[13] == ":" == text[16]:
        day = _day_numbers.get(text[:10])
        if day is not None:
            clock = text[11:13] + text[14:16] + text[17:19]
            if clock.isdecimal() and clock.isascii() and clock < "24":
                minute, second = int(clock[2:4]), int(clock[4:6])
                if minute < 60 and second < 60:
                    seconds = int(clock[:2]) * 3600 + minute * 60 + second
                    return day * US_PER_DAY + seconds * US_PER_SECOND
    return _parse_any_timestamp(text, with_zone)


def _parse_any_timestamp(text: str, with_zone: bool) -> int:
    match = _TIMESTAMP.fullmatch(text) if len(text) <= _TEXT_MAX else None
    if match is None:
        raise InvalidTextError(f'invalid input syntax for a date or timestamp: "{text[:60]}"')
    year, month, day, hour, minute, second, fraction, zone, era = match.groups()
    number = int(year)
    if era and era.upper() == "BC":
        number = 1 - number
    elif number == 0:
        raise DatetimeError("there is no year 0")
    days = _day_number(number, int(month), int(day))
    if len(year) == 4 and not era and len(text) >= 10 and text[4] == "-" == text[7]:
        if len(_day_numbers) >= _DAY_CACHE_MAX:
            _day_numbers.clear()
        _day_numbers[text[:10]] = days
    us = days * US_PER_DAY
    if hour is not None:
        us += _clock_us(hour, minute, second, fraction)
    if zone and with_zone:
        us -= _zone_us(zone)
    return check_timestamp(us)


def parse_date(text: str) -> int:
    """ISO text of a date (a time of day in it is dropped) as microseconds since 1970."""
    us = parse_timestamp(text)
    return us - us % US_PER_DAY


def parse_time(text: str) -> int:
    """HH:MM[:SS[.fraction]] as microseconds since midnight. Raises InvalidTextError,
    DatetimeError."""
    match = _TIME.fullmatch(text) if len(text) <= _TEXT_MAX else None
    if match is None:
        raise InvalidTextError(f'invalid input syntax for type time: "{text[:60]}"')
    return _clock_us(*match.groups())


# -- intervals ------------------------------------------------------------------------------------
def interval_ds_text(us: int) -> str:
    """Microseconds as PostgreSQL's interval text: [-]D days [-]HH:MM:SS[.ffffff]."""
    sign = "-" if us < 0 else ""
    days, rest = divmod(abs(us), US_PER_DAY)
    clock = sign + time_text(rest)
    if not days:
        return clock
    unit = "day" if days == 1 and not sign else "days"
    return f"{sign}{days} {unit} {clock}" if rest else f"{sign}{days} {unit}"


def interval_ym_text(months: int) -> str:
    """Months as PostgreSQL's interval text: Y years M mons."""
    sign = "-" if months < 0 else ""
    years, rest = divmod(abs(months), 12)
    parts = []
    if years:
        parts.append(f"{sign}{years} {'year' if years == 1 and not sign else 'years'}")
    if rest:
        parts.append(f"{sign}{rest} {'mon' if rest == 1 and not sign else 'mons'}")
    return " ".join(parts) or "00:00:00"


_INTERVAL_PART = re.compile(
    r"\s*([+-]?\d{1,9})\s*(years?|yrs?|mons?|months?|weeks?|days?|hours?|hrs?|minutes?|mins?|seconds?|secs?)"
    r"(?![a-z])",
    re.IGNORECASE | re.ASCII,
)
_INTERVAL_CLOCK = re.compile(
    r"\s*([+-]?)(?:(\d{1,9})\s+)?(\d{1,9}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?\s*", re.ASCII
)
_INTERVAL_YM = re.compile(r"\s*([+-]?)(\d{1,9})-(\d{1,2})\s*", re.ASCII)
_UNITS_US = {
    "w": 7 * US_PER_DAY,
    "d": US_PER_DAY,
    "h": US_PER_HOUR,
    "mi": US_PER_MINUTE,
    "s": US_PER_SECOND,
}


def parse_interval(text: str) -> tuple[int, int]:
    """Interval text (PostgreSQL's verbose form, 'D HH:MM:SS', 'Y-M') as (months, microseconds)."""
    if len(text) > _TEXT_MAX:
        raise InvalidTextError(f'invalid input syntax for type interval: "{text[:60]}"')
    match = _INTERVAL_YM.fullmatch(text)
    if match is not None:
        months = int(match[2]) * 12 + int(match[3])
        return (-months if match[1] == "-" else months), 0
    months = us = at = 0
    while (match := _INTERVAL_PART.match(text, at)) is not None:
        count, unit, at = int(match[1]), match[2].lower(), match.end()
        if unit[0] == "y":
            months += 12 * count
        elif unit.startswith("mo"):
            months += count
        else:
            us += count * _UNITS_US["mi" if unit.startswith("mi") else unit[0]]
    if not text[at:].strip() and at:
        return months, us
    match = _INTERVAL_CLOCK.fullmatch(text, at)
    if match is None:
        raise InvalidTextError(f'invalid input syntax for type interval: "{text[:60]}"')
    sign, days, hours, minutes, seconds, fraction = match.groups()
    clock = (int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)) * US_PER_SECOND
    clock += _fraction_us(fraction) + int(days or 0) * US_PER_DAY
    return months, us + (-clock if sign == "-" else clock)
