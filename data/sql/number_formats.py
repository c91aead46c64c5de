"""Format models of numbers: TO_CHAR(number, model), TO_NUMBER(text, model). Pure.

Elements, as Oracle documents them: 9 0 . , D G $ L U C S MI PR B V X EEEE RN TM, and FM. Currency
is "$" ("USD" for C), the decimal mark is a point, groups are set off by commas.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

from data.sql.numbers import WIDE, round_decimal
from protocol.errors import InvalidTextError, ParameterError
from protocol.sqltypes import canonical_number

_MODEL = re.compile(
    r"(?P<fm>FM)?(?P<lead>S)?(?P<blank>B)?(?P<body>[90.,DGLU$CVB]*?)(?P<exp>EEEE)?(?P<tail>MI|PR|S)?"
)
_MINIMUM_DIGITS = 64  # TM9 gives more as an exponent, as Oracle does
_CURRENCY_WIDTHS = {"L": 10, "U": 10, "C": 7, "$": 1}
_ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
    (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Model:
    """A model taken apart. `whole` may have commas; `sign`: "", "S", "S>", "MI" or "PR"."""

    fill: bool
    sign: str
    blank_zero: bool
    currency: str
    whole: str
    fraction: str
    has_point: bool
    shift: int  # digits after V
    exponent: bool
    width: int


@lru_cache(maxsize=256)
def _model(text: str) -> _Model:
    match = _MODEL.fullmatch(text.upper())
    if match is None:
        raise _unknown(text)
    body = match["body"]
    marks = [c for c in body if c in _CURRENCY_WIDTHS]
    blank = bool(match["blank"]) or "B" in body
    body = "".join(c for c in body if c not in _CURRENCY_WIDTHS and c != "B")
    body = body.replace("D", ".").replace("G", ",")
    before, shifted, after = body.partition("V")
    whole, point, fraction = body.partition(".")
    if shifted:
        whole, point, fraction = before + after, "", ""
    lead, tail = match["lead"], match["tail"]
    if (
        len(marks) > 1
        or (lead and tail)
        or "." in fraction
        or "," in fraction
        or "V" in whole + fraction
        or (shifted and "." in body)
        or not (whole + fraction)
        or whole.startswith(",")
    ):
        raise _unknown(text)
    sign = "S" if lead else {"S": "S>", None: ""}.get(tail, tail or "")
    currency = marks[0] if marks else ""
    return _Model(
        fill=not match["fm"],
        sign=sign,
        blank_zero=blank,
        currency=currency,
        whole=whole,
        fraction=fraction,
        has_point=bool(point),
        shift=len(after) if shifted else 0,
        exponent=bool(match["exp"]),
        width=len(whole) + len(fraction) + len(point) + _CURRENCY_WIDTHS.get(currency, 0),
    )


def _unknown(text: str) -> ParameterError:
    return ParameterError(f'number format not recognised: "{text}"')


# -- numbers to text ------------------------------------------------------------------------------
def number_to_char(value: Decimal, model: str) -> str:
    """TO_CHAR(number, model); "#" marks where the number does not fit. Raises ParameterError."""
    upper = model.upper()
    bare = upper.removeprefix("FM")
    fill = bare == upper
    if bare == "RN":
        return _roman(value, lower="rn" in model, fill=fill)
    if bare in ("TM", "TM9", "TME"):
        return _minimum(value, bare)
    if bare and not bare.strip("0X") and "X" in bare:
        return _hexadecimal(value, bare, lower=model[-1] == "x", fill=fill)
    form = _model(model)
    if form.exponent:
        return _scientific(value, form)
    if form.shift:
        value = value.scaleb(form.shift, WIDE)
    rounded = round_decimal(value, len(form.fraction))
    negative = value < 0
    whole, _, fraction = format(rounded.copy_abs(), "f").partition(".")
    if form.blank_zero and not rounded:
        return " " * (form.width + 1) if form.fill else ""
    shown = _grouped(whole, form.whole, has_fraction=bool(form.fraction))
    if shown is None:
        return "#" * (form.width + 1)
    if form.has_point:
        fraction = fraction.ljust(len(form.fraction), "0")
        if not form.fill:
            kept = form.fraction.rfind("0") + 1
            fraction = fraction[:kept] + fraction[kept:].rstrip("0")
        shown += "." + fraction
    return _signed(shown, form, negative=negative)


def _grouped(whole: str, form: str, *, has_fraction: bool) -> str | None:
    """The digits before the point in `form`, None if they do not fit."""
    places = form.replace(",", "")
    digits = whole
    if whole == "0" and (has_fraction or "0" in places or not places):
        digits = ""
    if len(digits) > len(places):
        return None
    first_zero = places.find("0")
    least = len(places) - first_zero if first_zero >= 0 else 0
    digits = digits.rjust(least, "0")
    out: list[str] = []
    left = list(digits)
    for mark in reversed(form):
        if not left:
            break
        out.append("," if mark == "," else left.pop())
    return "".join(reversed(out))


def _signed(text: str, form: _Model, *, negative: bool) -> str:
    if form.currency:
        text = ("USD" if form.currency == "C" else "$") + text
    width = form.width + 1
    if form.sign == "S":
        text = ("-" if negative else "+") + text
    elif form.sign == "S>":
        text += "-" if negative else "+"
    elif form.sign == "MI":
        text += "-" if negative else " " if form.fill else ""
    elif form.sign == "PR":
        text = f"<{text}>" if negative else f" {text} " if form.fill else text
        width += 1
    elif negative:
        text = "-" + text
    return text.rjust(width) if form.fill else text


def _scientific(value: Decimal, form: _Model) -> str:
    """Two digits of exponent at least; one digit before the point, whatever the model has."""
    digits = len(form.fraction)
    rounded = Context(prec=digits + 1, rounding=ROUND_HALF_UP).plus(value)
    text = f"{rounded:.{digits}E}"
    mantissa, _, exponent = text.partition("E")
    text = f"{mantissa.lstrip('-')}E{int(exponent):+03}"
    if form.sign == "PR":
        text = f"<{text}>" if value < 0 else f" {text} "
    elif form.sign == "MI" or form.sign == "S>":
        text += "-" if value < 0 else "+" if form.sign == "S>" else " "
    elif value < 0:
        text = "-" + text
    else:
        text = ("+" if form.sign == "S" else " ") + text
    return text if form.fill else text.strip()


def _roman(value: Decimal, *, lower: bool, fill: bool) -> str:
    number = int(round_decimal(value, 0))
    if not 1 <= number <= 3999:
        return "#" * 15
    out = ""
    for unit, letters in _ROMAN:
        times, number = divmod(number, unit)
        out += letters * times
    out = out.lower() if lower else out
    return out.rjust(15) if fill else out


def _minimum(value: Decimal, form: str) -> str:
    """As short as it can be: fixed, or with an exponent (TME, and what is longer)."""
    text = canonical_number(value)
    if form == "TME" or len(text) > _MINIMUM_DIGITS:
        sign, digits, exponent = value.normalize(WIDE).as_tuple()
        assert isinstance(exponent, int)
        shown = "".join(map(str, digits))
        power = exponent + len(digits) - 1
        shown = shown[0] + ("." + shown[1:] if shown[1:] else "")
        return f"{'-' if sign else ''}{shown}E{'+' if power >= 0 else '-'}{abs(power):02}"
    return text


def _hexadecimal(value: Decimal, form: str, *, lower: bool, fill: bool) -> str:
    if value < 0:
        return "#" * (len(form) + 1)
    digits = f"{int(round_decimal(value, 0)):X}"
    if lower:
        digits = digits.lower()
    if form.startswith("0"):
        digits = digits.rjust(len(form), "0")
    if len(digits) > len(form):
        return "#" * (len(form) + 1)
    return digits.rjust(len(form) + 1) if fill else digits


# -- text to numbers ------------------------------------------------------------------------------
def parse_number(text: str, model: str) -> Decimal:
    """TO_NUMBER(text, model). Raises InvalidTextError, ParameterError."""
    body = text.strip()
    bare = model.upper().removeprefix("FM")
    if bare and not bare.strip("0X") and "X" in bare:
        if not re.fullmatch(r"[0-9A-Fa-f]+", body) or len(body) > len(bare):
            raise _invalid(text)
        return Decimal(int(body, 16))
    form = _model(model)
    body, negative = _without_sign(body, form, text)
    if form.currency:
        body = body.removeprefix("USD" if form.currency == "C" else "$").strip()
    if form.exponent:
        if not re.fullmatch(r"(\d+\.?\d*|\.\d+)[eE][+-]?\d{1,3}", body):
            raise _invalid(text)
        value = Decimal(body)
        return value.copy_negate() if negative else value
    whole, point, fraction = body.partition(".")
    if not re.fullmatch(r"[\d,]*", whole) or not re.fullmatch(r"\d*", fraction):
        raise _invalid(text)
    groups_fit = "," in form.whole or "," not in whole
    digits = whole.replace(",", "")
    if (
        not groups_fit
        or not (digits + fraction)
        or (point and not form.has_point)
        or len(digits) > len(form.whole.replace(",", ""))
        or len(fraction) > len(form.fraction)
    ):
        raise _invalid(text)
    value = Decimal(f"{digits or '0'}.{fraction or '0'}").scaleb(-form.shift, WIDE)
    return value.copy_negate() if negative else value


def _without_sign(body: str, form: _Model, text: str) -> tuple[str, bool]:
    if form.sign == "PR":
        if body.startswith("<") and body.endswith(">"):
            return body[1:-1].strip(), True
        return body, False
    if form.sign in ("MI", "S>"):
        if body.endswith(("-", "+")):
            return body[:-1].strip(), body.endswith("-")
        return body, False
    if body.startswith(("-", "+")):
        return body[1:].strip(), body.startswith("-")
    if body.endswith(("-", "+")):
        raise _invalid(text)
    return body, False


def _invalid(text: str) -> InvalidTextError:
    return InvalidTextError(f'invalid number: "{text[:60]}"')
