"""Format models of TO_CHAR, TO_DATE, TO_TIMESTAMP and TO_NUMBER. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from data.sql import datetimes
from data.sql.datetimes import DAY_US, DAYS, HOUR_US, MINUTE_US, MONTHS, SECOND_US
from data.sql.numbers import round_decimal
from protocol.errors import DatetimeError, InvalidTextError, ParameterError

_ELEMENT = re.compile(
    r"""(?P<fm>FM|FX)
    | (?P<el>SYYYY|YYYY|Y,YYY|YEAR|YYY|YY|Y|RRRR|RR|IYYY|IYY|IY|I|MONTH|MON|MM|RM|DDD|DD|DAY|DY|D
      |HH24|HH12|HH|MI|SSSSS|SS|FF\d?|AM|PM|A\.M\.|P\.M\.|Q|WW|IW|W|J|CC|BC|AD|TZH|TZM|TZR|TZD|US|MS
      |X)(?P<th>TH(?![A-Z]))?
    | "(?P<quoted>[^"]*)"
    | (?P<other>[^A-Za-z"])""",
    re.VERBOSE | re.IGNORECASE,
)


class _Element:
    __slots__ = ("fill", "is_literal", "name", "ordinal", "text")

    def __init__(self, name: str, text: str, *, literal: bool, fill: bool, ordinal: bool) -> None:
        self.name = name
        self.text = text
        self.is_literal = literal
        self.fill = fill
        self.ordinal = ordinal


@lru_cache(maxsize=256)
def _elements(model: str) -> tuple[_Element, ...]:
    found: list[_Element] = []
    position, fill = 0, True
    while position < len(model):
        match = _ELEMENT.match(model, position)
        if match is None:
            raise ParameterError(f'date format not recognised: "{model}"')
        position = match.end()
        if match["fm"]:
            if match["fm"].upper() == "FM":
                fill = not fill
        elif match["el"]:
            text = match["el"]
            ordinal = bool(match["th"])
            found.append(_Element(text.upper(), text, literal=False, fill=fill, ordinal=ordinal))
        else:
            text = match["quoted"] if match["quoted"] is not None else match["other"]
            found.append(_Element("", text, literal=True, fill=fill, ordinal=False))
    return tuple(found)


def _cased(name: str, pattern: str) -> str:
    """`name` (upper case) in the case of the model's element: MON, Mon or mon."""
    if pattern[0].islower():
        return name.lower()
    if len(pattern) > 1 and pattern[1].islower():
        return name.capitalize()
    return name


def _ordinal(text: str) -> str:
    number = int(text)
    if number % 100 in (11, 12, 13):
        return text + "TH"
    return text + {1: "ST", 2: "ND", 3: "RD"}.get(number % 10, "TH")


def _roman(month: int) -> str:
    return ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")[month - 1]


def moment_to_char(us: int, model: str) -> str:
    """TO_CHAR(date, model). Raises ParameterError for an unknown element."""
    out: list[str] = []
    for element in _elements(model):
        if element.is_literal:
            out.append(element.text)
            continue
        text = _part_text(us, element)
        if not element.fill and text[:1].isdigit():
            text = text.lstrip("0") or "0"
        out.append(_ordinal(text) if element.ordinal else text)
    return "".join(out)


def _part_text(us: int, element: _Element) -> str:
    name = element.name
    simple = _SIMPLE.get(name)
    if simple is not None:
        return simple(us)
    days, rest = divmod(us, DAY_US)
    day = datetimes.day_of(days)
    if name in ("MONTH", "DAY"):
        full = MONTHS[day.month - 1] if name == "MONTH" else DAYS[day.weekday()]
        text = _cased(full, element.text)
        return text.ljust(9) if element.fill else text
    if name == "MON":
        return _cased(MONTHS[day.month - 1][:3], element.text)
    if name == "DY":
        return _cased(DAYS[day.weekday()][:3], element.text)
    if name in ("AM", "PM", "A.M.", "P.M."):
        half = "PM" if rest >= DAY_US // 2 else "AM"
        return _cased(half if "." not in name else f"{half[0]}.M.", element.text)
    if name.startswith("FF"):
        digits = int(name[2:]) if len(name) > 2 else 6
        return f"{rest % SECOND_US:06}".ljust(9, "0")[:digits]
    if name == "RM":
        return _cased(_roman(day.month), element.text)
    raise ParameterError(f'date format element not supported: "{element.text}"')


def _calendar(us: int) -> tuple[int, int, int, int]:
    day = datetimes.day_of(us // DAY_US)
    return day.year, day.month, day.day, day.timetuple().tm_yday


def _iso(us: int) -> tuple[int, int, int]:
    year, week, weekday = datetimes.day_of(us // DAY_US).isocalendar()
    return year, week, weekday


_SIMPLE: dict[str, Callable[[int], str]] = {
    "YYYY": lambda us: f"{_calendar(us)[0]:04}",
    "SYYYY": lambda us: f" {_calendar(us)[0]:04}",
    "RRRR": lambda us: f"{_calendar(us)[0]:04}",
    "Y,YYY": lambda us: f"{_calendar(us)[0]:,}",
    "YYY": lambda us: f"{_calendar(us)[0] % 1000:03}",
    "YY": lambda us: f"{_calendar(us)[0] % 100:02}",
    "RR": lambda us: f"{_calendar(us)[0] % 100:02}",
    "Y": lambda us: str(_calendar(us)[0] % 10),
    "IYYY": lambda us: f"{_iso(us)[0]:04}",
    "IYY": lambda us: f"{_iso(us)[0] % 1000:03}",
    "IY": lambda us: f"{_iso(us)[0] % 100:02}",
    "I": lambda us: str(_iso(us)[0] % 10),
    "MM": lambda us: f"{_calendar(us)[1]:02}",
    "DD": lambda us: f"{_calendar(us)[2]:02}",
    "DDD": lambda us: f"{_calendar(us)[3]:03}",
    "D": lambda us: str(_iso(us)[2] % 7 + 1),
    "Q": lambda us: str((_calendar(us)[1] + 2) // 3),
    "WW": lambda us: f"{(_calendar(us)[3] + 6) // 7:02}",
    "IW": lambda us: f"{_iso(us)[1]:02}",
    "W": lambda us: str((_calendar(us)[2] + 6) // 7),
    "CC": lambda us: f"{(_calendar(us)[0] + 99) // 100:02}",
    "J": lambda us: str(us // DAY_US + 2440588),
    "AD": lambda us: "AD",
    "BC": lambda us: "AD",
    "HH24": lambda us: f"{us % DAY_US // HOUR_US:02}",
    "HH12": lambda us: f"{(us % DAY_US // HOUR_US + 11) % 12 + 1:02}",
    "HH": lambda us: f"{(us % DAY_US // HOUR_US + 11) % 12 + 1:02}",
    "MI": lambda us: f"{us % HOUR_US // MINUTE_US:02}",
    "SS": lambda us: f"{us % MINUTE_US // SECOND_US:02}",
    "SSSSS": lambda us: f"{us % DAY_US // SECOND_US:05}",
    "MS": lambda us: f"{us % SECOND_US // 1000:03}",
    "US": lambda us: f"{us % SECOND_US:06}",
    "X": lambda us: ".",
    "TZH": lambda us: "+00",
    "TZM": lambda us: "00",
    "TZR": lambda us: "UTC",
    "TZD": lambda us: "UTC",
}

_WIDTHS = {
    "YYYY": 4, "RRRR": 4, "SYYYY": 5, "YYY": 3, "YY": 2, "RR": 4, "Y": 1, "MM": 2, "DD": 2,
    "DDD": 3, "HH24": 2, "HH12": 2, "HH": 2, "MI": 2, "SS": 2, "SSSSS": 5, "J": 7, "FF": 9, "D": 1,
    "MS": 3, "US": 6, "TZM": 2,
}  # fmt: skip


def parse_moment(text: str, model: str, *, today_us: int) -> int:
    """TO_DATE(text, model) → microseconds. Missing parts: the current month's first day, midnight.

    Raises DatetimeError if the text does not fit, ParameterError for an unknown element.
    """
    parts: dict[str, int] = {}
    at = 0
    for element in _elements(model):
        if element.is_literal:
            if at < len(text) and element.text.isspace():
                while at < len(text) and text[at].isspace():
                    at += 1
            elif (at < len(text) and not text[at].isalnum()) or (
                at < len(text) and text[at : at + len(element.text)] == element.text
            ):
                at += len(element.text)
            continue
        while at < len(text) and text[at].isspace():
            at += 1
        if at >= len(text):
            break
        at = _read_part(text, at, element, parts)
    if text[at:].strip():
        raise DatetimeError(f'"{text[:60]}" is longer than the format "{model}"')
    return _assemble(parts, today_us)


def _read_part(text: str, at: int, element: _Element, parts: dict[str, int]) -> int:
    name = element.name
    if name in ("MON", "MONTH", "DAY", "DY"):
        match = re.compile(r"[A-Za-z]+").match(text, at)
        if match is None:
            raise DatetimeError(f'"{text[:60]}": a name is missing')
        if name in ("MON", "MONTH"):
            parts["MM"] = datetimes.month_number(match.group())
        return match.end()
    if name in ("AM", "PM", "A.M.", "P.M."):
        match = re.compile(r"([AaPp])\.?[Mm]\.?").match(text, at)
        if match is None:
            raise DatetimeError(f'"{text[:60]}": AM or PM is missing')
        parts["PM"] = match.group(1).upper() == "P"
        return match.end()
    if name == "TZH":
        match = re.compile(r"[+-]?\d{1,2}").match(text, at)
        parts["TZH"] = int(match.group()) if match else 0
        return match.end() if match else at
    key = "FF" if name.startswith("FF") else name
    if key == "X":
        return at + 1
    width = _WIDTHS.get(key)
    if width is None:
        raise ParameterError(f'date format element not supported in TO_DATE: "{element.text}"')
    if key == "FF" and len(name) > 2:
        width = int(name[2:])
    match = re.compile(rf"\d{{1,{width}}}").match(text, at)
    if match is None:
        raise DatetimeError(f'"{text[:60]}": digits expected for {element.text}')
    digits = match.group()
    if key in ("FF", "MS", "US"):
        parts["FF"] = int(digits.ljust(6, "0")[:6])
    elif key in ("RR", "RRRR"):
        parts["YYYY"] = datetimes.full_year(digits)
    elif key == "YY":
        parts["YYYY"] = 2000 + int(digits)
    elif key in ("HH", "HH12"):
        parts["HH12"] = int(digits)
    else:
        parts[key] = int(digits)
    return match.end()


def _assemble(parts: dict[str, int], today_us: int) -> int:
    if "HH12" in parts:
        if not 1 <= parts["HH12"] <= 12:
            raise DatetimeError("hour must be between 1 and 12")
        parts["HH24"] = parts["HH12"] % 12 + (12 if parts.get("PM") else 0)
    hour, minute, second = parts.get("HH24", 0), parts.get("MI", 0), parts.get("SS", 0)
    if hour > 23 or minute > 59 or second > 59:
        raise DatetimeError("hour, minute or second out of range")
    time_us = hour * HOUR_US + minute * MINUTE_US + second * SECOND_US
    if "SSSSS" in parts:
        time_us = parts["SSSSS"] * SECOND_US
    time_us += parts.get("FF", 0) - parts.get("TZH", 0) * HOUR_US
    if "J" in parts:
        return datetimes.check((parts["J"] - 2440588) * DAY_US + time_us)
    now = datetimes.day_of(today_us // DAY_US)
    year = parts.get("YYYY", parts.get("SYYYY", now.year))
    if "DDD" in parts:
        return datetimes.to_us(year, 1, 1, (parts["DDD"] - 1) * DAY_US + time_us)
    return datetimes.to_us(year, parts.get("MM", now.month), parts.get("DD", 1), time_us)


# -- numbers --------------------------------------------------------------------------------------
def number_to_char(value: Decimal, model: str) -> str:
    """TO_CHAR(number, model): 9 0 . , D G $ L S MI PR FM B EEEE X V."""
    form = model.upper()
    fill = not form.startswith("FM")
    form = form.removeprefix("FM")
    if "X" in form:
        return _hex_text(value, model, form, fill)
    if form.endswith("EEEE"):
        decimals = len(form.removesuffix("EEEE").partition(".")[2])
        text = f"{value:.{decimals}E}"
        mantissa, _, exponent = text.partition("E")
        text = f"{mantissa}E{int(exponent):+03}"
        return text if not fill or value < 0 else " " + text
    lead_sign, trail_sign = form.startswith("S"), form.endswith("S")
    minus_last, brackets = form.endswith("MI"), form.endswith("PR")
    body = form.removeprefix("S").removesuffix("S").removesuffix("MI").removesuffix("PR")
    currency = "$" in body or "L" in body
    body = body.replace("$", "").replace("L", "").replace("B", "")
    body = body.replace("D", ".").replace("G", ",")
    if not body or set(body) - set("90.,V"):
        raise ParameterError(f'number format not recognised: "{model}"')
    if "V" in body:
        left, _, right = body.partition("V")
        value, body = value.scaleb(len(right)), left + right
    whole_form, _, fraction_form = body.partition(".")
    rounded = round_decimal(value, len(fraction_form))
    negative = rounded < 0
    whole, _, fraction = format(rounded.copy_abs(), "f").partition(".")
    shown = _whole_text(whole, whole_form, has_fraction=bool(fraction_form))
    if shown is None:
        return "#" * (len(model) + (1 if fill else 0))
    text = shown
    if "." in body:
        fraction = fraction.ljust(len(fraction_form), "0")
        if not fill:
            kept = fraction_form.rfind("0") + 1
            fraction = fraction[:kept] + fraction[kept:].rstrip("0")
        text += "." + fraction
    return _signed(
        text,
        width=len(body) + (1 if currency else 0),
        negative=negative,
        fill=fill,
        currency=currency,
        style=(lead_sign, trail_sign, minus_last, brackets),
    )


def _whole_text(whole: str, form: str, *, has_fraction: bool) -> str | None:
    """The digits before the point in `form`, None if they do not fit."""
    places = form.replace(",", "")
    if whole == "0" and (has_fraction or "0" in places or not places):
        digits = ""
    else:
        digits = whole
    if len(digits) > len(places):
        return None
    first_zero = places.find("0")
    least = len(places) - first_zero if first_zero >= 0 else 0
    digits = digits.rjust(least, "0") if len(digits) < least else digits
    out: list[str] = []
    left = list(digits)
    for mark in reversed(form):
        if not left:
            break
        out.append("," if mark == "," else left.pop())
    return "".join(reversed(out))


def _signed(
    text: str,
    *,
    width: int,
    negative: bool,
    fill: bool,
    currency: bool,
    style: tuple[bool, bool, bool, bool],
) -> str:
    lead_sign, trail_sign, minus_last, brackets = style
    if currency:
        text = "$" + text
    if lead_sign:
        text, width = ("-" if negative else "+") + text, width + 1
    elif trail_sign:
        text, width = text + ("-" if negative else "+"), width + 1
    elif minus_last:
        text, width = text + ("-" if negative else " " if fill else ""), width + 1
    elif brackets:
        text = f"<{text}>" if negative else f" {text} " if fill else text
        width += 2
    else:
        text, width = ("-" if negative else " " if fill else "") + text, width + 1
    return text.rjust(width) if fill else text


def _hex_text(value: Decimal, model: str, form: str, fill: bool) -> str:
    digits = f"{int(round_decimal(value, 0)):X}"
    if model.replace("FM", "").replace("fm", "").islower():
        digits = digits.lower()
    if form.startswith("0"):
        digits = digits.rjust(len(form), "0")
    if len(digits) > len(form):
        return "#" * (len(form) + 1)
    return digits.rjust(len(form) + 1) if fill else digits


def parse_number(text: str, model: str) -> Decimal:
    """TO_NUMBER(text, model). Raises InvalidTextError."""
    body = text.strip()
    form = model.upper()
    if "X" in form:
        try:
            return Decimal(int(body, 16))
        except ValueError:
            raise InvalidTextError(f'invalid number: "{text}"') from None
    negative = body.startswith(("-", "<")) or body.endswith("-")
    cleaned = body.strip("-+<> ").replace("$", "").replace(",", "")
    if not re.fullmatch(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+", cleaned):
        raise InvalidTextError(f'invalid number: "{text}"')
    return Decimal(cleaned).copy_negate() if negative else Decimal(cleaned)
