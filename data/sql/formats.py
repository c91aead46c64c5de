"""Format models of dates: TO_CHAR(date, model), TO_DATE and TO_TIMESTAMP(text, model). Pure.

All elements that Oracle and TimesTen document, with FM, FX, TH, SP and SPTH; days and months are
English. Years are 1 to 9999 AD. Models of numbers are in data/sql/number_formats.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from data.sql import datetimes
from data.sql.datetimes import DAY_US, DAYS, HOUR_US, MINUTE_US, MONTHS, SECOND_US
from data.sql.number_words import ordinal, ordinal_words, words, year_words
from protocol.errors import DatetimeError, ParameterError

_ELEMENT = re.compile(
    r"""(?P<fm>FM|FX)
    | (?P<el>SYYYY|YYYY|Y,YYY|SYEAR|YEAR|YYY|YY|Y|RRRR|RR|IYYY|IYY|IY|IW|I|MONTH|MON|MM|RM|DDD|DD
      |DAY|DY|DL|DS|D|TS|HH24|HH12|HH|MI|SSSSS|SS|FF[1-9]?|AM|PM|A\.M\.|P\.M\.|Q|WW|W|J|SCC|CC
      |BC|AD|B\.C\.|A\.D\.|TZH|TZM|TZR|TZD|US|MS|X)
      (?P<suffix>SPTH|THSP|SP|TH)?
    | "(?P<quoted>[^"]*)"
    | (?P<other>[^A-Za-z"])""",
    re.VERBOSE | re.IGNORECASE,
)
_FRACTIONS = frozenset({"MS", "US", "FF", *(f"FF{n}" for n in range(1, 10))})
_WHOLE_MODELS = {"DS": "FMMM/DD/YYYYFM", "DL": "FMDay, Month FMDD, YYYY", "TS": "HH:MI:SS AM"}


class _Element:
    __slots__ = ("exact", "fill", "is_literal", "name", "suffix", "text")

    def __init__(
        self, name: str, text: str, *, literal: bool, fill: bool, exact: bool, suffix: str = ""
    ) -> None:
        self.name = name
        self.text = text
        self.is_literal = literal
        self.fill = fill
        self.exact = exact
        self.suffix = suffix


@lru_cache(maxsize=256)
def _elements(model: str) -> tuple[_Element, ...]:
    found: list[_Element] = []
    position, fill, exact = 0, True, False
    while position < len(model):
        match = _ELEMENT.match(model, position)
        if match is None:
            raise ParameterError(f'date format not recognised: "{model}"')
        position = match.end()
        if match["fm"]:
            if match["fm"].upper() == "FM":
                fill = not fill
            else:
                exact = not exact
        elif match["el"]:
            text = match["el"]
            whole = _WHOLE_MODELS.get(text.upper())
            if whole is not None:
                found += _elements(whole)
                continue
            suffix = (match["suffix"] or "").upper().replace("THSP", "SPTH")
            made = _Element(
                text.upper(), text, literal=False, fill=fill, exact=exact, suffix=suffix
            )
            found.append(made)
        else:
            text = match["quoted"] if match["quoted"] is not None else match["other"]
            found.append(_Element("", text, literal=True, fill=fill, exact=exact))
    return tuple(found)


def _cased(name: str, pattern: str) -> str:
    """`name` (upper case) in the case of the model's element: MON, Mon or mon."""
    if pattern[0].islower():
        return name.lower()
    if len(pattern) > 1 and pattern[1].islower():
        return name.title()
    return name


# -- moments to text -------------------------------------------------------------------------------
def moment_to_char(us: int, model: str) -> str:
    """TO_CHAR(date, model). Raises ParameterError for an unknown element."""
    out: list[str] = []
    for element in _elements(model):
        if element.is_literal:
            out.append(element.text)
            continue
        text = _part_text(us, element)
        if not element.fill and text[:1].isdigit() and element.name not in _FRACTIONS:
            text = text.lstrip("0") or "0"
        elif not element.fill:
            text = text.strip()
        out.append(_suffixed(text, element) if element.suffix else text)
    return "".join(out)


def _suffixed(text: str, element: _Element) -> str:
    digits = text.strip().replace(",", "")
    if not digits.isdigit():
        raise ParameterError(f"{element.text} has no number for {element.suffix}")
    if element.suffix == "TH":
        shown = ordinal(digits)
        return shown.lower() if any(c.islower() for c in element.text) else shown
    spelled = words(int(digits)) if element.suffix == "SP" else ordinal_words(int(digits))
    return _cased(spelled, element.text)


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
    if name in ("AD", "BC", "A.D.", "B.C."):
        return _cased("A.D." if "." in name else "AD", element.text)
    if name.startswith("FF"):
        digits = int(name[2:]) if len(name) > 2 else 6
        return f"{rest % SECOND_US:06}".ljust(9, "0")[:digits]
    if name == "RM":
        text = _cased(_ROMAN[day.month - 1], element.text)
        return text.ljust(4) if element.fill else text
    spelled = _cased(year_words(day.year), element.text)
    return " " + spelled if name == "SYEAR" else spelled


_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")


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
    "Y,YYY": lambda us: f"{_calendar(us)[0] // 1000},{_calendar(us)[0] % 1000:03}",
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
    "SCC": lambda us: f" {(_calendar(us)[0] + 99) // 100:02}",
    "J": lambda us: f"{us // DAY_US + 2440588:07}",
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


# -- texts to moments -----------------------------------------------------------------------------
_WIDTHS = {
    "YYYY": 4, "RRRR": 4, "SYYYY": 4, "YYY": 3, "YY": 2, "RR": 2, "Y": 1, "MM": 2, "DD": 2,
    "DDD": 3, "HH24": 2, "HH12": 2, "HH": 2, "MI": 2, "SS": 2, "SSSSS": 5, "J": 7, "FF": 9, "D": 1,
    "MS": 3, "US": 6,
}  # fmt: skip
_PART_OF = {
    "SYYYY": "YYYY", "YYY": "YYYY", "YY": "YYYY", "Y": "YYYY", "RR": "YYYY", "RRRR": "YYYY",
    "Y,YYY": "YYYY", "MONTH": "MM", "MON": "MM", "RM": "MM", "HH": "HH12", "MS": "FF", "US": "FF",
    "DY": "DAY",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z]+")
_FOUR = re.compile(r"\d{4}(?!\d)")
_SPACE = re.compile(r"\s*")


def _is_punctuation(char: str, wanted: str) -> bool:
    """May it stand for another mark of the model? A sign only for "-": it may be an offset's."""
    return not char.isalnum() and (char not in "+-" or wanted == "-" or char == "-")


class _Reader:
    """A text read along a model: the parts found so far."""

    def __init__(self, text: str, model: str) -> None:
        self.text = text
        self.model = model
        self.at = 0
        self.parts: dict[str, int] = {}

    def skip_literal(self, element: _Element) -> None:
        text, at = self.text, self.at
        if element.exact:
            if not text.startswith(element.text, at):
                raise self.error(f'"{element.text}" is missing')
            self.at += len(element.text)
        elif at >= len(text):
            return
        elif element.text.isspace():
            self.at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        elif text.startswith(element.text, at) or _is_punctuation(text[at], element.text):
            self.at += len(element.text)

    def error(self, what: str) -> DatetimeError:
        return DatetimeError(f'"{self.text[:60]}" does not fit "{self.model}": {what}')

    @property
    def place(self) -> tuple[str, int]:
        return self.text, self.at

    def word(self, what: str) -> str:
        match = _WORD.match(self.text, self.at)
        if match is None:
            raise self.error(f"a {what} is expected")
        self.at = match.end()
        return match.group()

    def digits(self, width: int, element: _Element) -> str:
        match = re.compile(rf"\d{{1,{width}}}").match(self.text, self.at)
        if match is None:
            raise self.error(f"digits are expected for {element.text}")
        if element.exact and element.fill and len(match.group()) != width:
            raise self.error(f"{width} digits are expected for {element.text}")
        self.at = match.end()
        return match.group()

    def set(self, name: str, value: int) -> None:
        if name in self.parts:
            raise ParameterError(f'date format "{self.model}" has {name} twice')
        self.parts[name] = value


def parse_moment(text: str, model: str, *, today_us: int) -> int:
    """TO_DATE(text, model) → microseconds. Missing parts: the current month's first day, midnight.

    Raises DatetimeError if the text does not fit, ParameterError for an unknown element.
    """
    reader = _Reader(text, model)
    elements = _elements(model)
    for number, element in enumerate(elements):
        if element.is_literal:
            reader.skip_literal(element)
            continue
        if not element.exact:
            reader.at = _SPACE.match(text, reader.at).end()  # type: ignore[union-attr]
        if reader.at >= len(text):
            break
        following = elements[number + 1] if number + 1 < len(elements) else None
        _read_part(reader, element, ends=following is None or following.is_literal)
    if text[reader.at :].strip():
        raise DatetimeError(f'"{text[:60]}" is longer than the format "{model}"')
    return _assemble(reader, today_us)


def _read_part(reader: _Reader, element: _Element, *, ends: bool) -> None:
    name = element.name
    part = _PART_OF.get(name, name)
    if name in ("MON", "MONTH") or (name == "MM" and reader.text[reader.at].isalpha()):
        reader.set("MM", datetimes.month_number(reader.word("month")))
    elif name in ("DAY", "DY"):
        reader.set("DAY", datetimes.weekday_number(reader.word("day")))
    elif name == "RM":
        word = reader.word("month in Roman numerals").upper()
        if word not in _ROMAN:
            raise reader.error("a month in Roman numerals is expected")
        reader.set("MM", _ROMAN.index(word) + 1)
    elif name in ("AM", "PM", "A.M.", "P.M."):
        match = re.compile(r"([AaPp])\.?[Mm]\.?").match(reader.text, reader.at)
        if match is None:
            raise reader.error("AM or PM is missing")
        reader.set("PM", int(match.group(1).upper() == "P"))
        reader.at = match.end()
    elif name in ("AD", "BC", "A.D.", "B.C."):
        match = re.compile(r"(A\.?D\.?|B\.?C\.?)", re.I).match(reader.text, reader.at)
        if match is None or match.group()[0] in "Bb":
            raise reader.error("years are AD")
        reader.at = match.end()
    elif name in ("TZH", "TZM"):
        _read_zone(reader, name)
    elif name == "X":
        reader.at += 1
    elif name == "Y,YYY":
        match = re.compile(r"(\d),(\d{3})").match(reader.text, reader.at)
        if match is None:
            raise reader.error("a year with a comma is expected")
        reader.set("YYYY", int(match.group(1) + match.group(2)))
        reader.at = match.end()
    else:
        _read_number(reader, element, part, ends=ends)


def _read_zone(reader: _Reader, name: str) -> None:
    match = re.compile(r"([+-]?)(\d{1,2})").match(reader.text, reader.at)
    if match is None:
        raise reader.error("an offset is expected")
    minutes = int(match.group(2)) * (60 if name == "TZH" else 1)
    if name == "TZH":
        reader.set("SIGN", -1 if match.group(1) == "-" else 1)
    reader.set(name, minutes)
    reader.at = match.end()


def _read_number(reader: _Reader, element: _Element, part: str, *, ends: bool) -> None:
    name = "FF" if element.name.startswith("FF") else element.name
    width = _WIDTHS.get(name)
    if width is None or element.suffix not in ("", "TH"):
        raise ParameterError(f'date format element not supported in TO_DATE: "{element.text}"')
    if name == "FF":
        width = int(element.name[2:] or 9)
        part = "FF"
    if name in ("YY", "RR", "YYY") and ends and not element.exact and _FOUR.match(*reader.place):
        width = 4
    if name == "SYYYY" and reader.text[reader.at] in "+-":
        if reader.text[reader.at] == "-":
            raise reader.error("years are AD")
        reader.at += 1
    digits = reader.digits(width, element)
    if element.suffix:
        match = re.compile(r"st|nd|rd|th", re.I).match(reader.text, reader.at)
        reader.at = match.end() if match is not None else reader.at
    if part == "FF":
        reader.set("FF", int(digits.ljust(6, "0")[:6]))
    elif name in ("RR", "RRRR"):
        reader.set("YYYY", datetimes.full_year(digits))
    elif name in ("YY", "Y", "YYY") and len(digits) < 4:
        reader.set("YYYY", _near_year(int(digits), 10 ** len(name)))
    else:
        reader.set(part, int(digits))


def _near_year(digits: int, span: int) -> int:
    """A year of the present century or millennium (2000 to 2099; of the 2020s for one digit)."""
    base = 2020 if span == 10 else 2000
    return base + digits


def _assemble(reader: _Reader, today_us: int) -> int:
    parts = reader.parts
    if "HH12" in parts:
        if not 1 <= parts["HH12"] <= 12:
            raise reader.error("the hour must be between 1 and 12")
        parts["HH24"] = parts["HH12"] % 12 + (12 if parts.get("PM") else 0)
    hour, minute, second = parts.get("HH24", 0), parts.get("MI", 0), parts.get("SS", 0)
    if hour > 23 or minute > 59 or second > 59:
        raise reader.error("hour, minute or second out of range")
    time_us = hour * HOUR_US + minute * MINUTE_US + second * SECOND_US
    if "SSSSS" in parts:
        if parts["SSSSS"] > 86_399:
            raise reader.error("seconds of the day must be between 0 and 86399")
        time_us = parts["SSSSS"] * SECOND_US
    offset = (parts.get("TZH", 0) + parts.get("TZM", 0)) * parts.get("SIGN", 1)
    time_us += parts.get("FF", 0)
    now = datetimes.day_of(today_us // DAY_US)
    year = parts.get("YYYY", now.year)
    if "J" in parts:
        us = datetimes.check((parts["J"] - 2440588) * DAY_US + time_us)
    elif "DDD" in parts:
        first = datetimes.to_us(year, 1, 1)
        us = datetimes.check(first + (parts["DDD"] - 1) * DAY_US + time_us)
        if parts["DDD"] < 1 or datetimes.extract(us, "YEAR") != year:
            raise reader.error(f"{year} has no day {parts['DDD']}")
    else:
        us = datetimes.to_us(year, parts.get("MM", now.month), parts.get("DD", 1), time_us)
    if "DAY" in parts and datetimes.day_of(us // DAY_US).weekday() != parts["DAY"]:
        raise reader.error("the day of the week is another")
    return datetimes.check(us - offset * MINUTE_US)
