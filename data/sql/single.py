"""Floats as storage values: NaN as text, 32 bits. Pure."""

from __future__ import annotations

import math
import struct
from typing import Any

NAN = "NaN"  # SQLite would store a float that is NaN as NULL
_FLOAT4 = struct.Struct("f")


def double_value(value: float) -> float | str:
    """A float as storage value."""
    return NAN if value != value else value


def single(value: Any) -> float | str:
    """The nearest float of 32 bits; what is larger is infinite."""
    number = float(value)
    try:
        rounded: float = _FLOAT4.unpack(_FLOAT4.pack(number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)
    return double_value(rounded)
