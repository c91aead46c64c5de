"""Numbers in English words, for the SP and SPTH of date formats and for YEAR. Pure."""

from __future__ import annotations

_SMALL_WORDS = (
    "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN ELEVEN TWELVE THIRTEEN FOURTEEN FIFTEEN"
    " SIXTEEN SEVENTEEN EIGHTEEN NINETEEN"
)
_SMALL = _SMALL_WORDS.split()
_TENS = ("TWENTY", "THIRTY", "FORTY", "FIFTY", "SIXTY", "SEVENTY", "EIGHTY", "NINETY")
_ORDINALS = {
    "ONE": "FIRST", "TWO": "SECOND", "THREE": "THIRD", "FIVE": "FIFTH", "EIGHT": "EIGHTH",
    "NINE": "NINTH", "TWELVE": "TWELFTH",
}  # fmt: skip


def _below_hundred(number: int) -> str:
    if number < 20:
        return _SMALL[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")


def words(number: int) -> str:
    """2024 → TWO THOUSAND TWENTY-FOUR."""
    if number < 100:
        return _below_hundred(number)
    for unit, name in ((1_000_000, "MILLION"), (1000, "THOUSAND"), (100, "HUNDRED")):
        if number >= unit:
            count, rest = divmod(number, unit)
            return f"{words(count)} {name}" + (f" {words(rest)}" if rest else "")
    raise AssertionError(number)


def ordinal_words(number: int) -> str:
    """21 → TWENTY-FIRST."""
    text = words(number)
    at = max(text.rfind(" "), text.rfind("-")) + 1
    last = text[at:]
    if last in _ORDINALS:
        return text[:at] + _ORDINALS[last]
    return text[:-1] + "IETH" if last.endswith("Y") else text + "TH"


def year_words(year: int) -> str:
    """2024 → TWENTY TWENTY-FOUR; 2005 → TWO THOUSAND FIVE; 1900 → NINETEEN HUNDRED."""
    century, rest = divmod(year, 100)
    if century == 0:
        return words(rest)
    if century % 10 == 0 and rest < 10:
        return words(year)
    return words(century) + (f" {words(rest)}" if rest else " HUNDRED")


def ordinal(text: str) -> str:
    """The digits with ST, ND, RD or TH."""
    number = int(text)
    if number % 100 in (11, 12, 13):
        return text + "TH"
    return text + {1: "ST", 2: "ND", 3: "RD"}.get(number % 10, "TH")
